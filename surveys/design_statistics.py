"""When is a feature seen? The matched filter's output, its chance maxima over a frame, and the dose that it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from surveys.design_poisson import PoissonSum, grouped

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

ROSE: Ratio = 5.0
"""Rose's criterion: a signal five standard deviations above its noise is seen (Rose, Adv. Electronics 1 (1948) 131)."""
_RANGE_E_PER_A2 = (1e-4, 1e16)
_SCANNED = 100
PER_A2 = 100.0
"""Å² in a nm²."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Among how many places the feature is looked for in one frame."""

    places: float
    """Pixels, or columns of atoms."""
    bends: Ratio = math.inf
    """Area of the frame times the second spectral moment of the filtered noise: how often it goes up and down."""

    def chance(self, level: Ratio) -> Ratio:
        """Expected number of places where Gaussian noise of unit variance exceeds a level.

        Of a smooth field the Euler characteristic of what lies above it (Adler, The Geometry of Random Fields, 1981,
        theorem 5.3.1), λ₂ A (2π)^(−3/2) u exp(−u²/2); never more than every pixel on its own would give.
        """
        alone = self.places * float(stats.norm.sf(level))
        if not math.isfinite(self.bends) or level < 1:
            return alone
        smooth = self.bends * (2 * math.pi) ** -1.5 * level * math.exp(-(level**2) / 2) + float(stats.norm.sf(level))
        return float(min(alone, smooth))

    def tail(self, false_alarm: Ratio) -> Ratio:
        """The p-value, at one place, that a whole frame exceeds with this chance."""
        wanted = -math.log1p(-false_alarm)
        if self.chance(-8.0) <= wanted:
            return 1.0 - 1e-12
        level = optimize.brentq(lambda u: self.chance(u) - wanted, -8.0, 38.0)
        return float(stats.norm.sf(level))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """How a feature is told from its absence as the fluence grows.

    The output is T = Σ w n over counts n of a frame: Poisson numbers, each times a weight, whose cumulants grow with
    the fluence D; where atoms lie at random a part that no dose averages away, whose variance grows as D²; and the
    noise of the detector's electronics.
    """

    weights: Array
    """(K,) that occur."""
    rates: Array
    """(K,) electrons counted with each, without the feature, per e/nm²."""
    rates_with: Array
    """(K,) with it."""
    structure: float = 0.0
    """Variance by the specimen's own irregularity, over D²."""
    read_noise: float = 0.0
    """Variance by the detector's electronics, which does not grow with D."""
    search: Search
    false_alarm: Ratio = 0.05

    @property
    def shift(self) -> float:
        """Mean of T with the feature less that without, over D."""
        return float(np.sum(self.weights * (self.rates_with - self.rates)))

    def snr(self, fluence_e_per_A2: float) -> Ratio:
        """d′, the shift over the standard deviation without the feature."""
        return self.shift * fluence_e_per_A2 * PER_A2 / self._sum(fluence_e_per_A2, self.rates).deviation

    def threshold(self, fluence_e_per_A2: float) -> float:
        """T above its mean without the feature, which a frame without it exceeds with the accepted chance."""
        return self._sum(fluence_e_per_A2, self.rates).quantile(self.search.tail(self.false_alarm))

    def probability(self, fluence_e_per_A2: float) -> Ratio:
        """Chance that the feature, where it is, exceeds the threshold."""
        level = self.threshold(fluence_e_per_A2) - self.shift * fluence_e_per_A2 * PER_A2
        return self._sum(fluence_e_per_A2, self.rates_with).beyond(level)

    def _sum(self, fluence_e_per_A2: float, rates: Array) -> PoissonSum:
        dose = fluence_e_per_A2 * PER_A2
        return PoissonSum(self.weights, rates * dose, self.structure * dose**2 + self.read_noise)

    def dose_e_per_A2(self, detection: Ratio) -> float:
        """Fluence that sees the feature with this chance; infinite where the specimen's own irregularity forbids it."""
        return self._least(self.probability, detection)

    def rose_e_per_A2(self) -> float:
        """Fluence at which d′ is 5; infinite where it never is."""
        return self._least(self.snr, ROSE)

    def _least(self, of: Callable[[float], float], wanted: float) -> float:
        """The fluence from which on ``of`` stays above what is wanted."""
        if self.shift <= 0 or not self._sum(1.0, self.rates).deviation > 0 or of(_RANGE_E_PER_A2[1]) < wanted:
            return math.inf
        low, high = (math.log(each) for each in _RANGE_E_PER_A2)
        steps = np.linspace(high, low, _SCANNED)
        below = next((x for x in steps if of(math.exp(x)) < wanted), None)
        if below is None:
            return _RANGE_E_PER_A2[0]
        above = below + (high - low) / (_SCANNED - 1)
        return math.exp(optimize.brentq(lambda x: of(math.exp(x)) - wanted, below, above, xtol=1e-4))


def filtered(
    weights: Array,
    background: Array,
    signal: Array,
    pixel_nm: float,
    search: Search,
    false_alarm: Ratio,
    *,
    structure: float = 0.0,
    read_electrons: float = 0.0,
) -> Curve:
    """The curve of a filter: ``weights``, ``background`` and ``signal`` (…) of one shape, shares of the electrons.

    ``read_electrons``: standard deviation of the detector's electronics, in electrons a pixel.
    """
    area = pixel_nm**2
    both = np.maximum(background + signal, 0.0)
    return Curve(
        **grouped(weights.ravel(), background.ravel() * area, both.ravel() * area),
        structure=structure,
        read_noise=float(np.sum(weights**2) * read_electrons**2),
        search=search,
        false_alarm=false_alarm,
    )


def bends_per_nm2(weights: Array, pixel_nm: float) -> float:
    """λ₂ of white noise filtered by ``weights`` (H, W): ∫ |∇w|² / (2 ∫ w²), the mean over both directions."""
    down, across = np.gradient(np.pad(weights, 2), pixel_nm)
    return float(np.sum(down**2 + across**2) / (2 * np.sum(weights**2)))
