"""Descriptors from the power spectrum: contrast by scale, diffraction spots, spacing, orientation."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]

SCALES = ("broad", "coarse", "medium", "fine", "grain")
"""Of contrast: up to 2, 4, 8, 16 and more cycles in a window."""
_CYCLES = (2.0, 4.0, 8.0, 16.0)

SPOT_OVER_RING = 25.0
"""Power over the geometric mean of its ring above which a frequency counts as a spot: speckle of 10^4 independent
frequencies reaches 1.8·ln(10^4) = 16."""

_AT_ONCE_PX = 1 << 16
"""Windows are transformed together up to so many pixels: more do not stay in a processor's cache, at twice the cost."""


class _Plane(NamedTuple):
    """The half plane of frequencies of an (h, w) window, flat."""

    taper: Stack
    ring: npt.NDArray[np.intp]
    """Integer radius in cycles per window."""
    ring_count: Array
    weight: Array
    """2 where the other half plane is implied."""
    scale: npt.NDArray[np.intp]
    """Index into ``SCALES``; one more for zero and the corners beyond Nyquist."""
    cycles_per_px: Array
    angles: Array
    """(4, frequencies): cos and sin of 2 and 4 times the direction."""
    structured: npt.NDArray[np.bool_]
    """Faster than the taper's own leakage, within the Nyquist circle."""


@lru_cache(maxsize=16)
def _plane(height: int, width: int, window_px: int) -> _Plane:
    rows = np.fft.fftfreq(height)[:, None]
    columns = np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(rows, columns).ravel()
    ring = np.rint(frequency * min(height, width)).astype(np.intp)
    scale = np.searchsorted(_CYCLES, frequency * window_px, side="right")
    scale[(frequency == 0) | (frequency > 0.5)] = len(SCALES)
    direction = np.arctan2(*np.broadcast_arrays(rows, columns)).ravel()
    weight = np.full((height, width // 2 + 1), 2.0)
    weight[:, 0] = 1.0
    if width % 2 == 0:
        weight[:, -1] = 1.0
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    return _Plane(
        taper=taper / np.sqrt(np.mean(taper**2)),
        ring=ring,
        ring_count=np.bincount(ring).astype(np.float64),
        weight=weight.ravel(),
        scale=scale,
        cycles_per_px=np.maximum(frequency, 0.5 / max(height, width)),
        angles=np.stack([f(n * direction) for n in (2, 4) for f in (np.cos, np.sin)]),
        structured=(ring >= 2) & (frequency <= 0.5),
    )


def describe_spectra(stack: Stack, window_px: int, pixel_size_nm: float) -> dict[str, Array]:
    """Descriptors of (K, h, w) surroundings of windows ``window_px`` wide: a Hann taper makes the middle count most."""
    together = max(1, _AT_ONCE_PX // (stack.shape[1] * stack.shape[2]))
    parts = [
        _described(stack[first : first + together], window_px, pixel_size_nm)
        for first in range(0, len(stack), together)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _described(stack: Stack, window_px: int, pixel_size_nm: float) -> dict[str, Array]:
    count, height, width = stack.shape
    plane = _plane(height, width, window_px)
    mean = np.tensordot(stack, plane.taper / plane.taper.sum(), axes=2)
    level = np.maximum(np.abs(mean), 1e-6).astype(np.float64)
    deviation = stack - mean[:, None, None]
    spectrum = fft.rfft2(deviation * plane.taper)
    power = (spectrum.real**2 + spectrum.imag**2).reshape(count, -1).astype(np.float64)
    power *= plane.weight / (height * width) ** 2  # Parseval: sums to the variance of the tapered window

    log_power = np.log(power + 1e-12 * level[:, None] ** 2)
    rings = len(plane.ring_count)
    where = (plane.ring + rings * np.arange(count)[:, None]).ravel()
    ring_log = np.bincount(where, log_power.ravel(), minlength=rings * count).reshape(count, rings) / plane.ring_count
    over_ring = np.exp(log_power - ring_log[:, plane.ring]) * plane.structured
    spots = np.maximum(over_ring - SPOT_OVER_RING, 0.0)
    spots_total = spots.sum(axis=1)

    # White noise is the same at every frequency: subtract what the fastest ring has before asking where the power is.
    fastest = min(height, width) // 2
    signal = np.maximum(power - 2 * np.exp(ring_log[:, [fastest]]), 0.0) * plane.structured + 1e-30
    total = signal.sum(axis=1)
    folds = (signal @ plane.angles.T) / total[:, None]
    result = {
        f"{name}_contrast_ratio": np.sqrt(power @ (plane.scale == number)) / level for number, name in enumerate(SCALES)
    }
    result["lattice_strength_ratio"] = over_ring.max(axis=1)
    result["lattice_spots_number"] = spots_total**2 / ((spots**2).sum(axis=1) + SPOT_OVER_RING**2)
    result["spacing_nm"] = pixel_size_nm * np.exp(-(signal @ np.log(plane.cycles_per_px)) / total)
    for column, (fold, part) in enumerate((fold, part) for fold in (2, 4) for part in ("cos", "sin")):
        result[f"fold{fold}_{part}_ratio"] = folds[:, column]
    return result
