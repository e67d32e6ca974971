"""A question's answer: ranking, limits, what is impossible; and the simulator agrees with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from configs.load import load
from surveys.design import Plan, make_plan
from surveys.design_check import check, simulate
from surveys.design_config import coverage, survey_of
from surveys.design_precision import measure
from surveys.design_question import Question
from surveys.design_statistics import Curve, Search, filtered
from surveys.design_told import as_dict
from surveys.settings import SurveySettings
from surveys.task import survey_task


def asked(**changes: Any) -> Question:
    data: dict[str, Any] = {
        "specimen": {"crystal": "SrTiO3", "thickness_nm": 8.0},
        "feature": {"kind": "dopant", "element": "Hf", "replaces": "Ti"},
        "techniques": ["HAADF"],
        "limits": {"field_nm": 20.0},
    }
    return Question.model_validate({**data, **changes})


GERMANIUM: dict[str, Any] = {
    "specimen": {"atoms_per_nm3": {"Si": 50.0}, "thickness_nm": 50.0},
    "feature": {"kind": "concentration", "element": "Ge", "at_percent": 2.0, "replaces": "Si", "pixel_nm": 5.0},
}


def answer(**changes: Any) -> Plan:
    return make_plan(asked(**changes))


def test_dark_field_beats_spectra_for_single_heavy_atoms() -> None:
    plan = answer(techniques=["EDS", "HAADF", "EELS"])
    assert plan.best is not None and plan.best.proposal.technique == "HAADF"
    needed = {row.proposal.technique: row.needed_e_per_A2 for row in plan.rows}
    assert needed["EDS"] > 1e3 * needed["HAADF"]
    assert plan.rows[0].per_electron == 1.0


def test_a_thicker_film_and_a_lighter_atom_need_more() -> None:
    first, thick, light = (
        answer(**change).rows[0].needed_e_per_A2
        for change in (
            {},
            {"specimen": {"crystal": "SrTiO3", "thickness_nm": 16.0}},
            {"feature": {"kind": "dopant", "element": "Nb", "replaces": "Ti"}},
        )
    )
    assert first < thick and first < light


def test_what_cannot_name_elements_is_refused_for_a_concentration() -> None:
    plan = answer(**GERMANIUM, techniques=["HAADF", "EDS"])
    assert [each.technique for each in plan.refused] == ["HAADF"]
    assert "thickness" in plan.refused[0].why


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"fluence_e_per_A2": 10.0}, "e/Å² where 10 are allowed"),
        ({"hours": 1e-4}, "h of 0.0001"),
        ({"data_MB": 0.01}, "MB of 0.01"),
    ],
)
def test_beyond_a_limit_it_says_what_would_be_needed(limits: dict[str, float], words: str) -> None:
    plan = answer(limits={"field_nm": 20.0, **limits})
    assert plan.best is None
    assert "impossible within the limits" in plan.verdict() and words in plan.verdict()


def test_beam_and_time_give_the_fluence() -> None:
    row = answer().rows[0]
    sent = row.current_pA * 6.241509 * row.dwell_us * row.frames
    assert sent / (100 * row.proposal.pixel_nm**2) == pytest.approx(row.fluence_e_per_A2, rel=1e-4)
    assert row.hours >= row.fields * row.frames * row.proposal.frame_px**2 * row.dwell_us / 3.6e9


def test_a_beam_that_harms_says_how_much() -> None:
    plan = answer(specimen={"crystal": "SrTiO3", "thickness_nm": 8.0, "critical_fluence_e_per_A2": 1000.0})
    row = plan.rows[0]
    assert row.lost == pytest.approx(1 - math.exp(-row.fluence_e_per_A2 / 1000.0))
    assert not row.possible and plan.most_e_per_A2 == pytest.approx(-1000 * math.log(0.8))


def test_precision_grows_as_the_root_of_the_dose() -> None:
    fine, coarse = (
        answer(feature={"kind": "measured", "quantity": "strain", "precision": precision}).rows[0].needed_e_per_A2
        for precision in (1e-3, 2e-3)
    )
    assert fine == pytest.approx(4 * coarse)


def test_the_simulator_finds_dopants_as_often_as_foretold() -> None:
    """Where it is uncertain: at the dose for 90 %, and at half of it; frames without the feature are seldom called."""
    plan = answer()
    row = plan.rows[0]
    assert isinstance(row.proposal.curve, Curve)
    doses = (row.needed_e_per_A2 / 2, row.needed_e_per_A2)
    for dose, (found, false, clean) in zip(
        doses, simulate(plan.question, row.proposal, row.proposal.curve, doses, 150), strict=True
    ):
        assert found / 150 == pytest.approx(row.proposal.curve.probability(dose), abs=0.12)
        assert false / clean < 0.12


def test_the_simulator_finds_germanium_by_its_x_rays() -> None:
    plan = answer(**GERMANIUM, techniques=["EDS"])
    found = check(plan, plan.rows[0], trials=60)
    assert found is not None and found.low <= 0.93 and found.high >= 0.87, str(found)
    assert found.false_frames <= 9


def test_the_survey_that_it_writes_is_one(tmp_path: Any) -> None:
    plan = answer(techniques=["HAADF", "EELS"], limits={"field_nm": 20.0, "fluence_e_per_A2": 1e9})
    for row in plan.rows:
        settings = SurveySettings.model_validate(survey_of(plan, row))
        assert settings.expectation is not None and settings.expectation.signal == row.proposal.detector
    assert as_dict(plan, {})["possible"]


def test_a_ring_outside_the_disc_is_refused_and_the_others_answer() -> None:
    plan = answer(
        specimen={"crystal": "graphene", "thickness_nm": 0.34},
        feature={"kind": "dopant", "element": "Hf", "replaces": "C"},
        instrument={"convergence_mrad": 10.0},
        techniques=["ABF", "HAADF"],
    )
    assert [each.technique for each in plan.refused] == ["ABF"]
    assert "11-22 mrad lies outside the disc of 10 mrad" in plan.refused[0].why
    assert [row.proposal.technique for row in plan.rows] == ["HAADF"]


def test_what_counts_nothing_needs_an_infinite_dose() -> None:
    search = Search(places=10.0)
    none = np.zeros(3)
    assert math.isinf(filtered(np.ones(3), none, none, 0.1, search, 0.05).dose_e_per_A2(0.9))
    assert math.isinf(filtered(none, none, np.ones(3), 0.1, search, 0.05).rose_e_per_A2())


BALL: dict[str, Any] = {
    "specimen": {"atoms_per_nm3": {"C": 100.0}, "thickness_nm": 10.0},
    "feature": {"kind": "particle", "material": {"atoms_per_nm3": {"Pt": 66.0}}, "diameter_nm": 2.0, "embedded": False},
}


@pytest.mark.parametrize("field_nm", [30.0, 3000.0])
def test_every_place_of_the_field_is_searched_in_one_frame_or_it_is_said(field_nm: float) -> None:
    plan = answer(**BALL, techniques=["4D-STEM"], limits={"field_nm": field_nm, "hours": 1e6, "data_MB": 1e12})
    row = plan.rows[0]
    proposal = row.proposal
    assert proposal.margin_px == proposal.weights.shape[0] // 2 > 0
    data = survey_of(plan, row)
    tree = survey_task(SurveySettings.model_validate(data), 0).tree
    sites = tree.x_nm[tree.leaves]
    apart = np.diff(np.unique(sites.round(6)))
    assert apart.max() <= proposal.searched_nm * (1 + 1e-3)
    covered = np.ptp(sites) + proposal.searched_nm
    said = "\n".join(coverage(plan, row))
    assert f"{4 * row.fluence_e_per_A2:.3g}" in said
    if row.fields <= 64**2:
        assert covered >= field_nm and len(tree.leaves) == row.fields
        assert "covers" not in said
    else:
        assert f"covers 64 × 64 frames, {covered:.4g} of 3000 nm" in said
        assert data["budget"]["hours"] == pytest.approx(2.5 * row.hours * 64**2 / row.fields, rel=1e-4)


def test_the_packaged_question_is_answered() -> None:
    plan = make_plan(load("configs/plan_example.yaml", Question))
    assert plan.best is not None and plan.best.probability == pytest.approx(0.9, abs=0.01)
    assert {each.technique for each in plan.refused} == {"BF", "ABF", "CTEM"}


def test_columns_of_a_simulated_frame_are_measured_as_finely_as_the_bound_allows() -> None:
    plan = answer(feature={"kind": "measured", "quantity": "column_position", "precision": 0.002})
    found = measure(plan, plan.rows[0])
    assert found is not None and found.columns > 100
    assert 0.9 < found.ratio < 1.2
