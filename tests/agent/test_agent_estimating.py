"""Focusing by estimate, at the microscope: corrected where it is sure, left alone with a reason where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from pydantic import TypeAdapter

from agent.estimating import EstimateFocus
from agent.factory import make_reader, make_skills
from agent.focusing import Refocus
from agent.settings import EstimateSettings, SkillSettings
from envs.focus_env import FocusSituation, FocusTask
from envs.focus_worlds import make_focus_env
from envs.step import Purpose
from instruments.errors import Timeout
from instruments.simulated.settings import ColumnSettings
from instruments.types import Exposure, Footprint, Frame, Outcome, StagePosition

NEAR = ColumnSettings(convergence_mrad=21.4, source_size_nm=0.035, focus_offset_nm=12.0, stig_offset_nm=3.0)
FAR = NEAR.model_copy(update={"focus_offset_nm": 200.0})
ATOMS = EstimateSettings(field_of_view_nm=3.2)
WIDE = EstimateSettings(
    field_of_view_nm=200.0, pixels=256, defoci_nm=(-100.0, 0.0, 100.0), search_nm=220.0, search_stig_nm=0.0
)


def situation(name: str, seed: int, column: ColumnSettings, field_of_view_nm: float) -> FocusSituation:
    exposure = Exposure(field_of_view_nm=field_of_view_nm, shape=(64, 64), dwell_us=1.0)
    return make_focus_env(specimens=(name,), column=column, seed=seed, task=FocusTask(exposure=exposure)).situation


def run(now: FocusSituation, settings: EstimateSettings, breaks_at: int = 0):
    made: list[Exposure] = []

    def expose(exposure: Exposure, purpose: Purpose) -> Frame:
        assert purpose is Purpose.FOCUS
        made.append(exposure)
        if len(made) == breaks_at:
            raise Timeout("no frame")
        return now.guard.acquire(exposure)

    return EstimateFocus(settings, make_reader(settings)).run(now.guard, expose), made


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_three_images_of_atoms_tell_defocus_and_astigmatism(seed):
    now = situation("srtio3_on_ge", seed, NEAR, 3.2)
    before = np.array(now.truth_nm()[:3])
    result, made = run(now, ATOMS)
    assert result.ok, result.message
    assert len(made) == 3
    assert np.abs(now.truth_nm()[:3]).max() < 0.5
    assert result.data["defocus_error_nm"] == pytest.approx(before[0], abs=0.5)
    assert result.optics.achieved.stig_a_nm == pytest.approx(-before[1], abs=0.5)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_from_two_hundred_nanometres_away_in_three_exposures(seed):
    now = situation("au_on_carbon", seed, FAR, 200.0)
    result, made = run(now, WIDE)
    assert result.ok, result.message
    assert len(made) == 3
    assert abs(now.truth_nm()[0]) < 5.0


def test_a_place_that_says_nothing_leaves_the_lenses_as_they_were():
    now = situation("graphene", 0, NEAR, 3.2)
    before, optics = now.truth_nm(), now.guard.state().optics
    result, _ = run(now, ATOMS.model_copy(update={"dwell_us": 0.5}))
    assert not result.ok
    assert "the focus is as it was" in result.message
    assert now.guard.state().optics == optics
    assert now.truth_nm() == pytest.approx(before, abs=0.01)


def test_a_fault_brings_lenses_and_stage_back():
    now = situation("au_on_carbon", 1, NEAR, 5.0)
    before = now.guard.state()
    with pytest.raises(Timeout):
        run(now, ATOMS.model_copy(update={"beside_nm": 500.0}), breaks_at=2)
    after = now.guard.state()
    assert after.optics == before.optics
    assert after.stage.x_nm == pytest.approx(before.stage.x_nm, abs=10.0)


def test_without_an_image_the_lenses_are_as_they_were():
    now = situation("au_on_carbon", 1, NEAR, 5.0)
    optics = now.guard.state().optics

    def blind(exposure: Exposure, purpose: Purpose) -> Frame:
        return replace(now.guard.acquire(exposure), signals={})

    result = EstimateFocus(ATOMS, make_reader(ATOMS)).run(now.guard, blind)
    assert not result.ok
    assert "no detector gave one" in result.message
    assert now.guard.state().optics == optics


def test_a_stage_that_does_not_come_back_leaves_the_lenses_as_they_were(monkeypatch):
    now = situation("au_on_carbon", 1, NEAR, 5.0)
    before, move, moved = now.guard.state(), now.guard.move, []

    def once(target: StagePosition) -> Outcome[StagePosition]:
        moved.append(target)
        if len(moved) == 2:
            raise Timeout("no answer")
        return move(target)

    monkeypatch.setattr(now.guard, "move", once)
    with pytest.raises(Timeout):
        run(now, ATOMS.model_copy(update={"beside_nm": 500.0}))
    assert now.guard.state().optics == before.optics


def test_beside_the_place_the_place_itself_gets_no_dose():
    now = situation("srtio3_on_ge", 1, NEAR, 3.2)
    result, _ = run(now, ATOMS.model_copy(update={"beside_nm": 300.0}))
    assert result.ok, result.message
    stage = now.guard.state().stage
    here = now.guard.ledger
    place = Footprint(x_nm=stage.x_nm, y_nm=stage.y_nm, width_nm=10.0, height_nm=10.0)
    assert here.fluence_e_per_A2(place) == 0.0
    assert abs(now.truth_nm()[0]) < 15.0  # the specimen slopes between there and here


def test_configs_choose_by_kind_and_a_sweep_stays_the_default():
    made = {
        kind: make_skills(TypeAdapter(SkillSettings).validate_python({"refocus": given}))
        for kind, given in {"sweep": {"step_nm": 20.0}, "estimate": {"kind": "estimate"}, "none": None}.items()
    }
    assert isinstance(made["sweep"][0], Refocus)
    assert isinstance(made["estimate"][0], EstimateFocus)
    assert [skill.name for skill in made["estimate"]] == ["refocus"]
    assert made["none"] == ()
