"""How surprising a score is, judged by the survey's own ordinary places, and how many surprises to believe.

Ranks alone cannot do it: among 1,000 places no rank is below 1/1000, and 1,000 tests need less. So the upper tail is
fitted on the central scores, which rare features do not reach, and continued.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

FEWEST_SCORES = 20

_CENTRAL = np.linspace(0.6, 0.9, 31)
"""Ranks that are taken for ordinary: up to a tenth of a survey may be unusual without spoiling the fit."""


@dataclass(frozen=True, slots=True)
class UpperTail:
    """P(score ≥ s) = share · exp(−(s / scale)^shape) for s > 0: a Weibull tail (shape 1 exponential, 2 Gaussian)."""

    share: Ratio
    """Of ordinary places with a score above 0."""
    scale: Ratio
    shape: Ratio

    def p_values(self, scores: Array) -> Array:
        """(N,) → (N,); 1 where the score is 0 or below."""
        positive = np.maximum(scores, 0.0)
        return np.where(scores > 0, self.share * np.exp(-((positive / self.scale) ** self.shape)), 1.0)


def ordinary_tail(scores: Array) -> UpperTail:
    """Empirical null (Efron 2004) of (N,) scores whose median is about 0, most of them ordinary.

    The shape is kept between exponential and Gaussian: a fit may not promise a shorter tail than noise has.
    Raises ValueError for fewer than 20 scores.
    """
    if len(scores) < FEWEST_SCORES:
        raise ValueError(f"{len(scores)} scores are too few to know the ordinary ones: {FEWEST_SCORES} are needed")
    values = np.quantile(scores, _CENTRAL)
    usable = values > 1e-9
    if usable.sum() < 3:
        return UpperTail(0.5, 1.0, 1.0)
    x = np.log(values[usable])
    y = np.log(-np.log((1 - _CENTRAL[usable]) / 0.5))
    shape = float(np.clip(np.polyfit(x, y, 1)[0], 1.0, 2.0))
    scale = float(np.exp(np.mean(x - y / shape)))
    return UpperTail(0.5, scale, shape)


def simes(p_values: Array) -> float:
    """One p-value out of several about the same place (Simes 1986), valid when they agree by nature.

    >>> simes(np.array([0.01, 0.5]))
    0.02
    """
    ordered = np.sort(p_values)
    return float(np.min(len(ordered) * ordered / np.arange(1, len(ordered) + 1)))


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
