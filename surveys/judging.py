"""Which places of a specimen are significantly unusual: the evidence about each, and how much of it to believe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.explanations import ExplainingScorer, ObjectScorer
from surveys.sights import Sight, by_look, control_sights, sights
from surveys.significance import (
    FEWEST_OBJECT_SCORES,
    FEWEST_SCORES,
    UpperTail,
    object_p_values,
    q_values,
    region_scores,
    region_tail,
    single_tail,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envs.scorers import Description, Scorer
    from envs.step import Step
    from envs.targets import TargetTree

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

By: TypeAlias = Literal["place", "region", "object"]

_SHOWN, _REGION, _OWN = 0.5, 0.35, 0.15
"""Weights of evidence: of a place as a whole, with those around it, and by looks of its own. The last weigh least: they
were made where the agent expected something, so what is ordinary is known less well from them than from overviews,
which show every place."""
_OBJECT = 0.4
"""Weight of the most extreme object of a place, on top of the others: where it matters, half as many ordinary places
have such p-values as these say (0.46 of those below 0.001, on 19 specimens without rare features whose seeds are below
1000), and no more of these specimens are flagged."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How surprising one sight of a place is."""

    sight: Sight
    score: float
    """Robust spreads above the survey's median."""
    p_value: float
    by: By
    """As a whole; by its fabric, together with the places around it; or by the most extreme object in it."""

    @property
    def weight(self) -> Ratio:
        """Of this evidence among all about its place."""
        if self.by == "place":
            return _OWN if self.sight.own else _SHOWN
        return _REGION if self.by == "region" else _OBJECT


@dataclass(slots=True)
class Place:
    """All evidence about one target."""

    evidence: list[Evidence] = field(default_factory=list)

    @property
    def p_value(self) -> float:
        """The smallest p-value, each divided by its share of the weights (Bonferroni with weights)."""
        total = sum(evidence.weight for evidence in self.evidence if evidence.by != "object") or 1.0
        return min(1.0, *(e.p_value / e.weight * (1.0 if e.by == "object" else total) for e in self.evidence))

    @property
    def telling(self) -> Evidence:
        return min(self.evidence, key=lambda evidence: evidence.p_value)


@dataclass(frozen=True, slots=True)
class Judged:
    """The places of one specimen, by target."""

    places: dict[int, Place]
    q_values: dict[int, float]
    """The smallest false-discovery rate at which each would be called."""
    called: list[int]
    """Those called at the rate that was set, the least likely by chance first."""
    shows: dict[int, list[Sight]]
    """Every sight of each, controls included, the latest last."""
    alone: dict[int, float]
    """The p-values that the places had without the controls' frames."""
    by_control: frozenset[int] = frozenset()
    """Of those called, the ones that only the frame of their own random control made so."""


def judge_places(
    steps: Sequence[Step],
    judge: Scorer,
    rate: Ratio,
    tree: TargetTree,
    describe_control: Callable[[Step], Description | None] | None = None,
) -> Judged:
    """Judge every place that the steps of one specimen showed.

    A place seen by several looks is judged by all of them together. Control frames teach nothing: they are judged by
    the background, the null and the threshold that the other streams gave. ``judge``: as it stands after the survey; it
    is not changed. ``rate``: accepted share of false ones. ``describe_control``: describes the frame of a control step;
    None = controls are not judged.
    """
    seen = sights(steps)
    places: dict[int, Place] = {}
    tails: dict[str, UpperTail] = {}
    for look, everything in by_look(seen).items():
        group, scores = _scored(judge, look, everything)
        if len(group) >= FEWEST_SCORES:
            tails[look] = single_tail(scores)
            _add(places, group, scores, tails[look].p_values(scores), "place")
            shown = np.array([not sight.own for sight in group])
            if shown.sum() >= FEWEST_SCORES:
                among = [sight for sight in group if not sight.own]
                if isinstance(judge, ExplainingScorer):
                    _add_regions(places, judge, look, among, tree)
                if isinstance(judge, ObjectScorer) and len(among) >= FEWEST_OBJECT_SCORES:
                    extreme = judge.extreme(look, np.array([sight.descriptors for sight in among]))
                    _add(places, among, scores[shown], object_p_values(extreme), "object")
    alone = {target: place.p_value for target, place in places.items()}
    q = dict(zip(alone, q_values(np.array(list(alone.values()))).tolist(), strict=True))
    called = {target for target, value in q.items() if value <= rate}
    threshold = max((alone[target] for target in called), default=rate / max(len(places), 1))

    controls = control_sights(steps, describe_control) if describe_control else []
    for look, everything in by_look(controls).items():
        if look in tails:
            group, scores = _scored(judge, look, everything)
            _add(places, group, scores, tails[look].p_values(scores), "place")
    by_control = {
        target
        for target in {sight.target for sight in controls} & set(places) - called
        if places[target].p_value <= threshold
    }
    q |= dict.fromkeys(by_control, rate)

    shows: dict[int, list[Sight]] = {}
    for sight in seen + controls:
        shows.setdefault(sight.target, []).append(sight)
    in_order = sorted(called | by_control, key=lambda target: (places[target].p_value, target))
    return Judged(places, q, in_order, shows, alone, frozenset(by_control))


def _scored(judge: Scorer, look: str, group: list[Sight]) -> tuple[list[Sight], Array]:
    """The sights that the scorer can judge, with their scores."""
    rows = np.array([sight.descriptors for sight in group])
    scores = judge.deviation(look, rows) if isinstance(judge, ExplainingScorer) else judge.interest(look, rows)
    known = np.isfinite(scores)
    return [sight for sight, good in zip(group, known, strict=True) if good], scores[known]


def _add(places: dict[int, Place], group: list[Sight], scores: Array, p_values: Array, by: By) -> None:
    for sight, score, p in zip(group, scores.tolist(), p_values.tolist(), strict=True):
        places.setdefault(sight.target, Place()).evidence.append(Evidence(sight, score, p, by))


def _add_regions(
    places: dict[int, Place], judge: ExplainingScorer, look: str, shown: list[Sight], tree: TargetTree
) -> None:
    """An extended feature shows in places side by side. Looks of their own are too scattered for that."""
    targets = np.array([sight.target for sight in shown])
    fabric = judge.fabric(look, np.array([sight.descriptors for sight in shown]))
    regions = region_scores(fabric, tree.row[targets], tree.column[targets])
    _add(places, shown, fabric, region_tail(regions).p_values(regions), "region")
