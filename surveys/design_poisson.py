"""The distribution of a sum of Poisson numbers, each times a weight: what a linear filter makes of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, stats

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_GROUPS = 400
"""Different weights that are kept apart."""
_SKEWED: Ratio = 0.2
"""Beyond, the distribution is summed up; below, Pearson's type III with the same three moments serves."""
_STEPS, _MOST = 64, 1 << 17
"""Of the largest weight, and of the whole distribution."""
_REACH, _REACH_EVENTS = 9.0, 30.0
"""How far from the mean it is summed up: standard deviations and, beyond, largest weights."""


def grouped(weights: Array, rates: Array, rates_with: Array) -> dict[str, Array]:
    """Weights (N,) that are nearly alike taken together, with what is counted under them: at most 2 · 400 (K,).

    Between two neighbours of an even scale each is shared so that the sum's mean stays.
    """
    low, high = float(weights.min()), float(weights.max())
    step = max(high - low, 1e-300) / (_GROUPS - 1)
    along = np.clip((weights - low) / step, 0, _GROUPS - 1)
    first = np.minimum(along.astype(np.int64), _GROUPS - 2)
    rest = along - first
    found = []
    for each in (rates, rates_with):
        total = np.bincount(first, each * (1 - rest), _GROUPS) + np.bincount(first + 1, each * rest, _GROUPS)
        found.append(total)
    kept = (found[0] > 0) | (found[1] > 0)
    scale = low + step * np.arange(_GROUPS)
    columns = {"weights": scale, "rates": found[0], "rates_with": found[1]}
    return {name: np.asarray(column[kept], dtype=np.float64) for name, column in columns.items()}


@dataclass(frozen=True, eq=False)
class PoissonSum:
    """T = Σ w n less its mean, with n Poisson numbers of given means, and Gaussian noise beside."""

    weights: Array
    """(K,)"""
    means: Array
    """(K,)"""
    noise: float
    """Variance of what is Gaussian."""

    @cached_property
    def deviation(self) -> float:
        """Standard deviation."""
        return math.sqrt(float(np.sum(self.weights**2 * self.means)) + self.noise)

    @cached_property
    def skewness(self) -> Ratio:
        """Third cumulant over the deviation's cube."""
        return float(np.sum(self.weights**3 * self.means)) / self.deviation**3

    def beyond(self, level: float) -> Ratio:
        """Chance of more than a level."""
        if abs(self.skewness) <= _SKEWED:
            return float(stats.pearson3.sf(level / self.deviation, self.skewness))
        places, tail = self._summed
        return float(np.interp(level, places, tail, left=1.0, right=0.0))

    def quantile(self, tail: Ratio) -> float:
        """The least level that is exceeded with a chance of no more than ``tail``."""
        if abs(self.skewness) <= _SKEWED:
            return float(stats.pearson3.isf(tail, self.skewness)) * self.deviation
        places, chances = self._summed
        return float(places[min(int(np.searchsorted(-chances, -tail)), len(places) - 1)])

    @cached_property
    def _summed(self) -> tuple[Array, Array]:
        """Levels (N,) and the chance of more than each, by the transform exp(Σ m (exp(iuw) − 1) − u² v / 2)."""
        largest = float(np.abs(self.weights).max())
        half = _REACH * self.deviation + _REACH_EVENTS * largest
        count = min(int(fft.next_fast_len(math.ceil(2 * half * _STEPS / largest))), _MOST)
        step = 2 * half / count
        # each weight lies between two steps and is shared by them: the mean stays
        along = self.weights / step
        first = np.floor(along).astype(np.int64)
        events = np.bincount(first % count, self.means * (1 - (along - first)), count)
        events = events + np.bincount((first + 1) % count, self.means * (along - first), count)
        turns = 2 * math.pi * fft.rfftfreq(count)
        mean = float(np.sum(self.weights * self.means)) / step
        whole = round(mean)  # to move it by parts of a step would make it ring
        log = fft.rfft(events) - events.sum() + 1j * turns * whole - (turns**2) * (self.noise / step**2 / 2)
        chances = fft.fftshift(fft.irfft(np.exp(log), n=count))
        tail = np.clip(np.cumsum(chances[::-1])[::-1] - chances, 0.0, 1.0)
        return np.asarray((np.arange(count) - count // 2 + whole - mean) * step), np.asarray(tail)
