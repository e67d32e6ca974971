from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pytest

from envs.descriptors import NAMES
from envs.novelty import NoveltyScorer
from envs.scorers import Description
from envs.step import Decision, ExposureRecord, Kind, Purpose, Score, Step, Stream, Tag
from envs.targets import Area, TargetTree, grid_tree
from instruments.types import Exposure, Footprint, Optics, StagePosition
from surveys.flagging import OVERVIEW_ONLY, Flag, FlaggingSettings, flag_survey

Array = npt.NDArray[np.float64]

SIDE = 24
SPACING, BRIGHT = NAMES.index("spacing_nm"), NAMES.index("mean_counts")


@pytest.fixture(scope="module")
def tree() -> TargetTree:
    return grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=SIDE * 10.0, height_nm=SIDE * 10.0), 40.0, 10.0)


def cells(tree: TargetTree, seed: int = 0) -> Array:
    """(N, F) descriptors of every target of the tree, all ordinary; patches are not used."""
    rng = np.random.default_rng(seed)
    return np.exp(0.1 * rng.standard_normal((len(tree), len(NAMES)))) * np.where(
        np.arange(len(NAMES)) == BRIGHT, 100, 1
    )


def look(
    tree: TargetTree,
    number: int,
    target: int,
    name: str,
    shown: Array | None,
    stream: Stream = Stream.POLICY,
    blank: float = 0.0,
    specimen: str = "grid",
) -> Step:
    """A step whose frame showed the target's children, or itself; ``shown``: (N, F) of all targets."""
    children = tree.children(target)
    seen = children.tolist() if len(children) else [target]
    place = Footprint(x_nm=0.0, y_nm=0.0, width_nm=1.0, height_nm=1.0)
    record = ExposureRecord(
        exposure=Exposure(field_of_view_nm=1.0, shape=(8, 8), dwell_us=1.0, id=number + 1),
        purpose=Purpose.SURVEY,
        tags=(Tag(stream=stream, inclusion_probability=None),),
        footprint=place,
        stage=StagePosition(x_nm=0.0, y_nm=0.0),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=1.0,
        committed=True,
    )
    score = None
    if shown is not None:
        rows = tuple(tuple(shown[cell].tolist()) for cell in seen)
        score = Score(
            cells=tuple(seen), descriptors=rows, interest=(0.0,) * len(seen), quality={"blank": blank, "snr": 1.0}
        )
    return Step(
        number=number,
        specimen=specimen,
        kind=Kind.CONTROL if stream is Stream.CONTROL else Kind.LOOK,
        decision=Decision(action=0),
        target=target,
        look=name,
        exposures=(record,),
        score=score,
        start_s=0.0,
        end_s=1.0,
    )


def atlas(tree: TargetTree, shown: Array) -> list[Step]:
    return [look(tree, n, int(patch), "overview", shown) for n, patch in enumerate(tree.of_kind("patch"))]


def learned(steps: list[Step]) -> NoveltyScorer:
    scorer = NoveltyScorer()
    for step in steps:
        if step.score is not None:
            scorer.observe(step.look or "", np.array(step.score.descriptors))
    return scorer


def flagged(tree: TargetTree, steps: list[Step], **settings: float) -> list[Flag]:
    return flag_survey(steps, learned(steps), FlaggingSettings(**settings), tree)  # type: ignore[arg-type]


def targets(flags: list[Flag]) -> set[int]:
    return {site.target for flag in flags for site in flag.sites}


def at(tree: TargetTree, row: int, column: int) -> int:
    return int(tree.of_kind("site")[row * SIDE + column])


def test_what_is_planted_is_flagged_first_with_its_reason(tree: TargetTree) -> None:
    shown = cells(tree)
    odd = at(tree, 5, 7)
    shown[odd, SPACING] *= 4
    first = flagged(tree, atlas(tree, shown))[0]
    assert [site.target for site in first.sites] == [odd]
    assert first.rank == 1
    assert (first.x_nm, first.y_nm) == (tree[odd].x_nm, tree[odd].y_nm)
    assert first.q_value <= 0.1
    assert max(first.contributions, key=first.contributions.__getitem__) == "spacing_nm"
    assert "dominant spacing" in first.reason and "usually" in first.reason and "spreads above" in first.reason
    assert "ordinary place most like it is at x" in first.reason
    assert first.tags == ("policy", OVERVIEW_ONLY)
    assert json.loads(json.dumps(asdict(first)))["sites"][0]["target"] == odd


def test_without_anything_rare_flags_stay_at_the_set_rate(tree: TargetTree) -> None:
    """At a rate of 0.1, more than 6 of 30 ordinary surveys with a flag would happen once in 40 times."""
    assert sum(bool(flagged(tree, atlas(tree, cells(tree, seed)))) for seed in range(30)) <= 6


def test_a_line_of_slightly_unusual_places_is_flagged_as_one_feature(tree: TargetTree) -> None:
    shown = cells(tree)
    line = [at(tree, 12, column) for column in range(SIDE)]
    shown[line] *= np.exp(0.2)
    flags = flagged(tree, atlas(tree, shown))
    on_line = [target for target in targets(flags) if abs(tree[target].row - 12) <= 1]
    assert len(on_line) >= 0.9 * max(SIDE, len(targets(flags)))
    assert len(flags) <= 4 and len(flags[0].sites) >= SIDE / 2
    assert flags[0].reason.endswith(f"the clearest of {len(flags[0].sites)} sites side by side.")
    assert abs(flags[0].y_nm - tree[line[0]].y_nm) < 5.0 and flags[0].width_nm > SIDE * 5.0


def test_places_that_are_unusual_only_together_are_flagged_for_it(tree: TargetTree) -> None:
    """Each place of the band is 2.5 spreads off in its fabric, as one place in a hundred is by chance."""

    class Judge:
        names = NAMES

        def __init__(self, inner: NoveltyScorer) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def completed(self) -> Judge:
            return self

        def fabric(self, look: str, descriptors: Array) -> Array:
            on_band = np.isin(descriptors[:, SPACING], shown[band, SPACING])
            return np.where(on_band, 2.5, np.random.default_rng(0).standard_normal(len(descriptors)))

    shown = cells(tree)
    band = [at(tree, row, column) for row in (12, 13) for column in range(SIDE)]
    steps = atlas(tree, shown)
    flags = flag_survey(steps, Judge(learned(steps).completed()), FlaggingSettings(), tree)  # type: ignore[arg-type]
    assert len(targets(flags)) >= 10
    inside = [flag for flag in flags if "In the overview, with the places around it: " in flag.reason]
    assert len(targets(inside)) >= 0.9 * len(targets(flags))  # the rate of false ones is 0.1
    assert all(abs(tree[target].row - 12.5) <= 1.5 for target in targets(inside))


def test_the_first_flags_are_not_all_of_one_thing(tree: TargetTree) -> None:
    shown = cells(tree)
    patch = [at(tree, row, column) for row in range(3, 6) for column in range(3, 6)]
    shown[patch, SPACING] *= 6
    other = at(tree, 20, 20)
    shown[other, BRIGHT] *= 5
    steps = atlas(tree, shown)
    flags = flagged(tree, steps)
    rank = {site.target: flag.rank for flag in flags for site in flag.sites}
    assert rank[other] <= 3
    assert [flag.rank for flag in flags] == list(range(1, len(flags) + 1))
    assert rank[other] <= next(f.rank for f in flagged(tree, steps, diversity=0) if f.sites[0].target == other)


def test_a_lower_rate_flags_no_more(tree: TargetTree) -> None:
    shown = cells(tree)
    shown[[at(tree, 3, column) for column in range(0, SIDE, 2)], SPACING] *= np.linspace(1.2, 3, SIDE // 2)
    steps = atlas(tree, shown)
    many, few = (targets(flagged(tree, steps, false_discovery_rate=rate)) for rate in (0.3, 0.01))
    assert few < many
    assert len(flagged(tree, steps, false_discovery_rate=0.3, most_flags=2)) == 2


def test_a_look_of_its_own_is_the_picture_shown(tree: TargetTree) -> None:
    shown = cells(tree)
    odd = at(tree, 5, 7)
    shown[odd, SPACING] *= 4
    steps = atlas(tree, shown)
    steps.append(look(tree, len(steps), odd, "detail", shown))
    flag = flagged(tree, steps)[0]
    assert flag.sites[0].target == odd
    assert flag.exposure_id == len(steps)
    assert OVERVIEW_ONLY not in flag.tags


def test_blank_frames_flag_nothing(tree: TargetTree) -> None:
    steps = atlas(tree, cells(tree))
    ordinary = targets(flagged(tree, steps))
    dark = np.full((len(tree), len(NAMES)), 1e-6)
    steps[3] = look(tree, 3, 3, "overview", dark, blank=1.0)
    assert targets(flagged(tree, steps)) <= ordinary


def test_controls_are_judged_by_frozen_parameters_and_teach_nothing(tree: TargetTree) -> None:
    detail = cells(tree, seed=1)
    sites = tree.of_kind("site")
    steps = [look(tree, n, int(site), "detail", detail) for n, site in enumerate(sites[:300])]
    odd, plain = at(tree, 20, 3), at(tree, 20, 9)
    detail[odd, SPACING] *= 6
    steps += [look(tree, 300 + n, site, "detail", None, Stream.CONTROL) for n, site in enumerate((odd, plain))]
    scorer = learned(steps)
    before = json.dumps(scorer.state())

    def describe(step: Step) -> Description:
        assert step.target is not None
        return Description(descriptors=detail[[step.target]], quality={"blank": 0.0})

    alone = flag_survey(steps, scorer, FlaggingSettings(), tree)
    audited = flag_survey(steps, scorer, FlaggingSettings(), tree, describe)
    assert json.dumps(scorer.state()) == before
    assert targets(audited) == targets(alone) | {odd}
    assert next(flag for flag in audited if flag.sites[0].target == odd).tags == ("control",)
    assert {site.target for flag in audited for site in flag.sites if site.by_control} == {odd}
    kept = {flag.sites[0]: flag.p_value for flag in alone}
    assert all(flag.p_value == kept[flag.sites[0]] for flag in audited if flag.sites[0] in kept)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_what_is_drawn_decides_nothing_about_what_the_limit_leaves_out(tree: TargetTree, most: int) -> None:
    """Three sites are unusual by themselves; a control finds a fourth, the clearest, and is drawn at the first too."""
    detail, sites = cells(tree, seed=1), tree.of_kind("site")
    unusual, hidden = [at(tree, 2, 3), at(tree, 6, 9), at(tree, 9, 15)], at(tree, 20, 3)
    for target, times in zip((*unusual, hidden), (3.0, 3.1, 3.2, 8.0), strict=True):
        detail[target, SPACING] *= times
    steps = [look(tree, n, int(site), "detail", detail) for n, site in enumerate(sites[:300])]
    drawn = [look(tree, 300 + n, site, "detail", None, Stream.CONTROL) for n, site in enumerate((hidden, unusual[0]))]
    scorer, settings = learned(steps), FlaggingSettings(most_flags=most)

    def describe(step: Step) -> Description:
        return Description(descriptors=9.0 * detail[[step.target or 0]], quality={"blank": 0.0})

    without = targets(flag_survey(steps, scorer, settings, tree, describe))
    flags = flag_survey([*steps, *drawn], scorer, settings, tree, describe)
    assert len(without) == most
    assert {site.target for flag in flags for site in flag.sites if not site.by_control} == without
    assert {site.target for flag in flags for site in flag.sites if site.by_control} == {hidden}


def test_a_retagged_exposure_is_in_both_streams(tree: TargetTree) -> None:
    shown = cells(tree)
    odd = at(tree, 5, 7)
    shown[odd, SPACING] *= 4
    steps = atlas(tree, shown)
    steps.append(look(tree, len(steps), odd, "detail", shown))
    tag = Tag(stream=Stream.CONTROL, inclusion_probability=0.1)
    retag = Step(
        number=len(steps), specimen="grid", kind=Kind.CONTROL, decision=Decision(action=0), target=odd,
        retagged=((len(steps), tag),), start_s=0.0, end_s=0.0,
    )  # fmt: skip
    assert flagged(tree, [*steps, retag])[0].tags == ("control", "policy")


def test_little_seen_gives_no_flags_and_no_error(tree: TargetTree) -> None:
    assert flagged(tree, []) == []
    assert flagged(tree, atlas(tree, cells(tree))[:1]) == []


def test_two_specimens_are_refused(tree: TargetTree) -> None:
    shown = cells(tree)
    steps = [look(tree, 0, 0, "overview", shown), look(tree, 1, 1, "overview", shown, specimen="other")]
    with pytest.raises(ValueError, match="grid, other one by one"):
        flag_survey(steps, NoveltyScorer(), FlaggingSettings(), tree)


def test_a_scorer_that_cannot_explain_is_enough(tree: TargetTree) -> None:
    class Plain:
        names = NAMES

        def interest(self, look: str, descriptors: Array) -> Array:
            return np.maximum(np.log(descriptors[:, SPACING]) / 0.1, 0.0)

    shown = cells(tree)
    odd = at(tree, 5, 7)
    shown[odd, SPACING] *= 4
    flags = flag_survey(atlas(tree, shown), Plain(), FlaggingSettings(), tree)  # type: ignore[arg-type]
    assert targets(flags) == {odd}
    assert flags[0].contributions == {}
