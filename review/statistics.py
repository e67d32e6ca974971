"""What labels say, with intervals that hold: precision, recall from random controls, agreement. See docs/review.md."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Ratio: TypeAlias = float
Interval: TypeAlias = tuple[Ratio, Ratio]


def clopper_pearson(found: int, of: int, level: Ratio = 0.95) -> Interval:
    """Exact two-sided interval of a share (Clopper and Pearson 1934); (0, 1) where nothing was counted.

    >>> [round(edge, 3) for edge in clopper_pearson(18, 20)], clopper_pearson(0, 0)
    ([0.683, 0.988], (0.0, 1.0))
    """
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, found, of - found + 1)) if found > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, found + 1, of - found)) if found < of else 1.0
    return low, high


def most_missed(population: int, sample: int, found: int, level: Ratio = 0.95) -> int:
    """How many of ``population`` may be interesting at most, when a random ``sample`` of it held ``found``.

    The largest number under which so few would be found with a chance of more than 1 − ``level``: exact and one-sided,
    by the hypergeometric distribution, because the controls are drawn without replacement. With no sample it is all.
    Raises ValueError for counts that cannot be.

    >>> most_missed(3700, 400, 0), most_missed(3700, 0, 0)
    (26, 3700)
    """
    return _most_missed(population, sample, found, level, 1.0)


def most_missed_by(population: int, sample: int, found: int, sensitivity: Ratio, level: Ratio = 0.95) -> int:
    """The same, when the reviewer notices an interesting place with the probability ``sensitivity`` only.

    Nothing ordinary must have been called interesting among ``found``: let a second person look at those.
    Raises ValueError for counts that cannot be.
    """
    return _most_missed(population, sample, found, level, sensitivity)


@lru_cache(maxsize=4096)
def _most_missed(population: int, sample: int, found: int, level: Ratio, sensitivity: Ratio) -> int:
    if not 0 <= found <= sample <= population:
        raise ValueError(f"{found} found in a sample of {sample} out of {population}: each holds the one before")

    def likely(interesting: int) -> bool:
        return _so_few(population, sample, found, interesting, sensitivity) > 1 - level

    return _last(likely, found, population - (sample - found if sensitivity == 1.0 else 0))


def _so_few(population: int, sample: int, found: int, interesting: int, sensitivity: Ratio) -> float:
    """The chance that no more than ``found`` of the sample are called interesting."""
    if sensitivity == 1.0:
        return float(stats.hypergeom.cdf(found, population, interesting, sample))
    held = np.arange(min(interesting, sample) + 1)
    chances = stats.hypergeom.pmf(held, population, interesting, sample)
    return float(chances @ stats.binom.cdf(found, held, sensitivity))


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last number from ``low`` to ``high`` for which it holds; it holds for ``low``, and once not, never again."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def least_recall(confirmed: int, missed: int) -> Ratio | None:
    """Share of all that is interesting that was flagged and confirmed, if so many were missed; None = nothing is."""
    return confirmed / (confirmed + missed) if confirmed + missed else None


def corrected_missed(population: int, sample: int, found: int, noticed: int, seeded: int, level: Ratio = 0.95) -> int:
    """As ``most_missed_by``, with the sensitivity itself only known from ``noticed`` of ``seeded`` seeded positives.

    Half of the error goes to the sensitivity's own lower bound, half to the count: the whole holds at ``level``.
    """
    half = (1 - level) / 2
    sensitivity = clopper_pearson(noticed, seeded, 1 - 2 * half)[0] if seeded else 0.0
    return most_missed_by(population, sample, found, sensitivity, 1 - half)


def wald_missed(population: int, sample: int, found: int, level: Ratio = 0.95) -> Ratio:
    """The textbook's normal approximation, to show that it fails: it is never used."""
    share = found / sample
    return population * float(share + stats.norm.ppf(level) * np.sqrt(share * (1 - share) / sample))


def cohens_kappa(one: Sequence[bool], other: Sequence[bool]) -> Ratio | None:
    """Agreement beyond chance, each person's own rate of yes being chance (Cohen 1960). None where chance is all.

    Where yes is rare it is low although the two agree nearly always: read it beside the counts and Gwet's AC1.

    >>> cohens_kappa([True, True, False, False], [True, False, False, False])
    0.5
    """
    a, b = np.asarray(one, dtype=bool), np.asarray(other, dtype=bool)
    if not len(a):
        return None
    chance = a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean())
    return None if chance == 1.0 else float(((a == b).mean() - chance) / (1 - chance))


def gwets_ac1(one: Sequence[bool], other: Sequence[bool]) -> Ratio | None:
    """Agreement beyond chance where chance is 2q(1 − q), q the mean rate of yes (Gwet 2008). None without places.

    >>> round(gwets_ac1([True, True, False, False], [True, False, False, False]), 4)
    0.5294
    """
    a, b = np.asarray(one, dtype=bool), np.asarray(other, dtype=bool)
    if not len(a):
        return None
    rate = (a.mean() + b.mean()) / 2
    chance = 2 * rate * (1 - rate)
    return float(((a == b).mean() - chance) / (1 - chance))
