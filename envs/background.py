"""What is ordinary for this specimen: a robust background with as many kinds of ordinary as the specimen has.

A place is unusual when few other places look like it. Film, substrate and vacuum may all be common, one more even
than the other, so neither one centre nor one spread is assumed: the score is how far a place has to reach to meet a
set share of the survey, less a part of how far the places it meets have to (with all of it, this is the local outlier
factor of Breunig et al. 2000, on mean distances). Every descriptor counts in robust spreads, none for more than a few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float
Metric: TypeAlias = Literal["euclidean", "cityblock"]

_MAD_TO_SD = 1.4826
_WINSOR = 8.0
"""Robust spreads beyond which a value counts as no farther out: one wild number must not own the distance."""
_TINY = 1e-3
_ITSELF = 1e-9
_AT_ONCE = 256
"""Points whose distances are held at a time, so that memory does not grow with the night."""


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

    def __init__(
        self, rows: Array, *, grain: Array, common_ratio: Ratio, metric: Metric, excuse: Ratio, references: int = 1024
    ) -> None:
        """``grain`` (F,): least spread of each descriptor that is taken seriously.

        ``common_ratio``: share of the rows from which a kind of place is ordinary. ``metric``: euclidean heeds the few
        descriptors that are far off, cityblock the many that are a little off. ``excuse``: part of its neighbours' own
        reach that is taken off a place's. ``references``: rows kept, drawn by a seed of the row count.
        Raises ValueError for fewer than 8 rows or values that are not finite.
        """
        if len(rows) < 8 or not np.isfinite(rows).all():
            raise ValueError(f"a background needs at least 8 rows, all finite; got {rows.shape}")
        self._kept = np.arange(len(rows))
        if len(rows) > references:
            self._kept = np.sort(np.random.default_rng(len(rows)).choice(len(rows), references, replace=False))
        self._grain = grain
        self._metric = metric
        self._excuse = excuse
        self._rows = rows[self._kept]
        self._centre = np.median(rows, axis=0)
        self._scale = np.maximum(robust_spread(rows), grain)
        self._points = self._scaled(self._rows)
        self._k = max(3, math.ceil(common_ratio * len(self._rows)))
        near, self._reach = self._nearest(self._points)
        alone = self._reach - excuse * np.median(self._reach[near], axis=1)
        self._usual = float(np.median(alone))
        self._spread = max(float(_MAD_TO_SD * np.median(np.abs(alone - self._usual))), 1e-3)
        self._ordinary = alone <= self._usual + self._spread

    def score(self, rows: Array) -> Array:
        """(K, F) transformed descriptors → (K,) robust spreads above the survey's median; 0 = as usual."""
        near, reach = self._nearest(self._scaled(rows))
        alone = reach - self._excuse * np.median(self._reach[near], axis=1)
        return np.asarray((alone - self._usual) / self._spread)

    def akin(self, first: Array, second: Array) -> npt.NDArray[np.bool_]:
        """(K,) whether K pairs (K, F) lie nearer to each other than either lies to the references it meets first."""
        a, b = self._scaled(first), self._scaled(second)
        order = 1 if self._metric == "cityblock" else 2
        apart = np.log(np.linalg.norm(a - b, ord=order, axis=1) + _TINY)
        return np.asarray(apart < np.minimum(self._nearest(a)[1], self._nearest(b)[1]))

    def neighbourhood(self, row: Array) -> Neighbourhood:
        """Explain one row (F,) of transformed descriptors by the ordinary rows most like it."""
        point = self._scaled(row[None, :])
        distance = np.where(self._ordinary, self._distances(point)[0], np.inf)
        near = np.argsort(distance)[: self._k]
        alike = self._rows[near]
        median = np.median(alike, axis=0)
        spread = np.maximum(robust_spread(alike), self._grain)
        apart = (point[0] - np.median(self._points[near], axis=0)) ** 2
        return Neighbourhood(
            median=median,
            spread=spread,
            deviation=(row - median) / spread,
            contribution=apart / max(float(apart.sum()), _TINY),
            nearest=int(self._kept[near[0]]),
        )

    def _scaled(self, rows: Array) -> Array:
        return np.clip((rows - self._centre) / self._scale, -_WINSOR, _WINSOR)

    def _distances(self, points: Array) -> Array:
        """(K, n); infinite to itself, for a place that the background has learned is not its own neighbour."""
        distance = np.asarray(cdist(points, self._points, self._metric))
        return np.where(distance < _ITSELF, np.inf, distance)

    def _nearest(self, points: Array) -> tuple[npt.NDArray[np.intp], Array]:
        """(K, k) the nearest references, and (K,) log mean distance to them."""
        if len(points) > _AT_ONCE:
            parts = [self._nearest(points[first : first + _AT_ONCE]) for first in range(0, len(points), _AT_ONCE)]
            return np.concatenate([near for near, _ in parts]), np.concatenate([reach for _, reach in parts])
        distance = self._distances(points)
        near = np.argpartition(distance, self._k - 1, axis=1)[:, : self._k]
        reach = np.take_along_axis(distance, near, axis=1)
        return near, np.asarray(np.log(np.where(np.isfinite(reach), reach, 0.0).mean(axis=1) + _TINY))


def robust_spread(rows: Array) -> Array:
    """(n, F) → (F,) standard deviations by the middle 80 %, which sees a tail that the quartiles do not."""
    low, high = np.percentile(rows, (10, 90), axis=0)
    return np.asarray((high - low) / 2.563)
