"""Measure how wide a frame is, by a lattice of known period in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.errors import NotSupported
from surveys.calibrating_bench import CannotCalibrate

if TYPE_CHECKING:
    from instruments.protocol import Microscope
    from instruments.types import Exposure

Ratio: TypeAlias = float
Floats: TypeAlias = npt.NDArray[np.float64]

_STANDS_OUT: Ratio = 50.0
"""A spot has so many times the power that is usual at its distance from the middle: of noise, the highest has 12."""
_ONE_FAMILY: Ratio = 0.03
"""Spots whose periods differ by less are of one family, which imperfect scans make a little unlike."""
_FINER = 4
"""The spectrum is so many times finer than the frame's own, for the parabola to fit."""
_SPOT_PX = 3 * _FINER
_LEAST_PERIODS = 8
_LEAST_PX = 2.5


@dataclass(frozen=True, slots=True)
class ViewFound:
    """What the lattice has shown."""

    asked_nm: float
    found_nm: float
    std_nm: float
    """From how unlike the spots of the family are, and the looks."""
    spots: int


def measure_view(scope: Microscope, exposure: Exposure, period_nm: float, looks: int = 3) -> ViewFound:
    """Look at a lattice whose strongest period is known.

    Raises:
        CannotCalibrate: no lattice in view.
        NotSupported: no detector gave an image.
        InstrumentError: what the guard raises.
    """
    found: list[float] = []
    for _ in range(looks):
        frame = scope.acquire(replace(exposure, frames=1))
        image = next((signal.data for signal in frame.signals.values() if signal.data.ndim == 2), None)
        if image is None:
            raise NotSupported("a lattice is seen in an image; no detector gave one: name one that does")
        found += periods_px(image.astype(np.float64))
    widths_nm = period_nm / np.array(found) * exposure.shape[1]
    std_nm = float(widths_nm.std(ddof=1) / np.sqrt(len(widths_nm)))
    return ViewFound(exposure.field_of_view_nm, float(widths_nm.mean()), std_nm, len(widths_nm))


def periods_px(image: Floats) -> list[float]:
    """Periods of the strongest family of lattice planes in an image (H, W), one for each direction that it has.

    Spots of the windowed power spectrum, each refined by a parabola through the logarithms beside its peak.
    Raises CannotCalibrate where nothing stands out.

    >>> row, column = np.mgrid[:128, :128]
    >>> image = np.random.default_rng(0).normal(size=(128, 128)) + np.cos(column * 2 * np.pi / 9.3)
    >>> [round(period, 2) for period in periods_px(image)]
    [9.3]
    """
    window = np.outer(*(np.hanning(length) for length in image.shape))
    rows, columns = (_FINER * length for length in image.shape)
    power = np.abs(np.fft.fft2((image - image.mean()) * window, s=(rows, columns))) ** 2
    down, right = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]
    frequency = np.hypot(down, right)
    ring = np.rint(frequency * min(rows, columns)).astype(np.int64)
    order = np.argsort(ring, axis=None)
    starts = np.searchsorted(ring.ravel()[order], np.arange(ring.max() + 2))
    by_ring = power.ravel()[order]
    usual = np.array([np.median(by_ring[a:b]) if b > a else np.inf for a, b in pairwise(starts.tolist())])
    seen = (frequency > _LEAST_PERIODS / min(image.shape)) & (frequency < 1 / _LEAST_PX)
    seen &= (down > 0) | ((down == 0) & (right > 0))  # the other half says the same
    best = float((power * seen).max())
    found: list[float] = []
    strongest: float | None = None
    left = power * seen
    while best > 0:
        row, column = (int(n) for n in np.unravel_index(int(left.argmax()), left.shape))
        stands_out = left[row, column] > _STANDS_OUT * usual[ring[row, column]]
        if not stands_out or left[row, column] < 0.1 * best:
            break
        at = np.hypot(
            down[row, 0] + _beside(power[:, column], row) / rows,
            right[0, column] + _beside(power[row], column) / columns,
        )
        strongest = strongest or float(at)
        if abs(float(at) / strongest - 1) < _ONE_FAMILY:
            found.append(1 / float(at))
        for r in range(-_SPOT_PX, _SPOT_PX + 1):
            for c in range(-_SPOT_PX, _SPOT_PX + 1):
                left[(row + r) % rows, (column + c) % columns] = 0.0
                left[(r - row) % rows, (c - column) % columns] = 0.0  # the same spot seen from the other side
    if not found:
        raise CannotCalibrate(
            f"no lattice stands out in a frame of {image.shape} pixels: --period-nm needs one that repeats "
            f"{_LEAST_PERIODS} times or more in view, {_LEAST_PX} pixels or longer; go closer, focus, dwell longer"
        )
    return found


def _beside(power: Floats, peak: int) -> float:
    """Where the peak lies against the pixel, from a line (N,) through it: a window makes of a spot a parabola."""
    before, at, after = (float(np.log(power[(peak + step) % len(power)])) for step in (-1, 0, 1))
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
