"""Which technique and settings were of use on like specimens, with the evidence for it and how sure that is.

Experiments on like specimens (all of the elements asked for) are sorted into bins of technique, voltage and decade of
fluence and pixel size. The chance that a frame of a bin is usable has a Beta posterior in which an experiment counts
once, however many frames it has: frames of one experiment share their specimen and their operator's hand. With few like
experiments the prior is that of the technique over the whole library, worth ``PRIOR_EXPERIMENTS`` of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import stats

from archive.library_records import Conditions, Experiment
from archive.library_search import Query, numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archive.library import Library
    from archive.library_records import Kept

Ratio: TypeAlias = float

FEW = 20
"""Fewer like experiments than this, and it is said that others stand in for them."""
PRIOR_EXPERIMENTS = 2.0
INTERVAL: Ratio = 0.9
_MOST = 5_000
_EVIDENCE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """The chance that a frame is usable, as a Beta distribution."""

    a: float
    b: float
    experiments: int
    """That told, each counted once."""

    @property
    def mean(self) -> Ratio:
        return self.a / (self.a + self.b)

    @property
    def interval(self) -> tuple[Ratio, Ratio]:
        """Central, of probability ``INTERVAL``."""
        low, high = stats.beta.ppf(((1 - INTERVAL) / 2, (1 + INTERVAL) / 2), self.a, self.b)
        return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One way of looking, and what speaks for it."""

    technique: str
    settings: Conditions
    """The medians of the bin's experiments."""
    usable: Posterior
    snr: float | None
    """Median."""
    snr_per_root_fluence: float | None
    """In Å/√e: what a dose buys; a Poisson-limited signal keeps it whatever the dose."""
    evidence: tuple[int, ...]
    """Numbers of experiments in the library, the newest first."""
    like: int
    """Experiments on like specimens that told how they ended, of this technique or any that was asked for."""
    fallback: str | None
    """What stands in where like experiments are few; None where they are enough."""


def posterior(shares: Iterable[Ratio], prior: tuple[float, float] = (1.0, 1.0)) -> Posterior:
    """Of the chance to be usable, from each experiment's share of usable frames.

    >>> posterior([1.0, 1.0, 0.5]).mean
    0.7
    """
    told = list(shares)
    return Posterior(a=prior[0] + sum(told), b=prior[1] + sum(1 - share for share in told), experiments=len(told))


def recommend(library: Library, elements: Sequence[str], technique: str | None = None, count: int = 8) -> list[Advice]:
    """The bins with the highest certain chance (the low end of the interval) first. Raises ConfigError."""
    like = library.many(numbers(library, Query(elements=tuple(elements), technique=technique), _MOST))
    told = [kept for kept in like if kept.experiment.outcome.usable_ratio is not None]
    pool = told or _told_at_all(library, technique)
    priors = {each: _prior(library, each, told) for each in {kept.experiment.technique for kept in pool}}
    bins: dict[tuple[object, ...], list[Kept]] = defaultdict(list)
    for kept in pool:
        bins[_bin(kept.experiment)].append(kept)
    advice = [_advice(members, len(told), priors, elements) for members in bins.values()]
    advice.sort(key=lambda each: (-each.usable.interval[0], -(each.snr_per_root_fluence or 0.0)))
    return advice[:count]


def _told_at_all(library: Library, technique: str | None) -> list[Kept]:
    found = library.many(numbers(library, Query(technique=technique), _MOST))
    return [kept for kept in found if kept.experiment.outcome.usable_ratio is not None]


def _advice(
    members: list[Kept], like: int, priors: dict[str, tuple[float, float, int]], elements: Sequence[str]
) -> Advice:
    technique = members[0].experiment.technique
    shares = [kept.experiment.outcome.usable_ratio for kept in members]
    a, b, everywhere = priors[technique]
    few = like < FEW
    fallback = None
    if like == 0:
        what = " and ".join(elements) or "that"
        fallback = f"no experiment on {what} told how it ended: these {len(members)} are on other specimens"
    elif few:
        fallback = (
            f"{like} like experiments, fewer than {FEW}: the {everywhere} of {technique} on other specimens count for "
            f"{PRIOR_EXPERIMENTS:g} of them; `adaptem plan` says what physics allows"
        )
    measured = [(kept.experiment.outcome.snr, kept.experiment.conditions.fluence_e_per_A2) for kept in members]
    efficiency = [snr / math.sqrt(fluence) for snr, fluence in measured if snr is not None and fluence and fluence > 0]
    snrs = [kept.experiment.outcome.snr for kept in members if kept.experiment.outcome.snr is not None]
    return Advice(
        technique=technique,
        settings=_medians([kept.experiment.conditions for kept in members]),
        usable=posterior([share for share in shares if share is not None], (a, b) if few else (1.0, 1.0)),
        snr=float(np.median(snrs)) if snrs else None,
        snr_per_root_fluence=float(np.median(efficiency)) if efficiency else None,
        evidence=tuple(sorted((kept.id for kept in members), reverse=True)[:_EVIDENCE]),
        like=like,
        fallback=fallback,
    )


def _prior(library: Library, technique: str, like: Sequence[Kept]) -> tuple[float, float, int]:
    """Beta of the technique over all other specimens, worth ``PRIOR_EXPERIMENTS``; how many of them told.

    Its mean is that of a uniform prior and these: a few that all went well do not make it sure.
    """
    good, count = library.database.execute(
        "SELECT coalesce(sum(CAST(usable_frames AS DOUBLE PRECISION) / frames), 0.0), count(*) FROM experiments"
        " WHERE technique = ? AND frames > 0 AND usable_frames IS NOT NULL",
        (technique,),
    ).fetchone()
    own = [kept.experiment.outcome.usable_ratio or 0.0 for kept in like if kept.experiment.technique == technique]
    good, count = max(good - sum(own), 0.0), count - len(own)
    share = (1.0 + good) / (2.0 + count)
    return PRIOR_EXPERIMENTS * share, PRIOR_EXPERIMENTS * (1 - share), count


def _bin(experiment: Experiment) -> tuple[object, ...]:
    how = experiment.conditions
    return (experiment.technique, how.voltage_kV, _decade(how.fluence_e_per_A2), _decade(how.pixel_size_nm))


def _decade(value: float | None) -> int | None:
    return None if value is None or value <= 0 else math.floor(math.log10(value))


def _medians(settings: Sequence[Conditions]) -> Conditions:
    found: dict[str, float | None] = {}
    for each in fields(Conditions):
        told = [value for one in settings if (value := getattr(one, each.name)) is not None]
        found[each.name] = float(np.median(told)) if told else None
    return Conditions(**found)
