"""How fast the specimen drifted, read from the frames of one burst: it costs no electron more."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from instruments.types import Signal

Ratio: TypeAlias = float

_SURE: Ratio = 8.0
"""A peak of the correlation is believed when it stands so many standard deviations above the rest."""
_FINEST_PERIOD_PX = 6.0
"""Structure finer than this is mostly noise at survey doses, and is left out of the correlation."""


def drift_nm_per_s(signal: Signal) -> float | None:
    """Speed between the first and the last frame of a burst (T, H, W).

    None for what is no burst of two frames or more, and where the frames show nothing that could be compared.
    """
    if signal.data.ndim != 3 or len(signal.data) < 2 or signal.axes[0].unit != "s":
        return None
    duration_s = signal.axes[0].scale * (len(signal.data) - 1)
    found = shift_px(signal.data[0].astype(np.float32), signal.data[-1].astype(np.float32))
    if found is None or duration_s <= 0:
        return None
    return float(np.hypot(found[0] * signal.axes[1].scale, found[1] * signal.axes[2].scale)) / duration_s


def shift_px(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], *, sure: Ratio = _SURE, least_cycles: Ratio = 0.0
) -> tuple[float, float] | None:
    """(rows, columns) by which ``second`` (H, W) shows the same further down and right; None where it is not sure.

    ``sure``: how many standard deviations the peak must stand above the rest. ``least_cycles``: what repeats less often
    across the frame is left out: the window makes of a smooth slope something that never moves.

    Cross-correlation of the windowed, smoothed images, its peak refined by a parabola along each axis.
    """
    height, width = first.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    one, two = (np.fft.rfft2((image - image.mean()) * window) for image in (first, second))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    kept = np.exp(-((frequency * _FINEST_PERIOD_PX) ** 2))
    if least_cycles > 0:
        kept *= -np.expm1(-((frequency * min(height, width) / least_cycles) ** 4))
    correlation = np.fft.irfft2(np.conj(one) * two * kept, s=first.shape)
    row, column = (int(i) for i in np.unravel_index(int(correlation.argmax()), correlation.shape))
    spread = float(correlation.std())
    if not spread > 0 or float(correlation[row, column]) < sure * spread:
        return None
    down = row + _vertex(*(float(correlation[(row + step) % height, column]) for step in (-1, 0, 1)))
    right = column + _vertex(*(float(correlation[row, (column + step) % width]) for step in (-1, 0, 1)))
    return (down + height / 2) % height - height / 2, (right + width / 2) % width - width / 2


def _vertex(before: float, at: float, after: float) -> float:
    """Where the parabola through three equidistant values has its peak, against the middle one."""
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
