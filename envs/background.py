"""What is ordinary for this specimen: a robust background with as many kinds of ordinary as the specimen has.

A place is unusual when few other places look like it. Film, substrate and vacuum may all be common and of different
evenness, so neither one centre nor one spread is assumed: the score compares how far a place has to reach for a set
share of the survey to look like it with how far the places it reaches have to (local outlier factor, Breunig 2000,
on robustly scaled descriptors, as a difference of logarithms).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_MAD_TO_SD = 1.4826
_WINSOR = 8.0
"""Robust spreads beyond which a value counts as no farther out: one wild number must not own the distance."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What the ordinary places most like a given one look like, on the transformed scale."""

    median: Array
    """(F,)."""
    spread: Array
    """(F,) robust standard deviations among them."""
    deviation: Array
    """(F,) of the given place, in those spreads."""
    contribution: Array
    """(F,) shares of the squared distance; they sum to 1."""
    nearest: int
    """Row, of those fitted on, of the most alike that is itself ordinary."""


class Background:
    """Fitted once on (n, F) transformed descriptors; immutable afterwards, equal for equal rows."""

    def __init__(self, rows: Array, *, grain: Array, common_ratio: Ratio, references: int = 1024) -> None:
        """``grain`` (F,): least spread of each descriptor that is taken seriously.

        ``common_ratio``: share of the rows from which a kind of place is ordinary. ``references``: rows kept, drawn
        at random by a seed of the row count. Raises ValueError for fewer than 8 rows or values that are not finite.
        """
        if len(rows) < 8 or not np.isfinite(rows).all():
            raise ValueError(f"a background needs at least 8 rows, all finite; got {rows.shape}")
        self._kept = np.arange(len(rows))
        if len(rows) > references:
            self._kept = np.sort(np.random.default_rng(len(rows)).choice(len(rows), references, replace=False))
        self._grain = grain
        self._rows = rows[self._kept]
        self._centre = np.median(rows, axis=0)
        self._scale = np.maximum(robust_spread(rows), grain)
        self._points = self._scaled(self._rows)
        self._norms = (self._points**2).sum(axis=1)
        self._k = max(3, math.ceil(common_ratio * len(self._rows)))
        squared = self._squared(self._points)
        np.fill_diagonal(squared, np.inf)
        near = np.argpartition(squared, self._k - 1, axis=1)[:, : self._k]
        self._reach = 0.5 * np.log(np.take_along_axis(squared, near, axis=1).max(axis=1) + _TINY)
        raw = self._reach - np.median(self._reach[near], axis=1)
        self._usual = float(np.median(raw))
        self._spread = max(float(_MAD_TO_SD * np.median(np.abs(raw - self._usual))), 1e-3)
        self._ordinary = raw <= self._usual + self._spread

    def score(self, rows: Array) -> Array:
        """(K, F) transformed descriptors → (K,) robust spreads above the survey's median; 0 = as usual."""
        near, reach = self._nearest(self._scaled(rows))
        return np.asarray((reach - np.median(self._reach[near], axis=1) - self._usual) / self._spread)

    def neighbourhood(self, row: Array) -> Neighbourhood:
        """Explain one row (F,) of transformed descriptors."""
        point = self._scaled(row[None, :])
        squared = self._squared(point)[0]
        near, _ = self._nearest(point)
        alike = self._rows[near[0]]
        median = np.median(alike, axis=0)
        spread = np.maximum(robust_spread(alike), self._grain)
        apart = (point[0] - np.median(self._points[near[0]], axis=0)) ** 2
        ordinary = np.where(self._ordinary & (squared > 1e-9), squared, np.inf)
        nearest = int(self._kept[int(np.argmin(ordinary))])
        return Neighbourhood(median, spread, (row - median) / spread, apart / max(apart.sum(), _TINY), nearest)

    def _scaled(self, rows: Array) -> Array:
        return np.clip((rows - self._centre) / self._scale, -_WINSOR, _WINSOR)

    def _squared(self, points: Array) -> Array:
        """(K, n) squared distances."""
        squared = (points**2).sum(axis=1)[:, None] + self._norms - 2 * points @ self._points.T
        return np.asarray(np.maximum(squared, 0.0))

    def _nearest(self, points: Array) -> tuple[npt.NDArray[np.intp], Array]:
        """(K, k) the nearest references, and (K,) log distance to the k-th."""
        squared = self._squared(points)
        squared[squared < 1e-9] = np.inf  # a place that the background has learned is not its own neighbour
        near = np.argpartition(squared, self._k - 1, axis=1)[:, : self._k]
        reach = np.take_along_axis(squared, near, axis=1)
        reach = np.where(np.isfinite(reach), reach, 0.0).max(axis=1)
        return near, np.asarray(0.5 * np.log(reach + _TINY))


def robust_spread(rows: Array) -> Array:
    """(n, F) → (F,) standard deviations; where more than half of the values are alike, the tails tell."""
    low, first, third, high = np.percentile(rows, (5, 25, 75, 95), axis=0)
    return np.asarray(np.maximum((third - first) / 1.349, 0.5 * (high - low) / 3.29))
