"""Random numbers by counting, compiled: a number is a hash of what it is for, so no order of asking changes it."""

from __future__ import annotations

import numba
import numpy as np

from instruments.simulated.hashing import FIRST, ODD, SECOND, STEP, TO_UNIT_VARIANCE

_STEP, _ODD, _FIRST, _SECOND = (np.uint64(word) for word in (STEP, ODD, FIRST, SECOND))
_TO_UNIT_VARIANCE = float(TO_UNIT_VARIANCE)


@numba.njit(inline="always", cache=True)
def mix(z):
    """The finaliser of splitmix64 (Steele, Lea & Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@numba.njit(inline="always", cache=True)
def key(seed, stream):
    """Where one stream of a seed's numbers starts."""
    return mix(np.uint64(seed) * _ODD + np.uint64(stream) * _STEP)


@numba.njit(inline="always", cache=True)
def at(start, i, j):
    """64 random bits for a pair of whole numbers, of a stream that starts at ``start``."""
    return mix(mix(start + np.uint64(i) * _STEP) + np.uint64(j) * _STEP)


@numba.njit(inline="always", cache=True)
def unit(bits):
    """A number in [0, 1) from the upper 53 of 64 random bits."""
    return float(bits >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True)
def noise(start, x, y):
    """A smooth random field at a point: mean 0, standard deviation 1, correlated over about one unit.

    Quadratic B-splines over uniform random nodes, as ``hashing.smooth_noise`` makes of whole grids.
    """
    left, top = np.floor(x), np.floor(y)
    f, g = x - left, y - top
    i, j = np.int64(left), np.int64(top)
    total = 0.0
    for m in range(3):
        down = (1 - g) ** 2 / 2 if m == 0 else (0.5 + g - g * g if m == 1 else g * g / 2)
        row = 0.0
        for n in range(3):
            across = (1 - f) ** 2 / 2 if n == 0 else (0.5 + f - f * f if n == 1 else f * f / 2)
            row += across * (unit(at(start, i + n, j + m)) - 0.5)
        total += down * row
    return total * _TO_UNIT_VARIANCE


@numba.njit(cache=True)
def nodes(start, low_x, high_x, low_y, high_y, most):
    """The random nodes of ``noise`` over a rectangle: first i, first j, (N, M) nodes; none where more than ``most``."""
    i, j = np.int64(np.floor(low_x)), np.int64(np.floor(low_y))
    wide, high = np.int64(np.floor(high_x)) + 3 - i, np.int64(np.floor(high_y)) + 3 - j
    found = np.empty((wide, high) if wide * high <= most else (0, 0))
    for k in range(found.shape[0]):
        across = mix(start + np.uint64(i + k) * _STEP)
        for m in range(found.shape[1]):
            found[k, m] = unit(mix(across + np.uint64(j + m) * _STEP)) - 0.5
    return i, j, found


@numba.njit(cache=True)
def noise_among(start, known, x, y):
    """``noise``, from ``nodes`` where they are known: for points that lie closer than the nodes."""
    first_i, first_j, found = known
    if found.size == 0:
        return noise(start, x, y)
    left, top = np.floor(x), np.floor(y)
    f, g = x - left, y - top
    i, j = np.uint64(np.int64(left) - first_i), np.uint64(np.int64(top) - first_j)  # unsigned: none counts from the end
    one, two = np.uint64(1), np.uint64(2)
    before, middle, after = (1 - f) ** 2 / 2, 0.5 + f - f * f, f * f / 2
    total = (1 - g) ** 2 / 2 * (before * found[i, j] + middle * found[i + one, j] + after * found[i + two, j])
    total += (0.5 + g - g * g) * (
        before * found[i, j + one] + middle * found[i + one, j + one] + after * found[i + two, j + one]
    )
    total += (
        g * g / 2 * (before * found[i, j + two] + middle * found[i + one, j + two] + after * found[i + two, j + two])
    )
    return total * _TO_UNIT_VARIANCE
