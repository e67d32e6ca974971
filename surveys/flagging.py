"""Which regions are worth a person's time: significance against this survey's own background, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.load import Settings
from envs.explanations import ExplainingScorer, Explanation, ObjectScorer
from envs.step import Stream
from surveys.judging import judge_places
from surveys.portraits import Portraits
from surveys.ranking import diverse_order
from surveys.regions import centre_nm, gathered, surprise
from surveys.sights import sights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from envs.scorers import Description, Scorer
    from envs.step import Step
    from envs.targets import TargetTree
    from surveys.judging import Judged
    from surveys.learned import Learned

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_TELLING_SPREADS = 1.5
_MOST_DEPARTURES = 3
OVERVIEW_ONLY = "overview only"
LIKE = "asked for"


class FlaggingSettings(Settings):
    """How many false flags are accepted, and how flags are ordered."""

    false_discovery_rate: Ratio = Field(0.1, gt=0, lt=1)
    """Expected share of flagged sites that are not unusual; with nothing unusual there, the chance of any flag."""
    diversity: Ratio = Field(0.5, ge=0, le=1)
    """0 ranks by surprise alone; 1 shows a twin of a shown flag last."""
    most_flags: int = Field(200, ge=1)
    """No more are reported of what is unusual: the most unusual stay. On top comes what only a random control found,
    or what is like that which was asked for."""
    learned: Path | None = None
    """Folder of `adaptem learn`: flags are ranked by the verdict to expect from what people said of earlier surveys,
    and places like those that they asked more of are flagged as well. None = ranked by surprise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A flagged place: one leaf of the tree of targets."""

    target: int
    x_nm: float
    y_nm: float
    width_nm: float
    height_nm: float
    by_control: bool = False
    """Unusual in the frame of its own random control alone: had it not been drawn, it would not be flagged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A region worth a person's time, with its reason: one unusual site, or several side by side that are alike."""

    specimen: str
    x_nm: float
    """With ``y_nm`` the middle of it, where to drive to: always within one of its sites."""
    y_nm: float
    width_nm: float
    """With ``height_nm`` how far it reaches from side to side."""
    height_nm: float
    sites: tuple[Site, ...]
    """The most surprising first: that one is shown and explained."""
    exposure_id: int
    """The exposure that shows the first site best: its own look, else the overview it was seen in."""
    score: float
    """Robust spreads of the first site above the survey's median, by the look that tells most."""
    p_value: float
    """Of the first site."""
    q_value: float
    """Smallest false-discovery rate at which the first site would be flagged."""
    surprise: float
    """Normal deviates of all its sites together: by this and by diversity it is ranked."""
    reason: str
    contributions: dict[str, float]
    """By descriptor, shares of the first site's distance from the ordinary places most like it; they sum to 1."""
    rank: int
    """1 = shown first."""
    expected_verdict: Ratio | None = None
    """From 1 to 5, by what people said of earlier surveys: then ranked by this. None = nothing was learned."""
    tags: tuple[str, ...] = ()
    """Streams that showed it (policy, control, …); "overview only" where no look of its own was made; "asked for" where
    it is not unusual, but like what a person wanted more of."""


def flag_survey(
    steps: Iterable[Step],
    scorer: Scorer,
    settings: FlaggingSettings,
    tree: TargetTree,
    describe_control: Callable[[Step], Description | None] | None = None,
    learned: Learned | None = None,
) -> list[Flag]:
    """Flags of one specimen, in the order to show them.

    ``scorer``: as it stands after the survey; it is not changed. ``describe_control``: describes the frame of a control
    step, which the environment does not; None = controls are not judged. ``learned``: from labels of earlier surveys,
    ranks what is flagged and flags what is like that which a person asked more of; None = neither.
    Raises ValueError for steps of several specimens.
    """
    made = list(steps)
    specimens = sorted({step.specimen for step in made})
    if len(specimens) > 1:
        raise ValueError(f"a place is unusual for its own specimen; flag {', '.join(specimens)} one by one")
    judge = scorer.completed() if isinstance(scorer, ExplainingScorer) else scorer
    judged = judge_places(made, judge, settings.false_discovery_rate, tree, describe_control)
    portraits, wanted = None, dict[int, str]()
    if learned is not None:
        portraits, own = Portraits(sights(made), judge.names), set(judged.called) - judged.by_control
        wanted = learned.alike(portraits, sorted(set(portraits.targets) & set(judged.alone) - own))
        judged = replace(judged, by_control=judged.by_control - set(wanted))  # undrawn, it would be flagged too
    called = [target for target in _within_limit(judged, judge, tree, settings.most_flags) if target not in wanted]
    regions = [*gathered(called, judged.shows, judge, tree), *([target] for target in wanted)]
    where = {sight.descriptors: sight.target for shown in judged.shows.values() for sight in shown}
    flags = [_flag(members, judged, judge, where, tree, specimens[0]) for members in regions]
    if learned is None or portraits is None:
        return ranked(flags, settings)
    flags = [_asked_for(flag, wanted.get(flag.sites[0].target)) for flag in flags]
    return ranked(expected(flags, portraits, learned), settings)


def _within_limit(judged: Judged, judge: Scorer, tree: TargetTree, most: int) -> list[int]:
    """Those called, without what lies beyond ``most`` flags, and with all that a control alone found.

    Which flags stay is decided as if no control had been drawn: a control that pushed one out would have a hand in what
    the controls are there to estimate.
    """
    own = sorted(set(judged.called) - judged.by_control, key=lambda target: (judged.alone[target], target))
    if len(own) <= most:
        return judged.called
    control = frozenset({Stream.CONTROL.value})
    shows = {target: [sight for sight in judged.shows[target] if sight.streams != control] for target in own}
    regions = gathered(own, shows, judge, tree)
    regions.sort(key=lambda members: (-surprise(np.array([judged.alone[target] for target in members])), members[0]))
    kept = {target for members in regions[:most] for target in members} | judged.by_control
    return [target for target in judged.called if target in kept]


def expected(flags: Sequence[Flag], portraits: Portraits, learned: Learned) -> list[Flag]:
    """The flags of one specimen, each with the verdict to expect of it."""
    if not flags:
        return []
    first = [flag.sites[0].target for flag in flags]
    verdicts = learned.verdicts(portraits, first, np.array([max(flag.surprise, 0.0) for flag in flags]))
    return [
        replace(flag, expected_verdict=float(np.clip(told, 1.0, 5.0)))
        for flag, told in zip(flags, verdicts, strict=True)
    ]


def _asked_for(flag: Flag, name: str | None) -> Flag:
    """Not unusual enough to be flagged for that, but like what a person wanted to see more of; None = it is not."""
    if name is None:
        return flag
    return replace(
        flag, reason=f"Like the places that a person called {name!r}. {flag.reason}", tags=(*flag.tags, LIKE)
    )


def _flag(
    members: Sequence[int],
    judged: Judged,
    judge: Scorer,
    where: dict[tuple[float, ...], int],
    tree: TargetTree,
    specimen: str,
) -> Flag:
    """``members``: the most surprising first."""
    first, telling = members[0], judged.places[members[0]].telling
    best = next((sight for sight in reversed(judged.shows[first]) if sight.own), telling.sight)
    reason, contributions = f"{telling.score:.1f} spreads from the usual", {}
    if isinstance(judge, ExplainingScorer):
        look, descriptors = telling.sight.look, np.array(telling.sight.descriptors)
        explanation = judge.explain(look, descriptors, fabric=telling.by == "region")
        if telling.by == "object" and isinstance(judge, ObjectScorer):
            explanation = explanation.led_by(judge.most_extreme(look, descriptors))
        reason = _reason(explanation, look, telling.by == "region", where.get(explanation.nearest), tree)
        contributions = {departure.name: departure.contribution for departure in explanation.departures}
    shown = [sight for target in members for sight in judged.shows[target]]
    p_values = np.array([judged.places[target].p_value for target in members])
    x_nm, y_nm = centre_nm(members, p_values, tree)
    width_nm, height_nm = _reach_nm(members, tree)
    return Flag(
        specimen=specimen,
        x_nm=x_nm,
        y_nm=y_nm,
        width_nm=width_nm,
        height_nm=height_nm,
        sites=tuple(_site(target, tree, by_control=target in judged.by_control) for target in members),
        exposure_id=best.exposure_id,
        score=telling.score,
        p_value=float(p_values[0]),
        q_value=judged.q_values[first],
        surprise=surprise(p_values),
        reason=reason if len(members) == 1 else f"{reason} It is the clearest of {len(members)} sites side by side.",
        contributions=contributions,
        rank=0,
        tags=(
            *sorted(frozenset[str]().union(*(sight.streams for sight in shown))),
            *(() if any(sight.own for sight in shown) else (OVERVIEW_ONLY,)),
        ),
    )


def _site(target: int, tree: TargetTree, *, by_control: bool) -> Site:
    place = tree[target]
    return Site(
        target=target, x_nm=place.x_nm, y_nm=place.y_nm, width_nm=place.width_nm, height_nm=place.height_nm,
        by_control=by_control,
    )  # fmt: skip


def _reach_nm(members: Sequence[int], tree: TargetTree) -> tuple[float, float]:
    """Width and height of the smallest upright rectangle around the members."""
    where = np.asarray(members, dtype=np.intp)

    def reach(middle: Array, size: Array) -> float:
        return float((middle[where] + size[where] / 2).max() - (middle[where] - size[where] / 2).min())

    return reach(tree.x_nm, tree.width_nm), reach(tree.y_nm, tree.height_nm)


def _reason(explanation: Explanation, look: str, by_region: bool, nearest: int | None, tree: TargetTree) -> str:
    """In words and numbers: what departs from the usual, by how much, and what to compare it with."""
    telling = [d for d in explanation.departures if abs(d.spreads_off) >= _TELLING_SPREADS][:_MOST_DEPARTURES]
    parts = [str(departure) for departure in telling or explanation.departures[:1]]
    text = f"In the {look}{', with the places around it' if by_region else ''}: " + "; ".join(parts)
    if nearest is None:
        return text + "."
    alike = tree[nearest]
    return text + f". The ordinary place most like it is at x {alike.x_nm:.0f} nm, y {alike.y_nm:.0f} nm."


def ranked(flags: Sequence[Flag], settings: FlaggingSettings) -> list[Flag]:
    """Ranked by the verdict to expect, else by how surprising they are, and by how little they repeat what is shown."""
    if not flags:
        return []
    names = sorted({name for flag in flags for name in flag.contributions})
    why = np.array([[flag.contributions.get(name, 0.0) for name in names] for flag in flags])
    order = diverse_order(
        np.array([_relevance(flag) for flag in flags]),
        why,
        np.array([(flag.x_nm, flag.y_nm) for flag in flags]),
        near_nm=flags[0].sites[0].width_nm,
        diversity=settings.diversity,
    )
    return [replace(flags[index], rank=rank) for rank, index in enumerate(order, start=1)]


def _relevance(flag: Flag) -> float:
    return flag.surprise if flag.expected_verdict is None else (flag.expected_verdict - 1.0) / 4.0
