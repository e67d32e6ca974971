"""Adjoining unusual places that are one feature: a boundary is shown once, not once for every place it crosses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from envs.explanations import ExplainingScorer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envs.scorers import Scorer
    from envs.targets import TargetTree
    from surveys.sights import Sight

Array: TypeAlias = npt.NDArray[np.float64]

_LEAST_P = 1e-300
_LEAST_DOUBT = 1e-9
"""A place of a p-value of 1 is ordinary, not endlessly so."""


def gathered(
    called: Sequence[int], shows: Mapping[int, Sequence[Sight]], judge: Scorer, tree: TargetTree
) -> list[list[int]]:
    """The called targets as regions, each with its members in the order in which they were called.

    Two that touch, also at a corner, are one feature when some look shows them more like each other than either is
    like what is usual. A scorer that cannot tell leaves every place by itself.
    """
    if not isinstance(judge, ExplainingScorer):
        return [[target] for target in called]
    rows = [{sight.look: sight.descriptors for sight in shows[target]} for target in called]
    pairs = _touching(np.asarray(called, dtype=np.intp), tree)
    links = np.zeros(len(pairs), dtype=bool)
    for look in sorted({look for shown in rows for look in shown}):
        both = np.array([look in rows[a] and look in rows[b] for a, b in pairs], dtype=bool)
        if both.any():
            first, second = (np.array([rows[i][look] for i in side]) for side in pairs[both].T)
            links[both] |= judge.akin(look, first, second)
    a, b = pairs[links].T
    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(len(called), len(called)))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    regions: dict[int, list[int]] = {}
    for target, label in zip(called, labels.tolist(), strict=True):
        regions.setdefault(label, []).append(target)
    return list(regions.values())


def centre_nm(members: Sequence[int], p_values: Array, tree: TargetTree) -> tuple[float, float]:
    """The middle of a region's surprise, or of the member nearest to it where it lies in none: (x_nm, y_nm)."""
    where = np.asarray(members, dtype=np.intp)
    x, y = tree.x_nm[where], tree.y_nm[where]
    weights = -np.log(np.maximum(p_values, _LEAST_P)) + 1e-12
    middle = float(weights @ x / weights.sum()), float(weights @ y / weights.sum())
    off = np.hypot(x - middle[0], y - middle[1])
    inside = (np.abs(x - middle[0]) <= tree.width_nm[where] / 2) & (np.abs(y - middle[1]) <= tree.height_nm[where] / 2)
    nearest = int(np.argmin(off))
    return middle if inside.any() else (float(x[nearest]), float(y[nearest]))


def surprise(p_values: Array) -> float:
    """Of a region, by the p-values of its members: their normal deviates combined (Stouffer et al. 1949).

    >>> round(surprise(np.array([0.001])), 2), round(surprise(np.array([0.001] * 4)), 2)
    (3.09, 6.18)
    """
    likely = np.clip(p_values, _LEAST_P, 1.0 - _LEAST_DOUBT)
    return float(-special.ndtri(likely).sum() / np.sqrt(len(p_values)))


def _touching(targets: npt.NDArray[np.intp], tree: TargetTree) -> npt.NDArray[np.intp]:
    """(M, 2) indices of pairs of targets of one kind that touch, the smaller first."""
    index = {
        (level, row, column): number
        for number, (level, row, column) in enumerate(
            zip(tree.level[targets].tolist(), tree.row[targets].tolist(), tree.column[targets].tolist(), strict=True)
        )
    }
    pairs = [
        (min(number, other), max(number, other))
        for (level, row, column), number in index.items()
        for step in ((0, 1), (1, -1), (1, 0), (1, 1))
        if (other := index.get((level, row + step[0], column + step[1]))) is not None
    ]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)
