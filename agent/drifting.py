"""Wait for drift: measure it from bursts, bring the feature back, and believe the correction only once it was seen.

A feature that has moved since the first frame is brought back by moving the stage. The next burst tells whether that
made it better: where the image is turned or mirrored against what is set, it makes it worse, and the skill says so
instead of correcting on. It ends once the specimen is slow enough, or the time given is over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.drift import shift_px
from envs.skills import SkillResult
from envs.step import Purpose
from envs.targets import place_of_pixel
from instruments.types import Exposure, Outcome, StagePosition

Ratio: TypeAlias = float

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.settings import DriftSettings
    from instruments.protocol import Microscope
    from instruments.types import Frame

    Expose: TypeAlias = Callable[[Exposure, Purpose], Frame]
    Image: TypeAlias = npt.NDArray[np.float32]
    Place: TypeAlias = tuple[float, float]

_SURELY: Ratio = 12.0
"""Standard deviations of a peak that is believed: of frames that show nothing, the highest reaches 9."""
_LEAST_CYCLES: Ratio = 4.0
_RIGHT: Ratio = 0.5
"""Of a right correction less than this is left; of one with the wrong sign, twice as much as there was."""


class WaitForDrift:
    """Waits until the specimen is slow, and brings what has drifted away back under the beam."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._exposure = Exposure(
            field_of_view_nm=settings.field_of_view_nm,
            shape=(settings.pixels, settings.pixels),
            dwell_us=settings.dwell_us,
            frames=2,
            interval_s=settings.interval_s,
        )

    @property
    def name(self) -> str:
        return "wait_for_drift"

    @property
    def cost_s(self) -> float:
        return sum(each.duration_s for each in self.cost_exposures())

    def cost_exposures(self) -> tuple[Exposure, ...]:
        return (self._exposure,) * self._settings.bursts

    def run(self, guard: Microscope, expose: Expose) -> SkillResult:
        """Raises what the guard raises."""
        settings = self._settings
        rates: list[float] = []
        reference: Image | None = None
        corrected_nm, back = 0.0, StagePosition()
        moved: Outcome[StagePosition] | None = None
        for number in range(1, settings.bursts + 1):
            before = guard.state().stage
            burst = _burst(expose(self._exposure, Purpose.DRIFT))
            if burst is None:
                return _refused("drift is read from two frames of one place; no detector gave a burst of images", rates)
            (one, two), between_s, pixel_nm = burst
            reference = one if reference is None else reference
            shifts = [_shift_nm(*pair, pixel_nm) for pair in ((one, two), (reference, one), (reference, two))]
            if any(shift is None for shift in shifts):
                if corrected_nm > 0:
                    guard.move(back)
                told = "show nothing that can be compared" if number == 1 else f"of burst {number} show something else"
                return _refused(f"the frames {told}: drift is unknown; take a wider view or a longer dwell_us", rates)
            drift_nm, away_nm, last_nm = (shift or (0.0, 0.0) for shift in shifts)
            rates.append(math.hypot(*drift_nm) / between_s)
            left_nm = math.hypot(*away_nm)
            if corrected_nm > 0 and left_nm > _RIGHT * corrected_nm + settings.tolerance_nm:
                guard.move(back)
                return _refused(
                    f"a correction of {corrected_nm:.0f} nm left {left_nm:.0f} nm: the stage does not move the image "
                    "as is set, and was moved back; calibrate stage_to_image",
                    rates,
                )
            corrected_nm, back = 0.0, StagePosition()
            if math.hypot(*last_nm) > settings.tolerance_nm and number < settings.bursts:
                corrected_nm, back = math.hypot(*last_nm), StagePosition(x_nm=before.x_nm, y_nm=before.y_nm)
                x_nm, y_nm = place_of_pixel(before, 1.0, *last_nm)
                moved = guard.move(StagePosition(x_nm=float(x_nm), y_nm=float(y_nm)))
            elif rates[-1] <= settings.rate_nm_per_s:
                return SkillResult(
                    ok=True,
                    message=f"drift is down to {rates[-1]:.2g} nm/s after {number} bursts",
                    stage=moved,
                    data=_data(rates) | {"away_nm": math.hypot(*last_nm)},
                )
        return _refused(f"still {rates[-1]:.2g} nm/s after {settings.bursts} bursts: wait, or allow more", rates)


def _refused(why: str, rates_nm_per_s: list[float]) -> SkillResult:
    return SkillResult(ok=False, message=why, data=_data(rates_nm_per_s))


def _data(rates_nm_per_s: list[float]) -> dict[str, float]:
    if not rates_nm_per_s:
        return {}
    return {"drift_before_nm_per_s": rates_nm_per_s[0], "drift_nm_per_s": rates_nm_per_s[-1]}


def _burst(frame: Frame) -> tuple[tuple[Image, Image], float, float] | None:
    """The two images (H, W) of the first detector that gave some, seconds between them, and nm a pixel."""
    for signal in frame.signals.values():
        if signal.data.ndim == 3 and len(signal.data) >= 2 and signal.axes[0].unit == "s":
            one, two = (image.astype(np.float32) for image in signal.data[:2])
            return (one, two), signal.axes[0].scale, signal.axes[2].scale
    return None


def _shift_nm(one: Image, two: Image, pixel_nm: float) -> Place | None:
    """(rows down, columns right) that the second shows the same further."""
    found = shift_px(one, two, sure=_SURELY, least_cycles=_LEAST_CYCLES)
    return None if found is None else (found[0] * pixel_nm, found[1] * pixel_nm)
