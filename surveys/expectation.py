"""Does a survey see what its plan said? Counts, noise, sharpness, dose and harm of each look beside the prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat

from archive.errors import ArchiveError
from configs.settings import Settings
from envs.quality import frame_quality
from envs.step import Kind
from instruments.annuli import Annulus, mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import ExposureRecord, Step
    from instruments.types import Frame, Signal
    from surveys.night import Night

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

_FEWEST = 3
"""Looks before anything is said: one may lie on a hole or a crack."""
_BURST = 3
"""Dimensions of a burst of images."""
_PATTERNS = 4
"""Of patterns."""


class ExpectationSettings(Settings):
    """What a plan says that each detail look shows; `adaptem plan` writes it."""

    technique: str = ""
    signal: str
    """The detector that is compared."""
    electrons_per_px: PositiveFloat
    """Mean of a frame; of a spectrum or pattern all its channels together."""
    ring_mrad: tuple[NonNegativeFloat, PositiveFloat] | None = None
    """The part of each pattern that is counted; None: all of it."""
    noise_ratio: PositiveFloat = 1.0
    """Variance of a frame's noise over its mean, in electrons: above 1 by what the detector's electronics add."""
    fluence_e_per_A2: PositiveFloat
    """Of a look, its frames together."""
    feature_snr: NonNegativeFloat
    """Signal over noise of the feature that is sought, at that fluence."""
    sharpness: PositiveFloat | None = None
    """Share of the structure that is finer than 4 pixels (``envs.quality``); None: not foretold."""
    lost: NonNegativeFloat = 0.0
    """Share of the structure that the fluence destroys."""
    detection: tuple[tuple[PositiveFloat, NonNegativeFloat], ...] = ()
    """(fluence, chance of detection), rising."""
    tolerance: PositiveFloat = 0.2
    """Relative departure that is told, of the median over looks."""
    looks: int = Field(default=_FEWEST, ge=1)
    """Looks that the median needs."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One quantity that is not as planned."""

    name: str
    expected: float
    found: float
    looks: int

    @property
    def ratio(self) -> Ratio:
        """Found over expected."""
        return self.found / self.expected


class Expectation:
    """Compares the detail looks of one specimen with the plan, and writes departures into the record."""

    def __init__(self, night: Night, specimen: str) -> None:
        self._night, self._specimen = night, specimen
        self._found: dict[str, list[float]] = {}
        events = night.record.rows.events("expectation")
        self._told = {str(event.data["quantity"]) for event in events if event.data.get("specimen") == specimen}

    def compare(self, step: Step) -> None:
        """Take in one step. Controls stay unseen: their pixels teach nothing before the survey has ended."""
        planned = self._night.settings.expectation
        shown = step.shown
        if planned is None or step.kind is not Kind.LOOK or step.look != "detail" or shown is None:
            return
        try:
            frame = self._night.reader.recorded(shown.exposure.id or 0)
        except ArchiveError:
            return  # the record tells of its damages itself
        for name, value in measured(planned, shown, frame).items():
            self._found.setdefault(name, []).append(value)
        for departure in self.departures(planned):
            if departure.name not in self._told:
                self._told.add(departure.name)
                self._tell(planned, departure)

    def departures(self, planned: ExpectationSettings) -> list[Departure]:
        """What is off by more than the tolerance, and by more than the looks scatter."""
        found = []
        for name, expected in _expected(planned).items():
            values = np.array(self._found.get(name, ()))
            if len(values) < planned.looks:
                continue
            middle = float(np.median(values))
            scatter = 1.4826 * float(np.median(np.abs(values - middle))) / math.sqrt(len(values))
            if expected > 0 and abs(middle - expected) > max(planned.tolerance * expected, 3 * scatter):
                found.append(Departure(name, expected, middle, len(values)))
        return found

    def medians(self) -> dict[str, float]:
        """What was measured so far, by quantity."""
        return {name: float(np.median(values)) for name, values in self._found.items()}

    def _tell(self, planned: ExpectationSettings, departure: Departure) -> None:
        snr, chance, factor = replanned(planned, self.medians())
        message = (
            f"{departure.name.replace('_', ' ')}: {departure.found:.3g} in the median of {departure.looks} looks, "
            f"planned {departure.expected:.3g} ({departure.ratio:.2f} of it). "
            f"The feature's signal over noise becomes {snr:.2g} instead of {planned.feature_snr:.2g}"
        )
        if chance is not None:
            message += f", its detection {chance:.0%}"
        if factor > 1 + planned.tolerance:
            message += f"; {factor:.2g} times the dwell, {factor * planned.fluence_e_per_A2:.3g} e/Å², brings it back"
        facts: dict[str, Any] = {
            "specimen": self._specimen,
            "quantity": departure.name,
            "expected": departure.expected,
            "found": departure.found,
            "looks": departure.looks,
            "feature_snr": snr,
            "dwell_factor": factor,
        }
        self._night.event("expectation", message, **facts)


def replanned(planned: ExpectationSettings, found: Mapping[str, float]) -> tuple[Ratio, Ratio | None, Ratio]:
    """Signal over noise of the feature, chance of detection, and the factor on the dwell that makes it as planned.

    Counts that are fewer by r lower it by √r; noise that is n times the planned, against the counts, by √n.
    """
    counted = found.get("electrons_per_px", planned.electrons_per_px) / planned.electrons_per_px
    louder = max(found.get("noise_ratio", planned.noise_ratio) / planned.noise_ratio, 1e-3)
    kept = max(counted / louder, 1e-9)
    chance = None
    if planned.detection:
        doses, chances = np.array(planned.detection).T
        chance = float(np.interp(kept * planned.fluence_e_per_A2, doses, chances))
    return planned.feature_snr * math.sqrt(kept), chance, 1 / kept


def measured(planned: ExpectationSettings, shown: ExposureRecord, frame: Frame) -> dict[str, float]:
    """What one look shows of the quantities that are compared; none of a signal that was not read."""
    signal = frame.signals.get(planned.signal)
    found = {}
    if shown.footprint.area_nm2 > 0:
        found["fluence_e_per_A2"] = shown.electrons / (100.0 * shown.footprint.area_nm2)
    frames = None if signal is None else _electrons(signal, planned.ring_mrad)
    if frames is None:
        return found
    image = np.asarray(frames.mean(axis=0))
    found["electrons_per_px"] = float(image.mean())
    quality = frame_quality(image.astype(np.float32))
    if quality["blank"] == 0 and image.mean() > 0:
        # of counts the variance over the mean is 1 where only counting makes noise
        found["noise_ratio"] = len(frames) * _noise(image) / float(image.mean())
        if planned.sharpness is not None:
            found["sharpness"] = quality["sharpness"]
    if len(frames) > 1:
        half = len(frames) // 2
        first, last = (_structure(part.mean(axis=0)) for part in (frames[:half], frames[-half:]))
        if first > 0:
            found["structure_kept"] = math.sqrt(max(last, 0.0) / first)
    return found


def _expected(planned: ExpectationSettings) -> dict[str, float]:
    named = {
        "electrons_per_px": planned.electrons_per_px,
        "fluence_e_per_A2": planned.fluence_e_per_A2,
        "noise_ratio": planned.noise_ratio,
        "structure_kept": math.sqrt(1 - min(planned.lost, 1.0)),  # from half to half of a look lies half its fluence
    }
    return named if planned.sharpness is None else {**named, "sharpness": planned.sharpness}


def _electrons(signal: Signal, ring_mrad: tuple[float, float] | None) -> Array | None:
    """(T, H, W) electrons, frame by frame; of spectra the sum of each, of patterns that of a ring.

    None where a ring is asked of what is no pattern in mrad.
    """
    counts = np.asarray(signal.data)
    if not (signal.axes and signal.axes[0].name == "frame"):
        counts = counts[None]
    taken = 1.0
    if ring_mrad is not None:
        ky, kx = signal.axes[-2:] if len(signal.axes) >= _PATTERNS else (None, None)
        if ky is None or kx is None or (ky.unit, kx.unit) != ("mrad", "mrad"):
            return None
        part = mask(
            Annulus(*ring_mrad), counts.shape[-2:], (ky.scale, kx.scale), (-ky.offset / ky.scale, -kx.offset / kx.scale)
        ).ravel()
        taken = float(part.sum())
        counts = np.stack([each.reshape(*each.shape[:-2], -1) @ part for each in counts])
    elif counts.ndim > _BURST:
        counts = counts.reshape(*counts.shape[:_BURST], -1)
        taken = float(counts.shape[-1])
        counts = counts.sum(-1, dtype=np.float64)
    gain = signal.calibration.get("gain_counts_per_electron", 1.0)
    return np.asarray((counts - taken * signal.calibration.get("offset_counts", 0.0)) / gain, dtype=np.float64)


def _structure(image: Array) -> float:
    """Variance beyond the noise's."""
    return float(image.var()) - _noise(image)


def _noise(image: Array) -> float:
    """Variance of white noise, by a mask that no plane answers to (Immerkær 1996)."""
    inner = image[1:-1, 1:-1] * 4
    inner = inner - 2 * (image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:])
    inner = inner + image[:-2, :-2] + image[:-2, 2:] + image[2:, :-2] + image[2:, 2:]
    return float((inner**2).mean()) / 36.0
