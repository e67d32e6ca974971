"""Measure what a unit of the focus is in nm: the stage's height is the ruler.

Raising the specimen by a known length puts a probe out of focus by that length; as many units as bring it back are that
long. Both heights are swept, coarse and fine, and the first once more, so that what the focus drifts falls out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agent.focusing import band_power, vertex
from instruments.errors import NotSupported
from instruments.types import Optics, StagePosition
from surveys.calibrating_bench import CannotCalibrate

if TYPE_CHECKING:
    import numpy.typing as npt

    from instruments.protocol import Microscope
    from instruments.types import Exposure
    from surveys.calibrating import Say

Ratio: TypeAlias = float

STEPS = 7
"""Of a sweep."""
_FINER: Ratio = 3.0
"""The second sweep is so much narrower."""
_CLEAR: Ratio = 3.0
"""In focus there is so many times the detail of the ends of a sweep, or it is no focus that was passed."""
_NEAR_STEPS = 3.0
"""A peak is fitted to so many steps to either side."""
_DOUBTFUL: Ratio = 0.2
"""Two sweeps at one height must agree to this part of what raising the specimen changes."""


@dataclass(frozen=True, slots=True)
class FocusFound:
    """What the sweeps have shown. Units are those of the instrument's knob."""

    nm_per_unit: float
    std_nm_per_unit: float
    """From how far the two sweeps at one height differ."""
    raised_nm: float
    """By how much, as the stage says."""
    sweeps: tuple[tuple[tuple[float, float], ...], ...]
    """(units, detail) of the three sweeps."""


def measure_focus(
    scope: Microscope, exposure: Exposure, *, reach_units: float, raise_nm: float, approach_nm: float, say: Say
) -> FocusFound:
    """Sweep, raise, sweep, lower, sweep; height and focus are back in the end, whatever came of it.

    Args:
        scope: a guard over the instrument, whose ``defocus_nm`` counts units where it is not calibrated.
        exposure: how to look; it is split into two frames, which tell detail from noise.
        reach_units: how far the focus may go to either side, in those units.
        raise_nm: how far the stage goes up.
        approach_nm: more than the play of the height.
        say: told what is being done.

    Raises:
        CannotCalibrate: no focus within reach, or sweeps that contradict each other.
        NotSupported: a focus or a height that does not read back.
        InstrumentError: what the guard raises.
    """
    state = scope.state()
    start, z_nm = state.optics.defocus_nm, state.stage.z_nm
    if start is None or z_nm is None:
        raise NotSupported("the focus is measured against the height: this instrument does not read back both")
    look, fine_units = replace(exposure, frames=2, dwell_us=exposure.dwell_us / 2), reach_units / _FINER
    sweeps: list[dict[float, float]] = []
    peaks, heights = [], []
    try:
        for height_nm in (z_nm, z_nm + raise_nm, z_nm):
            say(f"sweeping the focus at a height of {height_nm:.4g} nm")
            scope.move(StagePosition(z_nm=height_nm - approach_nm))
            heights.append(scope.move(StagePosition(z_nm=height_nm)).achieved.z_nm or height_nm)
            coarse, middle = _sweep(scope, look, np.linspace(start - reach_units, start + reach_units, STEPS), _CLEAR)
            ends = np.clip([middle - fine_units, middle + fine_units], start - reach_units, start + reach_units)
            fine, peak = _sweep(scope, look, np.linspace(ends[0], ends[1], STEPS), 1.0)
            peaks.append(peak)
            sweeps.append(coarse | fine)
    finally:
        scope.tune(Optics(defocus_nm=start))
        scope.move(StagePosition(z_nm=z_nm))
    raised_nm = heights[1] - (heights[0] + heights[2]) / 2
    units, apart = peaks[1] - (peaks[0] + peaks[2]) / 2, abs(peaks[2] - peaks[0])
    if apart > _DOUBTFUL * abs(units):
        raise CannotCalibrate(
            f"at one height the image was sharpest at {peaks[0]:.4g} and then at {peaks[2]:.4g} units, and raising the "
            f"stage by {raised_nm:.4g} nm changed that by {units:.4g}: raise it further, or wait for the lens to settle"
        )
    nm_per_unit = raised_nm / units
    return FocusFound(
        nm_per_unit=nm_per_unit,
        std_nm_per_unit=abs(nm_per_unit / units) * max(apart, fine_units / STEPS / 4) / math.sqrt(2),
        raised_nm=raised_nm,
        sweeps=tuple(tuple(sorted(tried.items())) for tried in sweeps),
    )


def _sweep(
    scope: Microscope, look: Exposure, units: npt.NDArray[np.float64], clear: Ratio
) -> tuple[dict[float, float], float]:
    """Detail by focus as read back, and where it is most; there must be ``clear`` times as much as at the ends."""
    found: dict[float, float] = {}
    for at in units.tolist():
        reached = scope.tune(Optics(defocus_nm=at)).achieved.defocus_nm
        found[at if reached is None else reached] = band_power(scope.acquire(look))
    low, high = min(found), max(found)
    best = max(found, key=lambda at: found[at])
    if best in (low, high) or not found[best] > clear * max(found[low], found[high], 0.0):
        raise CannotCalibrate(
            f"from {low:.4g} to {high:.4g} units no focus was passed (sharpest at {best:.4g}): focus by hand first, "
            "let it go further (--focus-units), or take a closer view, in which fine structure shows"
        )
    peak = vertex(found, best, _NEAR_STEPS * (high - low) / (STEPS - 1))
    return found, best if peak is None else peak
