"""Recorded spectra and patterns on a frame's pixels: shares of area for what is measured, counts where it is counted.

Both go through the record one row at a time, so that no more of it is in memory than a row and the frame.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable

Ratio: TypeAlias = float
Doubles: TypeAlias = npt.NDArray[np.floating[Any]]
Rows: TypeAlias = "Callable[[int, slice], npt.NDArray[Any]]"
"""(row, columns) → (columns, K)."""


def shares(edges_px: Doubles, count: int) -> sparse.csr_matrix:
    """(N, ``count``) which share of each recorded pixel lies in each of N frame pixels with these borders (N + 1,).

    >>> shares(np.array([0.0, 1.5, 3.0]), 3).toarray()
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]])
    """
    found = sparse.lil_matrix((len(edges_px) - 1, count))
    for i, (first, last) in enumerate(pairwise(edges_px)):
        for j in range(max(int(np.floor(first + 1e-9)), 0), min(int(np.ceil(last - 1e-9)), count)):
            found[i, j] = min(last, j + 1) - max(first, j)
    return found.tocsr()


def averaged(rows: Rows, down: sparse.csr_matrix, across: sparse.csr_matrix, depth: int) -> npt.NDArray[np.float32]:
    """(H, W, K) means of what was recorded over each frame pixel's area, by ``shares`` of rows and of columns."""
    total = np.zeros((down.shape[0], across.shape[0], depth))
    columns, part = _used(across)
    for row in np.unique(down.indices):
        values = part @ rows(int(row), columns)
        for i, weight in _of_column(down, int(row)):
            total[i] += weight * values
    area = np.asarray(down.sum(axis=1)).reshape(-1, 1, 1) * np.asarray(across.sum(axis=1)).reshape(1, -1, 1)
    means: npt.NDArray[np.float32] = (total / area).astype(np.float32)
    return means


def thinned(
    rows: Rows,
    down: sparse.csr_matrix,
    across: sparse.csr_matrix,
    depth: int,
    kept: Ratio,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint32]:
    """(H, W, K) counts, of which each recorded one is ``kept`` by chance and falls into one frame pixel by chance.

    A Poisson process thinned is a Poisson process: these are the counts of a shorter exposure, none counted twice.
    """
    total = np.zeros((down.shape[0], across.shape[0], depth), dtype=np.uint32)
    columns, part = _used(across)
    for row in np.unique(down.indices):
        left = rng.binomial(rows(int(row), columns).astype(np.int64), kept)
        rest: Ratio = 1.0
        for i, weight in _of_column(down, int(row)):
            mine = _taken(left, weight / rest, rng)
            left, rest = left - mine, rest - weight
            total[i] += _spread(mine, part, rng)
    return total


def _spread(counts: npt.NDArray[np.int64], part: sparse.csr_matrix, rng: np.random.Generator) -> npt.NDArray[np.uint32]:
    """(W, K) of counts (columns, K): each falls into one of the frame pixels that share its recorded pixel."""
    total = np.zeros((part.shape[0], counts.shape[1]), dtype=np.uint32)
    by_column = part.tocsc()
    for column in range(part.shape[1]):
        left, rest = counts[column], 1.0
        for j, weight in _of_column(by_column, column):
            mine = _taken(left, weight / rest, rng)
            left, rest = left - mine, rest - weight
            total[j] += mine.astype(np.uint32)
    return total


def _taken(counts: npt.NDArray[np.int64], share: Ratio, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return counts if share >= 1 - 1e-9 else rng.binomial(counts, share)


def _used(across: sparse.csr_matrix) -> tuple[slice, sparse.csr_matrix]:
    """The recorded columns that a frame needs, and the shares of these alone."""
    first, last = int(across.indices.min()), int(across.indices.max()) + 1
    return slice(first, last), across[:, first:last]


def _of_column(matrix: Any, column: int) -> list[tuple[int, float]]:
    """Frame pixels that have a share in a recorded one, with it."""
    one = matrix[:, [column]].tocoo()
    return [(int(i), float(weight)) for i, weight in zip(one.row, one.data, strict=True)]
