"""What earlier experiments say and what physics says, side by side, and where they disagree."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from archive.library import Library
from archive.library_recommend import recommend
from archive.library_records import Conditions, Experiment, Outcome
from surveys.design import make_plan
from surveys.design_prior import judged, with_prior
from surveys.design_question import Question
from surveys.design_told import as_dict, grounds

QUESTION = Question.model_validate({
    "specimen": {"crystal": "SrTiO3", "thickness_nm": 8.0},
    "feature": {"kind": "dopant", "element": "Hf", "replaces": "Ti"},
    "techniques": ["HAADF", "BF"],
    "limits": {"field_nm": 20.0},
})  # fmt: skip


@pytest.fixture(scope="module")
def plan():
    return make_plan(QUESTION)


def experiment(number, fluence, usable, **changes):
    how = Conditions(voltage_kV=200.0, pixel_size_nm=0.02, fluence_e_per_A2=fluence)
    return Experiment(**{
        "uid": f"file:{number}", "kind": "file", "title": f"film {number}", "technique": "HAADF",
        "elements": ("O", "Sr", "Ti"), "conditions": how, "outcome": Outcome(frames=10, usable_frames=usable, snr=3.0),
    } | changes)  # fmt: skip


@pytest.fixture
def library(tmp_path, plan):
    """High doses and low ones that gave usable frames, and high ones that did not."""
    needed = plan.rows[0].needed_e_per_A2
    with Library(tmp_path / "library.sqlite") as opened:
        for number in range(24):
            opened.add(experiment(number, needed * (3.0 if number % 2 else 0.01), 9))
        yield opened


def test_the_nearest_settings_stand_beside_the_row_with_their_number_and_interval(plan, library):
    told = with_prior(plan, library)
    (ground,) = told.rows[0].proposal.prior
    assert "n = 12, usable frames" in ground.what and "90% interval" in ground.what
    assert ground.source.startswith("library.sqlite, experiments 24")
    assert any("earlier experiments on like specimens" in line for line in grounds(told))
    assert as_dict(told, {})["rows"][0]["prior_experiments"][0]["what"] == ground.what
    assert plan.rows[0].proposal.prior == ()


def test_other_specimens_say_nothing(plan, tmp_path):
    with Library(tmp_path / "other.sqlite") as library:
        library.add(experiment(1, 100.0, 9, elements=("Fe",)))
        assert with_prior(plan, library).rows[0].proposal.prior == ()


def test_usable_settings_that_would_not_show_it_are_told_from_those_that_would(plan, library):
    row = plan.rows[0]
    by_dose = {each.settings.fluence_e_per_A2: judged(plan, each) for each in recommend(library, ("Sr", "Ti"))}
    low, high = (by_dose[dose] for dose in sorted(by_dose))
    assert low.agrees is False and low.probability < 0.5
    assert "would not show it" in low.told and f"{row.needed_e_per_A2:.3g}" in low.told
    assert high.agrees is True and high.probability > 0.9 and high.told == "agrees"


def test_every_way_to_disagree_is_told(plan, library):
    advice = max(recommend(library, ("Sr",)), key=lambda each: each.settings.fluence_e_per_A2)
    bad = replace(advice, usable=replace(advice.usable, a=1.0, b=9.0))
    assert judged(plan, bad).agrees is False and "seldom usable" in judged(plan, bad).told
    unknown = replace(advice, settings=Conditions())
    assert judged(plan, unknown).agrees is None and "did not tell their dose" in judged(plan, unknown).told
    assert judged(plan, replace(advice, technique="BF")).told.startswith("no answer: ")
    assert judged(plan, replace(advice, technique="EDS")).told == "no answer: it was not asked for"
    beyond = replace(advice, settings=replace(advice.settings, fluence_e_per_A2=plan.most_e_per_A2 * 2))
    assert judged(plan, beyond).agrees is False and "are allowed" in judged(plan, beyond).told
    never = replace(plan, rows=(replace(plan.rows[0], needed_e_per_A2=math.inf),))
    assert "no dose shows it" in judged(never, replace(unknown)).told
