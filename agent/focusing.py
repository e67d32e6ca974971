"""Refocus: a short sweep of the defocus, judged by what detail survives the noise."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from envs.skills import SkillResult
from envs.step import Purpose
from instruments.errors import InstrumentError, NotSupported
from instruments.types import Exposure, Optics, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.settings import RefocusSettings
    from instruments.protocol import Microscope
    from instruments.types import Frame

    Expose: TypeAlias = Callable[[Exposure, Purpose], Frame]

BAND_PER_PX = (0.04, 0.25)
"""Spatial frequencies that count, in cycles per pixel: above slow shading, below where the sampling ends."""


class Refocus:
    """Climbs to the sharpest defocus, checks that it is sharper than before, and goes back if it is not."""

    def __init__(self, settings: RefocusSettings) -> None:
        self._settings = settings
        self._exposure = Exposure(
            field_of_view_nm=settings.field_of_view_nm,
            shape=(settings.pixels, settings.pixels),
            dwell_us=settings.dwell_us,
            frames=2,
        )

    @property
    def name(self) -> str:
        return "refocus"

    @property
    def cost_s(self) -> float:
        return sum(e.duration_s + self._settings.settle_s for e in self.cost_exposures())

    def cost_exposures(self) -> tuple[Exposure, ...]:
        """Of the longest climb: where it starts, a step to either side, on to the end of its travel, and the peak."""
        steps = math.floor(self._settings.max_travel_nm / self._settings.step_nm * (1 + 1e-9))
        return (self._exposure,) * (steps + 3 if steps else 1)

    def run(self, guard: Microscope, expose: Expose) -> SkillResult:
        """Raises what the guard raises, with the focus back where it was unless that is what failed."""
        start_nm = guard.state().optics.defocus_nm
        if start_nm is None:
            return SkillResult(ok=False, message="this instrument does not read back its defocus: focus by hand")
        try:
            return self._climb(guard, expose, start_nm)
        except NotSupported as error:
            return SkillResult(ok=False, message=f"no focus to change here: {error}")
        except InstrumentError:
            guard.tune(Optics(defocus_nm=start_nm))
            raise

    def _climb(self, guard: Microscope, expose: Expose, start_nm: float) -> SkillResult:
        tried: dict[float, float] = {}

        def sharpness(defocus_nm: float) -> float:
            if defocus_nm not in tried:
                guard.tune(Optics(defocus_nm=defocus_nm))
                tried[defocus_nm] = band_power(expose(self._exposure, Purpose.FOCUS))
            return tried[defocus_nm]

        best_nm, last_nm = start_nm, None
        while best_nm != last_nm:  # one step at a time, so that a sweep goes only where it gets sharper
            last_nm = best_nm
            best_nm = max([best_nm, *self._around(best_nm, start_nm)], key=sharpness)
        peak_nm = vertex(tried, best_nm, 2 * self._settings.step_nm)
        if peak_nm is not None and sharpness(peak_nm) > tried[start_nm]:
            best_nm = peak_nm  # the fit, made from all, beats the luckiest single measurement
        before, after = tried[start_nm], tried[best_nm]
        if after <= 0:
            best_nm = start_nm
            message = "nothing here rises above the noise: focus at another place, or raise the skill's dwell_us"
        elif after <= before * (1 + self._settings.min_gain):
            best_nm = start_nm
            message = f"already in focus at {start_nm:.1f} nm: nothing within reach is sharper"
        elif len(self._around(best_nm, start_nm)) < 2:
            message = f"moved to {best_nm:.1f} nm, the end of the range allowed: sharper, but focus may lie beyond"
        else:
            message = f"moved from {start_nm:.1f} nm to {best_nm:.1f} nm"
        asked = Optics(defocus_nm=best_nm)
        return SkillResult(
            ok=after > 0,
            message=message,
            optics=Outcome(asked, guard.tune(asked).achieved),
            data={
                "defocus_before_nm": start_nm,
                "defocus_after_nm": best_nm,
                "band_power_before_ratio": before,
                "band_power_after_ratio": tried[best_nm],
            },
        )

    def _around(self, defocus_nm: float, start_nm: float) -> list[float]:
        """The steps up and down that are still within this sweep's travel and the night's range."""
        low_nm, high_nm = self._settings.defocus_range_nm
        low_nm = max(low_nm, start_nm - self._settings.max_travel_nm)
        high_nm = min(high_nm, start_nm + self._settings.max_travel_nm)
        steps = (defocus_nm - self._settings.step_nm, defocus_nm + self._settings.step_nm)
        return [d for d in steps if low_nm <= d <= high_nm]


def vertex(tried: dict[float, float], best_nm: float, reach_nm: float) -> float | None:
    """Where a parabola through the logarithms of what was tried near the best peaks; None where it does not.

    The noise of the values is even, so a logarithm counts by the square of its value.

    >>> round(vertex({-20.0: np.exp(-9), 0.0: np.exp(-1), 20.0: np.exp(-1)}, 0.0, 40.0), 6)
    10.0
    """
    near = sorted((d, value) for d, value in tried.items() if abs(d - best_nm) <= reach_nm and value > 0)
    if len(near) < 3:
        return None
    defocus_nm, values = np.array(near).T
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.RankWarning)
        try:
            curve, slope, _ = np.polyfit(defocus_nm - best_nm, np.log(values), 2, w=values)
        except np.exceptions.RankWarning:  # but one or two of the values count for anything
            return None
    if curve >= 0:
        return None
    peak_nm = round(best_nm - float(slope / (2 * curve)), 3)
    return peak_nm if defocus_nm[0] <= peak_nm <= defocus_nm[-1] else None


def band_power(frame: Frame) -> float:
    """Power of the specimen's detail relative to the mean squared, without that of the noise.

    Two frames of one place share the specimen but not the noise, so the real part of their cross-spectrum is unbiased
    (Frank & Al-Ali, Nature 256, 376 (1975)). Near 0, of either sign, where nothing rises above the noise.
    Raises NotSupported where no detector gave a burst of images.
    """
    for signal in frame.signals.values():
        if signal.data.ndim == 3 and len(signal.data) >= 2 and signal.axes[-1].name == "column":
            pair = signal.data[:2].astype(np.float64) - signal.calibration.get("offset_counts", 0.0)
            break
    else:
        raise NotSupported("focusing compares two frames of one place; no detector gave a burst of images")
    mean = float(pair.mean())
    if mean <= 0:
        return 0.0
    rows, columns = pair.shape[1:]
    window = np.hanning(rows)[:, None] * np.hanning(columns)
    spectra = np.fft.rfft2((pair - pair.mean(axis=(1, 2), keepdims=True)) * window)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
    band = (frequency >= BAND_PER_PX[0]) & (frequency <= BAND_PER_PX[1])
    shared = (spectra[0] * np.conj(spectra[1])).real[band].mean()
    return float(shared / ((window**2).sum() * mean**2))
