"""When is a feature seen? The matched filter's output, its chance maxima over a frame, and the dose that it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

ROSE: Ratio = 5.0
"""Rose's criterion: a signal five standard deviations above its noise is seen (Rose, Adv. Electronics 1 (1948) 131)."""
_RANGE_E_PER_A2 = (1e-4, 1e16)
_SCANNED = 100
_NARROW: Ratio = 1e-6
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How a feature is told from its absence as the fluence grows; moments of a filter's output, per e/nm².

    The output is T = Σ w n over counts n of a frame: a Poisson sum, whose cumulants grow with the fluence D, and where
    atoms lie at random a part that no dose averages away, whose variance grows as D².
    """

    shift: float
    """Mean of T with the feature less that without, over D."""
    noise: float
    """Variance without, over D."""
    noise_with: float
    skew: float
    """Third cumulant without, over D."""
    skew_with: float
    structure: float = 0.0
    """Variance by the specimen's own irregularity, over D²."""
    read_noise: float = 0.0
    """Variance by the detector's electronics, which does not grow with D."""
    search: Search
    false_alarm: Ratio = 0.05

    def snr(self, fluence_e_per_A2: float) -> Ratio:
        """d′, the shift over the standard deviation without the feature."""
        dose = fluence_e_per_A2 * PER_A2
        return self.shift * dose / math.sqrt(self._variance(dose, self.noise))

    def threshold(self, fluence_e_per_A2: float) -> float:
        """T above its mean without the feature, which a frame without it exceeds with the accepted chance."""
        dose = fluence_e_per_A2 * PER_A2
        variance = self._variance(dose, self.noise)
        level = _upper(self.search.tail(self.false_alarm), self.skew * dose / variance**1.5)
        return float(level * math.sqrt(variance))

    def probability(self, fluence_e_per_A2: float) -> Ratio:
        """Chance that the feature, where it is, exceeds the threshold."""
        dose = fluence_e_per_A2 * PER_A2
        variance = self._variance(dose, self.noise_with)
        level = (self.threshold(fluence_e_per_A2) - self.shift * dose) / math.sqrt(variance)
        return _beyond(level, self.skew_with * dose / variance**1.5)

    def dose_e_per_A2(self, detection: Ratio) -> float:
        """Fluence that sees the feature with this chance; infinite where the specimen's own irregularity forbids it."""
        return self._least(self.probability, detection)

    def rose_e_per_A2(self) -> float:
        """Fluence at which d′ is 5; infinite where it never is."""
        return self._least(self.snr, ROSE)

    def _least(self, of: Callable[[float], float], wanted: float) -> float:
        """The fluence from which on ``of`` stays above what is wanted."""
        if self.shift <= 0 or of(_RANGE_E_PER_A2[1]) < wanted:
            return math.inf
        low, high = (math.log(each) for each in _RANGE_E_PER_A2)
        steps = np.linspace(high, low, _SCANNED)
        below = next((x for x in steps if of(math.exp(x)) < wanted), None)
        if below is None:
            return _RANGE_E_PER_A2[0]
        above = below + (high - low) / (_SCANNED - 1)
        return math.exp(optimize.brentq(lambda x: of(math.exp(x)) - wanted, below, above, xtol=1e-4))

    def _variance(self, dose: float, noise: float) -> float:
        return noise * dose + self.structure * dose**2 + self.read_noise


def _upper(tail: Ratio, skewness: Ratio) -> Ratio:
    """Standardised value exceeded with chance ``tail``; Pearson's type III has a Poisson sum's first three moments."""
    if abs(skewness) < _NARROW:
        return float(stats.norm.isf(tail))
    return float(stats.pearson3.isf(tail, skewness))


def _beyond(level: Ratio, skewness: Ratio) -> Ratio:
    if abs(skewness) < _NARROW:
        return float(stats.norm.sf(level))
    return float(stats.pearson3.sf(level, skewness))


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
        shift=float(np.sum(weights * signal) * area),
        noise=float(np.sum(weights**2 * background) * area),
        noise_with=float(np.sum(weights**2 * both) * area),
        skew=float(np.sum(weights**3 * background) * area),
        skew_with=float(np.sum(weights**3 * both) * area),
        structure=structure,
        read_noise=float(np.sum(weights**2) * read_electrons**2),
        search=search,
        false_alarm=false_alarm,
    )


def bends_per_nm2(weights: Array, pixel_nm: float) -> float:
    """λ₂ of white noise filtered by ``weights`` (H, W): ∫ |∇w|² / (2 ∫ w²), the mean over both directions."""
    down, across = np.gradient(np.pad(weights, 2), pixel_nm)
    return float(np.sum(down**2 + across**2) / (2 * np.sum(weights**2)))
