"""Which regions are worth a person's time: significance against this survey's own background, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.load import Settings
from envs.explanations import ExplainingScorer, Explanation
from surveys.ranking import diverse_order
from surveys.sights import Sight, by_look, control_sights, sights
from surveys.significance import FEWEST_SCORES, UpperTail, q_values, region_scores, region_tail, single_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from envs.scorers import Description, Scorer
    from envs.step import Step
    from envs.targets import TargetTree

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_TELLING_SPREADS = 1.5
_MOST_DEPARTURES = 3
OVERVIEW_ONLY = "overview only"

_SHOWN, _REGION, _OWN = 0.5, 0.35, 0.15
"""Weights of evidence. Looks made of a place itself weigh least: they were made where the agent expected something, so
what is ordinary is known less well from them than from overviews, which show every place."""


class FlaggingSettings(Settings):
    """How many false flags are accepted, and how flags are ordered."""

    false_discovery_rate: Ratio = Field(0.1, gt=0, lt=1)
    """Expected share of flags that are not unusual; on a survey with nothing unusual, the chance of any flag."""
    diversity: Ratio = Field(0.5, ge=0, le=1)
    """0 ranks by score alone; 1 shows a twin of a shown flag last."""
    most_flags: int = Field(200, ge=1)
    """No more are reported; the most unusual stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A region worth a person's time, with its reason."""

    target: int
    specimen: str
    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float
    exposure_id: int
    """The exposure that shows it best: its own look, else the overview it was seen in."""
    score: float
    """Robust spreads above the survey's median, by the look that tells most."""
    p_value: float
    q_value: float
    """Smallest false-discovery rate at which it would be flagged."""
    reason: str
    contributions: dict[str, float]
    """By descriptor, shares of the distance from the ordinary places most like it; they sum to 1."""
    rank: int
    """1 = shown first."""
    tags: tuple[str, ...] = ()
    """Streams that showed it (policy, control, …), and "overview only" where no look of its own was made."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """How surprising one sight of a place is, alone or with the places around it."""

    sight: Sight
    score: float
    p_value: float


@dataclass(slots=True)
class _Place:
    """All evidence about one target."""

    alone: list[_Evidence] = field(default_factory=list)
    region: list[_Evidence] = field(default_factory=list)

    @property
    def p_value(self) -> float:
        """The smallest p-value, each divided by its share of the weights (Bonferroni with weights)."""
        parts = [(e.p_value, _OWN if e.sight.own else _SHOWN) for e in self.alone]
        parts += [(e.p_value, _REGION) for e in self.region]
        total = sum(weight for _, weight in parts)
        return min(1.0, *(p * total / weight for p, weight in parts))

    @property
    def telling(self) -> _Evidence:
        return min(self.alone + self.region, key=lambda evidence: evidence.p_value)


def flag_survey(
    steps: Iterable[Step],
    scorer: Scorer,
    settings: FlaggingSettings,
    tree: TargetTree,
    describe_control: Callable[[Step], Description | None] | None = None,
) -> list[Flag]:
    """Flags of one specimen, in the order to show them.

    A place seen by several looks is judged by all of them together. Control frames teach nothing: they are judged by
    the background, the null and the threshold that the other streams gave. ``scorer``: as it stands after the survey;
    it is not changed. ``describe_control``: describes the frame of a control step, which the environment does not;
    None = controls are not judged. Raises ValueError for steps of several specimens.
    """
    made = list(steps)
    specimens = sorted({step.specimen for step in made})
    if len(specimens) > 1:
        raise ValueError(f"a place is unusual for its own specimen; flag {', '.join(specimens)} one by one")
    judge = scorer.completed() if isinstance(scorer, ExplainingScorer) else scorer
    seen = sights(made)
    places: dict[int, _Place] = {}
    tails: dict[str, UpperTail] = {}
    for look, group in by_look(seen).items():
        scores = _scores(judge, look, group)
        group, scores = (
            [s for s, known in zip(group, np.isfinite(scores), strict=True) if known],
            scores[np.isfinite(scores)],
        )
        if len(group) >= FEWEST_SCORES:
            tails[look] = single_tail(scores)
            _add(places, group, scores, tails[look])
            if isinstance(judge, ExplainingScorer):
                _add_regions(places, judge, look, group, tree)
    if not places:
        return []
    p = np.array([place.p_value for place in places.values()])
    q = dict(zip(places, q_values(p).tolist(), strict=True))
    called = {target for target, value in q.items() if value <= settings.false_discovery_rate}
    threshold = max((places[target].p_value for target in called), default=settings.false_discovery_rate / len(places))

    controls = control_sights(made, describe_control) if describe_control else []
    for look, group in by_look(controls).items():
        if look in tails:
            scores = _scores(judge, look, group)
            _add(places, group, np.where(np.isfinite(scores), scores, 0.0), tails[look])
    for target in {sight.target for sight in controls} & set(places) - called:
        if places[target].p_value <= threshold:
            q[target] = settings.false_discovery_rate
            called.add(target)

    order = sorted(called, key=lambda target: (places[target].p_value, target))[: settings.most_flags]
    where = {sight.descriptors: sight.target for sight in seen}
    shows: dict[int, list[Sight]] = {}
    for sight in seen + controls:
        shows.setdefault(sight.target, []).append(sight)
    flags = [_flag(places[target], shows[target], q[target], judge, where, tree, specimens[0]) for target in order]
    return _ranked(flags, settings) if flags else []


def _scores(judge: Scorer, look: str, group: list[Sight]) -> Array:
    rows = np.array([sight.descriptors for sight in group])
    return judge.deviation(look, rows) if isinstance(judge, ExplainingScorer) else judge.interest(look, rows)


def _add(places: dict[int, _Place], group: list[Sight], scores: Array, tail: UpperTail) -> None:
    for sight, score, p in zip(group, scores.tolist(), tail.p_values(scores).tolist(), strict=True):
        places.setdefault(sight.target, _Place()).alone.append(_Evidence(sight, score, p))


def _add_regions(
    places: dict[int, _Place], judge: ExplainingScorer, look: str, group: list[Sight], tree: TargetTree
) -> None:
    """An extended feature shows in places side by side. Looks of their own are too scattered for that."""
    shown = [sight for sight in group if not sight.own]
    if len(shown) < FEWEST_SCORES:
        return
    targets = np.array([sight.target for sight in shown])
    fabric = judge.fabric(look, np.array([sight.descriptors for sight in shown]))
    regions = region_scores(fabric, tree.row[targets], tree.column[targets])
    for sight, score, p in zip(shown, fabric.tolist(), region_tail(regions).p_values(regions).tolist(), strict=True):
        places[sight.target].region.append(_Evidence(sight, score, p))


def _flag(
    place: _Place,
    sights: list[Sight],
    q_value: float,
    judge: Scorer,
    where: dict[tuple[float, ...], int],
    tree: TargetTree,
    specimen: str,
) -> Flag:
    telling = place.telling
    best = next((sight for sight in reversed(sights) if sight.own), telling.sight)
    reason, contributions = f"{telling.score:.1f} spreads from the usual", {}
    if isinstance(judge, ExplainingScorer):
        by_region = telling in place.region
        look, descriptors = telling.sight.look, np.array(telling.sight.descriptors)
        explanation = judge.explain(look, descriptors, fabric=by_region)
        reason = _reason(explanation, look, by_region, where.get(explanation.nearest), tree)
        contributions = {departure.name: departure.contribution for departure in explanation.departures}
    target = tree[telling.sight.target]
    streams = frozenset[str]().union(*(sight.streams for sight in sights))
    own = any(sight.own for sight in sights)
    return Flag(
        target=target.id,
        specimen=specimen,
        x_nm=target.x_nm,
        y_nm=target.y_nm,
        width_nm=target.width_nm,
        height_nm=target.height_nm,
        exposure_id=best.exposure_id,
        score=telling.score,
        p_value=place.p_value,
        q_value=q_value,
        reason=reason,
        contributions=contributions,
        rank=0,
        tags=(*sorted(streams), *(() if own else (OVERVIEW_ONLY,))),
    )


def _reason(explanation: Explanation, look: str, by_region: bool, nearest: int | None, tree: TargetTree) -> str:
    """In words and numbers: what departs from the usual, by how much, and what to compare it with."""
    telling = [d for d in explanation.departures if abs(d.spreads_off) >= _TELLING_SPREADS][:_MOST_DEPARTURES]
    parts = [str(departure) for departure in telling or explanation.departures[:1]]
    text = f"In the {look}{', with the places around it' if by_region else ''}: " + "; ".join(parts)
    if nearest is None:
        return text + "."
    alike = tree[nearest]
    return text + f". The ordinary place most like it is at x {alike.x_nm:.0f} nm, y {alike.y_nm:.0f} nm."


def _ranked(flags: list[Flag], settings: FlaggingSettings) -> list[Flag]:
    """Ranked by how surprising they are and how little they repeat what is already shown."""
    names = sorted({name for flag in flags for name in flag.contributions})
    why = np.array([[flag.contributions.get(name, 0.0) for name in names] for flag in flags])
    order = diverse_order(
        np.array([-np.log10(max(flag.p_value, 1e-300)) for flag in flags]),
        why,
        np.array([(flag.x_nm, flag.y_nm) for flag in flags]),
        near_nm=flags[0].width_nm,
        diversity=settings.diversity,
    )
    return [replace(flags[index], rank=rank) for rank, index in enumerate(order, start=1)]
