"""How surprising a score is, judged by the survey's own ordinary places, and how many surprises to believe.

Ranks alone cannot do it: among 1,000 places no rank is below 1/1000, and 1,000 tests need less. Nor can the upper
scores say what is ordinary, when a tenth of a specimen may be unusual. The lower half can: no rare feature is in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

FEWEST_SCORES = 20
FEWEST_OBJECT_SCORES = 500
"""Places from which a survey knows how far its own objects reach: the tail of a property is read off its upper
fiftieth, and of a few places that is a handful. On recorded images of dislocation loops, of 256 places, two more
were flagged than without, and wrongly."""

_SINGLE, _REGION = (1.25, 1.2), (0.8, 1.4)
"""Scale, in spreads of the lower half, and shape of the upper tail: of single places, and of regions. Fixed on
simulated specimens without rare features, whose seeds are below 1000 as no benchmark's are: flags on under 5 % of
them."""
_LOWER = 0.1
_UPPER = np.linspace(0.6, 0.9, 31)
_LINE = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
_REGIONS = (_LINE, _LINE.T, np.eye(3), np.eye(3)[::-1], np.array([[0.5, 0.8, 0.5], [0.8, 1.0, 0.8], [0.5, 0.8, 0.5]]))
"""What extended features look like from a place in their midst: a line (interface, boundary) or a patch."""
_RARE, _DOUBT, _DOUBT_TOUCHING = 0.03, 1.0, 3.0
"""Up to this share of the places a rare kind leaves ``own_p_values`` be; and by how many standard errors the tail is
taken to fall slower than it looks, and more where only the places that touch one are left out of it. Fixed on drawn
folders where nothing is rare, of the kinds of ``benchmarks.flag_nulls`` and other seeds."""
_OTHERS = 100
"""Scores of other images from which a tail is read without those of one's own."""
_CAREFUL, _WIDEST = 0.65, 1.4
"""Of scores of objects: how much of a unit counts for one in the first tenth of the upper tenth, and how far the middle
of the scores may spread, over a falling exponential, before all is stretched. Fixed on specimens whose seeds are
below 1000."""
_CLIP = 2.0
"""Robust spreads that one place can add to its region: no place speaks for all."""


@dataclass(frozen=True, slots=True)
class UpperTail:
    """Null of scores: (score − centre) ÷ scale is a standard normal deviate raised to ``shape``."""

    centre: float
    scale: float
    shape: Ratio

    def p_values(self, scores: Array) -> Array:
        """(N,) → (N,) P(an ordinary place scores as much or more); 1 at or below the centre."""
        above = np.maximum(scores - self.centre, 0.0) / self.scale
        return np.where(above > 0, special.ndtr(-(above ** (1 / self.shape))), 1.0)


def single_tail(scores: Array) -> UpperTail:
    """Empirical null (after Efron 2004) of (N,) scores of single places.

    Its spread is that of the lower half, widened as ordinary scores are skewed, and not below that of the upper scores
    short of the last tenth: where a common kind scores high (edges of holes), it is the wider that is true.
    Raises ValueError for fewer than 20 scores.
    """
    lower = _lower_half(scores, *_SINGLE)
    deviates = special.ndtri(_UPPER) ** lower.shape
    above = np.maximum(np.quantile(scores, _UPPER) - lower.centre, 0.0)
    return replace(lower, scale=max(lower.scale, float(deviates @ above / (deviates @ deviates))))


def own_p_values(scores: Array, places: npt.NDArray[np.int_], *, alike: bool = False) -> Array:
    """(N,) → (N,) p-values by a falling exponential from the median through the upper 3 % of the other images' scores.

    For images of which nothing is known: where most places are empty and some hold one, two or three of the same, or
    touching ones, scores have a heavier tail than ``single_tail`` knows. A kind of place that makes up more than 3 %
    is ordinary by this. One thing lifts the places around it too, so that its own image is left out of the tail that it
    has to beat; where fewer than 100 were left, the places that touch it are; where fewer than 20 were, none.
    ``places``: (N, 3) image, row and column in cells; ``alike``: images differ more than the places of one do, as where
    a lattice fills each: then only those that touch are left out. Raises ValueError for fewer than 20 scores.
    """
    _enough(scores)
    p = np.ones(len(scores))
    for image in np.unique(places[:, 0]):
        mine = places[:, 0] == image
        if not alike and (~mine).sum() >= _OTHERS:
            p[mine] = _beyond(scores[~mine], scores[mine], _DOUBT)
            continue
        for place in np.flatnonzero(mine):
            apart = ~mine | (np.abs(places - places[place]).max(axis=1) > 1)
            others = scores[apart] if apart.sum() >= FEWEST_SCORES else scores
            p[place] = _beyond(others, scores[[place]], _DOUBT_TOUCHING)[0]
    return p


def _beyond(others: Array, scores: Array, doubt: float) -> Array:
    middle, high = np.quantile(others, (0.5, 1 - _RARE))
    depth = math.log(0.5 / _RARE)
    error = math.sqrt((1 - _RARE) / (_RARE * len(others))) / depth
    fall = max(float(high - middle) / depth * (1 + doubt * error), 1e-6)
    return np.where(scores > middle, np.minimum(0.5, _RARE * np.exp(-(scores - high) / fall)), 1.0)


def region_tail(scores: Array) -> UpperTail:
    """The same for ``region_scores``, which averaging has made nearly symmetric: the lower half tells it all."""
    return _lower_half(scores, *_REGION)


def region_scores(scores: Array, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> Array:
    """(N,) scores of places on a grid → (N,) largest weighted sum over the places in a line or patch with each.

    Sums are divided by the root of their summed squared weights. What was not seen counts as ordinary (0).
    """
    grid = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1))
    grid[rows, columns] = np.clip(scores, -_CLIP, _CLIP)
    sums = [ndimage.convolve(grid, region, mode="constant") / np.sqrt((region**2).sum()) for region in _REGIONS]
    return np.asarray(np.max(sums, axis=0)[rows, columns])


def _lower_half(scores: Array, scale: Ratio, shape: Ratio) -> UpperTail:
    _enough(scores)
    low, centre, high = np.quantile(scores, (_LOWER, 0.5, 1 - _LOWER))
    # A scorer that calls every ordinary place 0 has no lower half: then the upper one must do.
    spread = (centre - low if centre > low else high - centre) / -special.ndtri(_LOWER)
    return UpperTail(float(centre), float(max(scale * spread, 1e-6)), shape)


def _enough(scores: Array) -> None:
    if len(scores) < FEWEST_SCORES:
        raise ValueError(f"{len(scores)} scores are too few to know the ordinary ones: {FEWEST_SCORES} are needed")


def simes(p_values: Array) -> float:
    """One p-value out of several about the same place (Simes 1986), valid when they agree by nature.

    >>> simes(np.array([0.01, 0.5]))
    0.02
    """
    ordered = np.sort(p_values)
    return float(np.min(len(ordered) * ordered / np.arange(1, len(ordered) + 1), initial=1.0))


def q_values(p_values: Array) -> Array:
    """(N,) → (N,): the smallest false-discovery rate at which each is called (Benjamini & Hochberg 1995).

    >>> q_values(np.array([0.01, 0.02, 0.9])).round(3).tolist()
    [0.03, 0.03, 0.9]
    """
    order = np.argsort(p_values)
    stepped = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    result = np.empty(len(p_values))
    result[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return result


def object_p_values(scores: Array) -> Array:
    """(N,) → (N,) P(an ordinary place holds an object as extreme): scores of ``envs.extremes``, all places of a look.

    Up to its upper tenth the survey itself tells. Beyond, a score counts as what it is, a logarithm of probability; at
    first somewhat more, for the less surprised of two tails was taken, and less where a common kind scores high.
    Raises ValueError for fewer than 500 scores.
    """
    if len(scores) < FEWEST_OBJECT_SCORES:
        needed = f"{FEWEST_OBJECT_SCORES} are needed"
        raise ValueError(f"{len(scores)} scores are too few to know how far ordinary objects reach: {needed}")
    known = np.quantile(scores, (0.0, 0.5, 0.8, 0.9))
    depth = -np.log(np.array([1.0, 0.5, 0.2, 0.1]))
    inside = np.interp(scores, np.maximum.accumulate(known + 1e-9 * np.arange(4)), depth)
    stretched = max(1.0, float(known[3] - known[1]) / (math.log(5.0) * _WIDEST))
    beyond = np.maximum(scores - known[3], 0.0) / stretched
    decade = math.log(10.0)
    more = np.minimum(beyond / _CAREFUL, decade + np.maximum(beyond - _CAREFUL * decade, 0.0))
    return np.asarray(np.exp(-(inside + more)))
