"""What earlier surveys of like specimens say of the sites seen from above, and how far they are to be believed here.

    sites of earlier surveys: from above ─► what came of them    a ridge regression over descriptors, each survey
                                                                 weighted by how like its overview is to this one
    a site here, from above ─► expected outcome ─► in place of its interest from above: the warm model
    the interest from above itself ──────────────────────────►  the cold model
    the earlier surveys, one by one ─► did the others tell more of it than its interest from above? ─┐
    the most promising sites here ─► as much expected of them as of those of the earlier surveys? ───┤
    what was seen here ─► how probable either model had made it ─────────────────────────────────────┴─► their shares

So one of other specimens is not heard, one that contradicts itself hardly, one that knows nothing like what is here is
found out from above, and one that misleads by the first looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from agent.belief import Belief
from agent.prior import EarlierSurvey
from envs.descriptors import NAMES
from envs.novelty import NoveltyScorer, NoveltySettings
from envs.overviews import apart, in_spreads, quantiles_of, scaled, telling
from envs.step import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.prior import Prior
    from agent.settings import WarmSettings
    from envs.step import Step

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

KNOTS = (1.0, 3.0)
"""Spreads from which a descriptor counts more steeply."""
FEWEST_SITES = 10
"""Of an earlier survey, to judge by it whether others foretell it."""
PROMISING = 3
"""Sites of a survey, those of which earlier ones expect the most: rare features are few."""
DOUBT = 0.5
"""Standard deviation of what is expected of them, at the least: earlier surveys are few, too."""


@dataclass(frozen=True, slots=True)
class _Source:
    """One earlier survey, ready for a regression with P features."""

    of: EarlierSurvey
    features: Array
    """(n, P)."""
    squares: Array
    """(P, P)."""
    products: Array
    """(P,)."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the other earlier surveys had told of one."""

    told: bool
    """Where to look in it."""
    promise: float
    """Expected of its most promising sites."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """What was reckoned for one state of the overviews: it stays as long as no other is taken."""

    sites: Mask
    """(N,) those that it is about."""
    score: Array | None
    """(n,) of them; None where no earlier survey is heard."""
    trust: Ratio


class Earlier:
    """Folds what this survey sees from above, and tells what is to be expected by what came of the like before."""

    def __init__(self, prior: Prior, settings: WarmSettings, sites: npt.NDArray[np.intp]) -> None:
        """``sites``: (N,) target ids of the sites that are planned."""
        self._settings, self._names = settings, prior.names
        self._place = {int(site): number for number, site in enumerate(sites)}
        self._rows = np.full((len(sites), len(prior.names)), np.nan)
        self._close = np.full_like(self._rows, np.nan)
        self._sources = []
        for one in prior.surveys:
            features = _features(scaled(one.rows, prior.names), one.quantiles)
            self._sources.append(_Source(one, features, features.T @ features, features.T @ one.outcome))
        self._trials = [self._trial(number) for number in range(len(self._sources))]
        self._scored: _Scored | None = None
        self.fingerprint = prior.fingerprint

    def see(self, step: Step) -> None:
        """Keep what an overview shows of the sites, and what their own looks show."""
        if step.kind is not Kind.LOOK or step.score is None:
            return
        for cell, row in zip(step.score.cells, step.score.descriptors, strict=True):
            place = self._place.get(cell)
            if place is None or len(row) != self._rows.shape[1]:
                continue
            if cell == step.target:
                self._close[place] = row
            else:
                self._rows[place], self._scored = row, None

    def state(self) -> Mapping[str, Any]:
        """What was seen of the sites, by a site's number among those planned: from above, and by looks of their own."""
        return {"above": _kept(self._rows), "close": _kept(self._close)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._rows[:], self._close[:], self._scored = np.nan, np.nan, None
        for rows, kept in ((self._rows, state["above"]), (self._close, state["close"])):
            for place, row in kept.items():
                rows[int(place)] = row

    def young(self) -> Array | None:
        """(N,) interest of the sites' own looks against each other, NaN without one; None while they are too few.

        A survey's own judgement comes later, for it says what is unusual; this only tells early whether sites of which
        much was expected stand out from the others.
        """
        if self._names != NAMES or np.isfinite(self._close).all(axis=1).sum() < self._settings.first_looks:
            return None
        judge = NoveltyScorer(NoveltySettings(first_cells=self._settings.first_looks))
        judge.observe("close", self._close)
        found = judge.interest("close", self._close)
        return found if np.isfinite(found).any() else None

    def expected(self, above: Array, known: Mask) -> tuple[Array, Ratio] | None:
        """(N,) what to expect of sites, on the scale of their interest from above, and how far to trust in it.

        None where no survey speaks. ``above``: (N,) interest from above, where ``known``. The k-th highest expectation
        gets the k-th highest interest, so that all that a planner knows of the scale holds for it. Trust: in which
        share of the earlier surveys the others had told where to look; one half where that cannot be known.
        """
        told = known & telling(self._rows, self._names)
        if told.sum() < self._settings.first_sites:
            return None
        if self._scored is None or not np.array_equal(self._scored.sites, told):
            self._scored = self._score(told)
        if self._scored.score is None:
            return None
        found, ranked = above.copy(), np.empty(int(told.sum()))
        ranked[np.argsort(self._scored.score, kind="stable")] = np.sort(above[told])
        found[told] = ranked
        return found, self._scored.trust

    def _score(self, told: Mask) -> _Scored:
        """Of the sites (N,) where something is seen from above: (n,) of them."""
        here = scaled(self._rows[told], self._names)
        quantiles = quantiles_of(here)
        heard = self._heard(quantiles)
        if not heard.any():
            return _Scored(told, None, 0.0)
        score = _features(here, quantiles) @ self._weights(heard)
        return _Scored(told, score, self._trust(heard, _promise(score)))

    def _trust(self, heard: Array, promise: float) -> Ratio:
        """That surveys heard with these weights (S,) tell where to look, where they expect ``promise`` of the best.

        Where they tell, as much is expected of the most promising sites here as the others expected of each survey's
        (normal). Where less is, nothing here is like what was found before: the odds fall by how improbable that is.
        """
        trials = [(weight, one) for weight, one in zip(heard.tolist(), self._trials, strict=True) if weight and one]
        if not trials:
            return 0.5
        weights = np.array([weight for weight, _ in trials])
        told, promised = np.array([(float(one.told), one.promise) for _, one in trials]).T
        trust = float((1 + weights @ told) / (2 + weights.sum()))
        usual = float(weights @ promised / weights.sum())
        spread = math.sqrt(float(weights @ (promised - usual) ** 2 / weights.sum()) + DOUBT**2)
        like = math.exp(-0.5 * (max(usual - promise, 0.0) / spread) ** 2)
        return trust * like / (trust * like + 1 - trust)

    def _heard(self, ours: Array, without: int | None = None) -> Array:
        """(S,) the weight of each earlier survey on a specimen whose overview has these quantiles (Q, F)."""
        off = np.array([apart(source.of.quantiles, ours) for source in self._sources])
        weights = np.exp(-0.5 * (off / self._settings.alike_spreads) ** 2)
        weights[weights < self._settings.least_likeness] = 0.0
        if without is not None:
            weights[without] = 0.0
        return weights

    def _weights(self, heard: Array) -> Array:
        """(P,) of the features, by regression on the earlier surveys with these weights (S,)."""
        squares = sum(weight * source.squares for weight, source in zip(heard, self._sources, strict=True))
        products = sum(weight * source.products for weight, source in zip(heard, self._sources, strict=True))
        ridge = np.full(len(products), self._settings.ridge)
        ridge[0] = 1e-6
        return np.linalg.solve(squares + np.diag(ridge), products)

    def _trial(self, number: int) -> _Trial | None:
        """What the others had told of an earlier survey; None where none is like it, or too little came of its sites.

        They had told where to look, where they tell more of it than chance, and than interest from above did.
        """
        source = self._sources[number]
        heard = self._heard(source.of.quantiles, without=number)
        outcome = source.of.outcome
        if not heard.any() or len(outcome) < FEWEST_SITES or outcome.std() == 0:
            return None
        by_others = source.features @ self._weights(heard)
        least = max(_correlation(source.of.above, outcome), 1 / math.sqrt(len(outcome)))
        return _Trial(_correlation(by_others, outcome) > least, _promise(by_others))


def posterior(trust: Ratio, cold: Belief, warm: Belief) -> Ratio:
    """Probability that the warm model is the better one here, after what was seen; ``trust`` before it."""
    odds = math.log(trust / (1 - trust)) + warm.evidence - cold.evidence
    return 1 / (1 + math.exp(-min(max(odds, -30.0), 30.0)))


def mixed(cold: Belief, warm: Belief, share: Ratio) -> Belief:
    """Mean and variance of the two beliefs' mixture, ``share`` of it the warm one."""
    mean = share * warm.mean + (1 - share) * cold.mean
    between = share * (1 - share) * (warm.mean - cold.mean) ** 2
    return Belief(
        above=share * warm.above + (1 - share) * cold.above,
        mean=mean,
        doubt=np.sqrt(share * warm.doubt**2 + (1 - share) * cold.doubt**2 + between),
        scatter=math.sqrt(share * warm.scatter**2 + (1 - share) * cold.scatter**2),
        evidence=cold.evidence,
    )


def _kept(rows: Array) -> dict[str, list[float]]:
    seen = np.flatnonzero(np.isfinite(rows).all(axis=1))
    return {str(place): rows[place].tolist() for place in seen.tolist()}


def _promise(score: Array) -> float:
    """Mean of the highest of what is expected (n,)."""
    return float(np.sort(score)[-PROMISING:].mean())


def _features(on_scale: Array, quantiles: Array) -> Array:
    """(n, 1 + 5F): one, every descriptor in spreads of its own survey, and how far it lies beyond ``KNOTS`` either way.

    What is rare is seldom told by a straight line: it lies in the tails.
    """
    off = in_spreads(on_scale, quantiles)
    tails = [np.maximum(side * off - knot, 0.0) for knot in KNOTS for side in (1.0, -1.0)]
    return np.concatenate([np.ones((len(off), 1)), off, *tails], axis=1)


def _correlation(one: Array, other: Array) -> Ratio:
    """Pearson's; 0 where one of them does not vary."""
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
