"""Measure what units of the stigmators are in nm: the focus is the ruler.

Two-fold astigmatism C12 moves the focus of what is seen along a direction against that of what is seen across it: along
the columns detail is sharpest at C10 = −C12a, along the rows at +C12a, and along the diagonals likewise with C12b. So
each sweep of the focus, judged by direction, tells the astigmatism, and what a stigmator adds to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.focusing import BAND_PER_PX, vertex
from instruments.errors import NotSupported
from instruments.types import Optics
from surveys.calibrating_bench import CannotCalibrate

if TYPE_CHECKING:
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Frame
    from surveys.calibrating import Say

Ratio: TypeAlias = float
Floats: TypeAlias = npt.NDArray[np.float64]

STEPS = 9
"""Of a sweep."""
DIRECTIONS_DEG = (0.0, 90.0, 45.0, 135.0)
"""Along the columns, along the rows, down the diagonal, up the diagonal."""
_SECTOR_DEG = 25.0
"""To either side of a direction."""
_SEEN: Ratio = math.sin(math.radians(2 * _SECTOR_DEG)) / math.radians(2 * _SECTOR_DEG)
"""What such a sector sees of astigmatism, which goes as the cosine of twice the angle: the mean of that over it."""
_NEAR: Ratio = 0.45
"""A peak is fitted to so much of the sweep, to either side."""
_DOUBTFUL: Ratio = 0.2
"""Two sweeps with the stigmators alike must agree to this part of what a stigmator changes."""


@dataclass(frozen=True, slots=True)
class StigmatorsFound:
    """What the sweeps have shown."""

    matrix: Floats
    """(2, 2): (a per x, a per y), (b per x, b per y), in what the focus counts, per unit of a stigmator."""
    std: float
    """Of each of its numbers, from how far the two sweeps with the stigmators alike differ."""


def measure_stigmators(
    scope: Microscope, exposure: Exposure, *, reach_units: float, step_units: float, say: Say
) -> StigmatorsFound:
    """Sweep the focus as it stands, with each stigmator turned, and as it stood; all are back in the end.

    Args:
        scope: a guard over the instrument, whose ``stig_a_nm`` and ``stig_b_nm`` count units of its two stigmators
            where they are not calibrated.
        exposure: how to look, split in two frames, which tell detail from noise.
        reach_units: how far the focus may go to either side, in what it counts.
        step_units: how far a stigmator is turned.
        say: told what is being done.

    Raises:
        CannotCalibrate: no focus along a direction, or sweeps that contradict each other.
        NotSupported: a focus or stigmators that do not read back.
        InstrumentError: what the guard raises.
    """
    start = scope.state().optics
    if start.defocus_nm is None or start.stig_a_nm is None or start.stig_b_nm is None:
        raise NotSupported("stigmators are measured against the focus: this instrument does not read back both")
    before = Optics(defocus_nm=start.defocus_nm, stig_a_nm=start.stig_a_nm, stig_b_nm=start.stig_b_nm)
    look = replace(exposure, frames=2, dwell_us=exposure.dwell_us / 2)
    found: list[Floats] = []
    try:
        for a, b in ((0.0, 0.0), (step_units, 0.0), (0.0, step_units), (0.0, 0.0)):
            say(f"sweeping the focus with the stigmators turned by ({a:g}, {b:g})")
            scope.tune(Optics(stig_a_nm=start.stig_a_nm + a, stig_b_nm=start.stig_b_nm + b))
            found.append(_astigmatism(scope, look, start.defocus_nm, reach_units))
    finally:
        scope.tune(before)
    middle, apart = (found[0] + found[3]) / 2, float(np.abs(found[3] - found[0]).max())
    matrix = np.column_stack([(found[1] - middle) / step_units, (found[2] - middle) / step_units])
    changed = float(np.abs(np.linalg.det(matrix))) ** 0.5 * step_units
    if not apart < _DOUBTFUL * changed:
        raise CannotCalibrate(
            f"with the stigmators alike two sweeps differ by {apart:.3g} nm, and turning one by {step_units:g} units "
            f"changes {changed:.3g} nm: turn them further (--stig-units), or take a place with more in view"
        )
    return StigmatorsFound(matrix, max(apart, reach_units / STEPS / 4) / step_units)


def _astigmatism(scope: Microscope, look: Exposure, start: float, reach: float) -> Floats:
    """(C12a, C12b) in what the focus counts, from one sweep."""
    detail: list[dict[float, float]] = [{} for _ in DIRECTIONS_DEG]
    for at in np.linspace(start - reach, start + reach, STEPS).tolist():
        reached = scope.tune(Optics(defocus_nm=at)).achieved.defocus_nm
        for one, power in zip(detail, directional(scope.acquire(look)), strict=True):
            one[at if reached is None else reached] = power
    peaks = []
    for one, direction in zip(detail, DIRECTIONS_DEG, strict=True):
        best = max(one, key=lambda at: one[at])
        peak = vertex(one, best, _NEAR * reach)
        if best in (min(one), max(one)) or peak is None:
            raise CannotCalibrate(
                f"from {min(one):.4g} to {max(one):.4g} no focus was passed along {direction:g}° (sharpest at "
                f"{best:.4g}): focus by hand first, or let it go further (--focus-units)"
            )
        peaks.append(peak)
    return np.array([(peaks[1] - peaks[0]) / 2, (peaks[3] - peaks[2]) / 2]) / _SEEN


def directional(frame: Frame) -> list[float]:
    """Power of the specimen's detail along each of ``DIRECTIONS_DEG``, without that of the noise.

    As ``agent.focusing.band_power``, by sectors of the spectrum. Raises NotSupported where there is no burst of images.
    """
    signal = next((one for one in frame.signals.values() if one.data.ndim == 3 and len(one.data) >= 2), None)
    if signal is None:
        raise NotSupported("focusing compares two frames of one place; no detector gave a burst of images")
    pair = signal.data[:2].astype(np.float64) - signal.calibration.get("offset_counts", 0.0)
    rows, columns = pair.shape[1:]
    window = np.hanning(rows)[:, None] * np.hanning(columns)
    spectra = np.fft.fft2((pair - pair.mean(axis=(1, 2), keepdims=True)) * window)
    shared = (spectra[0] * np.conj(spectra[1])).real / ((window**2).sum() * max(float(pair.mean()), 1e-12) ** 2)
    down, right = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]
    frequency, direction_deg = np.hypot(down, right), np.degrees(np.arctan2(down, right)) % 180.0
    band = (frequency >= BAND_PER_PX[0]) & (frequency <= BAND_PER_PX[1])
    sectors = (np.abs((direction_deg - about + 90.0) % 180.0 - 90.0) <= _SECTOR_DEG for about in DIRECTIONS_DEG)
    return [float(shared[band & sector].mean()) for sector in sectors]
