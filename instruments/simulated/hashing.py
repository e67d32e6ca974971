"""Randomness addressed by position: a number for (seed, place), the same whenever and from wherever it is asked.

Counter-based (splitmix64 finaliser, Steele et al., OOPSLA 2014), so that nothing is kept and nothing is drawn in order.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]

STEP, ODD = 0x9E3779B97F4A7C15, 0x2545F4914F6CDD1D
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Of splitmix64, and an odd number that spreads seeds: also for the compiled twin, ``counter``."""
_WORD = (1 << 64) - 1


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
    return z ^ (z >> np.uint64(31))


def uniform(seed: int, stream: int, *indices: npt.ArrayLike) -> Floats:
    """Numbers in [0, 1) for whole-number indices that broadcast against each other.

    Different streams of one seed are independent of each other.

    >>> float(uniform(7, 0, 3, -4)) == float(uniform(7, 0, [1, 3], [-4])[1])
    True
    """
    z = _mix(np.full(1, (seed * ODD + stream * STEP) & _WORD, dtype=np.uint64))
    for index in indices:
        steps = np.atleast_1d(np.asarray(index, dtype=np.int64)).view(np.uint64) * np.uint64(STEP)
        z = _mix(z + steps)
    values = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return values.reshape(np.broadcast_shapes(*(np.shape(index) for index in indices)))


def smooth_noise(seed: int, stream: int, xs_nm: Doubles, ys_nm: Doubles, grain_nm: float) -> Floats:
    """A smooth random field on the grid (ys, xs): mean 0, standard deviation 1, correlated over about ``grain_nm``.

    Quadratic B-splines over random nodes, so that neighbouring frames agree wherever they overlap.

    Returns: (H, W).
    """
    columns, across = _spline(xs_nm, grain_nm)
    rows, down = _spline(ys_nm, grain_nm)
    left, top = int(columns.min()), int(rows.min())
    nodes = uniform(
        seed,
        stream,
        np.arange(top, int(rows.max()) + 3)[None, :],
        np.arange(left, int(columns.max()) + 3)[:, None],
    )
    nodes -= np.float32(0.5)
    nodes *= np.float32(TO_UNIT_VARIANCE)
    wide = np.ascontiguousarray(_blend(nodes, columns - left, across).T)
    return _blend(wide, rows - top, down)


TO_UNIT_VARIANCE = np.sqrt(12.0) / 0.55
"""Uniform nodes have variance 1/12; the spline keeps 0.55² of it on average (exactly (11/20)², over both axes)."""


def _spline(at_nm: Doubles, grain_nm: float) -> tuple[Whole, Floats]:
    """First node (N,) and the weights (3, N) of the quadratic B-spline at each coordinate."""
    u = at_nm / grain_nm
    node = np.floor(u)
    f = (u - node).astype(np.float32)
    return node.astype(np.int64), np.stack([(1 - f) ** 2 / 2, 0.5 + f - f**2, f**2 / 2])


def _blend(nodes: Floats, first: Whole, weights: Floats) -> Floats:
    """Weighted sums of three neighbouring rows of ``nodes`` (M, K) → (N, K)."""
    blended: Floats = nodes[first] * weights[0][:, None]
    blended += nodes[first + 1] * weights[1][:, None]
    blended += nodes[first + 2] * weights[2][:, None]
    return blended
