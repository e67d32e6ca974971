"""Descriptors from the power spectrum: contrast by scale, diffraction spots, spacing, orientation."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """The half plane of frequencies of an (h, w) window up to the last whole ring, in the order of their rings."""

    taper: Stack
    chosen: npt.NDArray[np.intp]
    """Where each of F frequencies stands in the flat half plane."""
    ring_first: npt.NDArray[np.intp]
    """(R,) the first of each ring: of one radius, in whole cycles per window."""
    ring_count: npt.NDArray[np.intp]
    weight: Array
    """(F,) of power: sums to the variance of the tapered window (Parseval), the other half plane implied."""
    scales: Array
    """(F, S) 1 where a frequency is of a scale; zero and beyond Nyquist are of none."""
    directions: Array
    """(F, 5): cos and sin of 2 and 4 times the direction, and the logarithm of the cycles per pixel."""
    structured: Array
    """(F,) 1 where faster than the taper's own leakage, within the Nyquist circle."""


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
    cycles_per_px = np.maximum(frequency, 0.5 / max(height, width))
    told = [*(f(n * direction) for n in (2, 4) for f in (np.cos, np.sin)), np.log(cycles_per_px)]
    chosen = np.argsort(ring, kind="stable")
    chosen = chosen[: np.searchsorted(ring[chosen], min(height, width) // 2, side="right")]
    ring_count = np.bincount(ring[chosen])
    return _Plane(
        taper=taper / np.sqrt(np.mean(taper**2)),
        chosen=chosen,
        ring_first=np.cumsum(ring_count) - ring_count,
        ring_count=ring_count,
        weight=weight.ravel()[chosen] / (height * width) ** 2,
        scales=(scale[chosen, None] == np.arange(len(SCALES))).astype(np.float64),
        directions=np.stack(told, axis=1)[chosen],
        structured=((ring >= 2) & (frequency <= 0.5))[chosen].astype(np.float64),
    )


def describe_spectra(windows: Sequence[Stack], window_px: int, pixel_size_nm: float) -> dict[str, Array]:
    """Descriptors of K surroundings (h, w) of windows ``window_px`` wide: a Hann taper makes the middle count most."""
    height, width = windows[0].shape
    together = max(1, _AT_ONCE_PX // (height * width))
    parts = [
        _described(np.stack(windows[first : first + together]), window_px, pixel_size_nm)
        for first in range(0, len(windows), together)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _described(stack: Stack, window_px: int, pixel_size_nm: float) -> dict[str, Array]:
    count, height, width = stack.shape
    plane = _plane(height, width, window_px)
    mean = np.tensordot(stack, plane.taper / plane.taper.sum(), axes=2)
    level = np.maximum(np.abs(mean), 1e-6).astype(np.float64)
    deviation = stack - mean[:, None, None]
    spectrum = fft.rfft2(deviation * plane.taper)
    power = (spectrum.real**2 + spectrum.imag**2).reshape(count, -1)[:, plane.chosen] * plane.weight
    # Of a ring's powers the geometric mean: of a few strong spots it knows little.
    floored = power + 1e-12 * level[:, None] ** 2
    ring_mean = np.exp(np.add.reduceat(np.log(floored), plane.ring_first, axis=1) / plane.ring_count)
    over_ring = floored / np.repeat(ring_mean, plane.ring_count, axis=1) * plane.structured
    spots = np.maximum(over_ring - SPOT_OVER_RING, 0.0)
    spots_total = spots.sum(axis=1)

    # White noise is the same at every frequency: subtract what the fastest ring has before asking where the power is.
    signal = np.maximum(power - 2 * ring_mean[:, -1:], 0.0) * plane.structured + 1e-30
    told = (signal @ plane.directions) / signal.sum(axis=1)[:, None]
    contrasts = np.sqrt(power @ plane.scales) / level[:, None]
    result = {f"{name}_contrast_ratio": contrasts[:, number] for number, name in enumerate(SCALES)}
    result["lattice_strength_ratio"] = over_ring.max(axis=1)
    result["lattice_spots_number"] = spots_total**2 / ((spots**2).sum(axis=1) + SPOT_OVER_RING**2)
    result["spacing_nm"] = pixel_size_nm * np.exp(-told[:, 4])
    for column, (fold, part) in enumerate((fold, part) for fold in (2, 4) for part in ("cos", "sin")):
        result[f"fold{fold}_{part}_ratio"] = told[:, column]
    return result
