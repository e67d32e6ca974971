"""Keeping what is followed in view: how far the specimen has drifted, read from frames that are taken anyway.

frame of a place ─► registered to an earlier one of the same look ─► drift and its rate ─► where the stage goes next

Drift is the specimen's: what one place tells, the others are driven by. A correction is believed only as long as it
brings the feature nearer; where the image is turned or mirrored against what is set it does not, and it ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.drift import shift_px
from envs.targets import place_of_pixel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.types import StagePosition

Array: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.float32]
Key: TypeAlias = tuple[int, str]
"""(place, look)."""
Ratio: TypeAlias = float

_SURELY: Ratio = 12.0
"""Standard deviations of a peak that is believed: of frames that show nothing, the highest reaches 9."""
_LEAST_CYCLES: Ratio = 4.0
_SURE_PX: Ratio = 0.5
_STAGE_SD_nm = 2.0
"""Of what the stage reads back."""
_RATE_SD_nm_per_s = 1.5
"""Of the rate before anything was seen: a holder that was just put in."""
_RATE_WANDERS = 2e-3
"""nm²/s³: in 100 s a rate changes by 0.4 nm/s."""
_JUMP: Ratio = 4.0
"""Standard deviations from which on the specimen has moved otherwise than it drifts."""
_WRONG: Ratio = 0.5
"""A right correction takes away what is left by as much as it moves, one with the wrong sign adds that."""
_STRIKES = 3


@dataclass(frozen=True, slots=True)
class Anchor:
    """A frame that later ones are registered to: where its features lie is by definition where they are kept."""

    image: Image
    """(H, W)"""
    exposure: int | None
    stage_nm: tuple[float, float]
    drift_nm: tuple[float, float]
    """Believed then."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one frame told of the drift."""

    away_nm: float
    """From where a feature is kept to where it was."""
    drift_nm: tuple[float, float]
    """Of this place, in stage coordinates, since following began; the best knowledge after this frame."""


class Keeper:
    """Drift of P places in x and y, of one rate that wanders: a Kalman filter (Kalman, J. Basic Eng. 82, 35 (1960)).

    Times are the instrument's; a stage that cannot be read is not corrected for.
    """

    def __init__(self, places: int, tolerance_nm: float) -> None:
        """A stage that stands nearer than ``tolerance_nm`` to where it should is left where it is."""
        self.tolerance_nm = tolerance_nm
        self.mean = np.zeros((2, 1 + places))
        """(x and y; rate in nm/s, then the drift of each place in nm)."""
        self.covariance = np.zeros((1 + places, 1 + places))
        """Of either axis."""
        self.covariance[0, 0] = _RATE_SD_nm_per_s**2
        self.at_s: float | None = None
        self.trouble = ""
        """Why it does not correct any more; empty: it does."""
        self.sure, self.unsure = 0, 0
        """Frames that could be registered, and could not."""
        self._anchors: dict[Key, Anchor] = {}
        self._latest: dict[Key, Anchor] = {}
        self._left: dict[int, tuple[Array, Array]] = {}
        self._strikes = 0

    def aim_nm(self, place_nm: tuple[float, float], at_s: float, place: int | None = None) -> tuple[float, float]:
        """Where the stage brings a place into view at that time; ``place`` None: one that is not followed."""
        if self.trouble:
            return place_nm
        drifts = self._at(at_s)[0][:, 1:]
        x_nm, y_nm = drifts.mean(axis=1) if place is None else drifts[:, place]
        return place_nm[0] + float(x_nm), place_nm[1] + float(y_nm)

    def learn(
        self, key: Key, image: Image, pixel_nm: float, stage: StagePosition, at_s: float, exposure: int | None
    ) -> Seen | None:
        """Take up a frame (H, W) of a place; None where it shows nothing that an earlier one showed."""
        if stage.x_nm is None or stage.y_nm is None:
            return None
        here, n = np.array([stage.x_nm, stage.y_nm]), 1 + key[0]
        gone_s = 0.0 if self.at_s is None else max(at_s - self.at_s, 0.0)
        self.mean, self.covariance = self._at(at_s)
        self.at_s = at_s
        for earlier in (self._anchors.get(key), self._latest.get(key)):
            if earlier is None or earlier.image.shape != image.shape:
                continue
            found = shift_px(earlier.image, image, sure=_SURELY, least_cycles=_LEAST_CYCLES)
            if found is not None:
                break
        else:
            self._begin_anew(key, n)
            self._anchors[key] = self._latest[key] = self._anchor(key[0], image, here, exposure)
            return None
        self.sure += 1
        left = np.array(place_of_pixel(stage, pixel_nm, *found)) - earlier.stage_nm
        told = left + earlier.drift_nm
        self._update(n, told, (_SURE_PX * pixel_nm) ** 2 + _STAGE_SD_nm**2, gone_s)
        left = left - (here - earlier.stage_nm)
        self._judge(key[0], here, left)
        self._anchors[key], self._latest[key] = earlier, self._anchor(key[0], image, here, exposure)
        return Seen(float(np.hypot(*left)), self.drift_nm(key[0]))

    def drift_nm(self, place: int) -> tuple[float, float]:
        """In stage coordinates, when a frame told it last."""
        return float(self.mean[0, 1 + place]), float(self.mean[1, 1 + place])

    def _at(self, at_s: float) -> tuple[Array, Array]:
        """Mean and covariance at a time that is not before the last."""
        gone_s = 0.0 if self.at_s is None else max(at_s - self.at_s, 0.0)
        step = np.eye(len(self.covariance))
        step[1:, 0] = gone_s
        wander = np.full_like(self.covariance, gone_s**3 / 3)
        wander[0, :] = wander[:, 0] = gone_s**2 / 2
        wander[0, 0] = gone_s
        return self.mean @ step.T, step @ self.covariance @ step.T + _RATE_WANDERS * wander

    def _anchor(self, place: int, image: Image, here: Array, exposure: int | None) -> Anchor:
        return Anchor(image, exposure, (float(here[0]), float(here[1])), self.drift_nm(place))

    def _begin_anew(self, key: Key, n: int) -> None:
        """A frame shows nothing that is known: the place is kept by what it shows from now on."""
        lost, place = key in self._latest, key[0]
        self.unsure += lost
        if lost:
            self._strike(self._strikes + (self._strikes > 0))
            for other in [each for each in self._latest if each[0] == place]:
                del self._anchors[other], self._latest[other]
            self._left.pop(place, None)
        if not any(each[0] == place for each in self._latest):
            self.covariance[n, :] = self.covariance[:, n] = 0.0  # by definition

    def _update(self, n: int, told: Array, variance_nm2: float, gone_s: float) -> None:
        off = told - self.mean[:, n]
        if np.abs(off).max() > _JUMP * math.sqrt(self.covariance[n, n] + variance_nm2):
            # all places have moved together, at once or at another rate since the last frame
            by = np.array([1 / max(gone_s, 1.0)] + [1.0] * (len(self.covariance) - 1))
            at_once = np.array([0.0] + [1.0] * (len(self.covariance) - 1))
            self.covariance = self.covariance + float((off**2).max()) * (np.outer(by, by) + np.outer(at_once, at_once))
        gain = self.covariance[n] / (self.covariance[n, n] + variance_nm2)
        self.mean = self.mean + off[:, None] * gain
        self.covariance = self.covariance - np.outer(gain, self.covariance[n])

    def _judge(self, place: int, here: Array, left: Array) -> None:
        """Whether the last correction at this place took away what was left by then, or added to it."""
        before = self._left.get(place)
        self._left[place] = here, left
        if before is None:
            return
        moved = here - before[0]
        moved_nm = float(np.hypot(*moved))
        if moved_nm <= self.tolerance_nm:
            return
        wrong = float((left - before[1]) @ moved) > _WRONG * moved_nm**2
        self._strike(1 + self._strikes if wrong else 0)

    def _strike(self, strikes: int) -> None:
        """``strikes``: corrections in a row that made it worse, and frames after them that show nothing known."""
        self._strikes = strikes
        if strikes >= _STRIKES:
            self.trouble = (
                "drift is not corrected any more: corrections made it worse, or led to where nothing is known; the "
                "stage does not move the image as is set: calibrate stage_to_image"
            )

    def state(self) -> dict[str, Any]:
        """All but the images, as plain values."""
        anchors = [
            {
                "place": place,
                "look": look,
                "exposure": each.exposure,
                "stage_nm": each.stage_nm,
                "drift_nm": each.drift_nm,
            }
            for (place, look), each in self._anchors.items()
        ]
        return {
            "at_s": self.at_s,
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "sure": self.sure,
            "unsure": self.unsure,
            "strikes": self._strikes,
            "trouble": self.trouble,
            "anchors": anchors,
        }

    @classmethod
    def restored(cls, tolerance_nm: float, state: Mapping[str, Any], images: Mapping[int, Image]) -> Self:
        """``images``: of the anchors' exposures, as far as they are there."""
        mean = np.array(state["mean"])
        kept = cls(mean.shape[1] - 1, tolerance_nm)
        kept.mean, kept.covariance, kept.at_s = mean, np.array(state["covariance"]), state["at_s"]
        kept.trouble, kept.sure, kept.unsure = state["trouble"], state["sure"], state["unsure"]
        kept._strikes = state["strikes"]
        for each in state["anchors"]:
            if (image := images.get(each["exposure"])) is not None:
                key = each["place"], each["look"]
                anchor = Anchor(image, each["exposure"], tuple(each["stage_nm"]), tuple(each["drift_nm"]))
                kept._anchors[key] = kept._latest[key] = anchor
        return kept
