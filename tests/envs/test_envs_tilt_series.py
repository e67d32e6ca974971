"""A tilt series is one look: an exposure at each tilt, one price, one frame that is judged, and the tilt as before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envs_helpers import SETTINGS, TASK, detail, survey

from envs.step import Purpose
from instruments.simulated.settings import Fault

TILTS_DEG = (-20.0, 0.0, 20.0)
LOOKS = (TASK.looks[0], replace(TASK.looks[1], tilts_deg=TILTS_DEG, tilt_s=2.0))
SERIES = replace(TASK, looks=LOOKS)
LIMITS = {"alpha_deg": (-60.0, 60.0), "off_axis_nm": 0.0}


def test_a_series_is_exposed_at_every_tilt_and_the_least_tilted_is_judged():
    env = survey(task=SERIES, limits=LIMITS)
    step = env.apply(detail(7))
    assert step.fault is None
    assert [record.stage.alpha_deg for record in step.exposures] == pytest.approx(TILTS_DEG, abs=0.01)
    assert {record.purpose for record in step.exposures} == {Purpose.DETAIL}
    assert step.shown == step.exposures[1]
    assert env.belief.detail_exposure == {7: step.exposures[1].exposure.id}
    assert env.situation.guard.state().stage.alpha_deg == pytest.approx(0.0, abs=0.01)
    assert step.electrons == pytest.approx(sum(record.electrons for record in step.exposures))


def test_its_price_is_that_of_all_its_exposures():
    single, series = TASK.looks[1], LOOKS[1]
    assert series.electrons(30.0) == pytest.approx(3 * single.electrons(30.0))
    assert series.fluence_e_per_A2(30.0) == pytest.approx(3 * single.fluence_e_per_A2(30.0))
    assert series.duration_s == pytest.approx(3 * single.duration_s + 6.0)
    env = survey(task=SERIES, limits=LIMITS)
    step = env.apply(detail(4))
    left = replace(SERIES.budget, electrons=0.9 * step.electrons)
    poor = survey(task=SERIES, limits=LIMITS, budget=left)
    assert "more electrons than are left" in poor.apply(detail(4)).fault.message


def test_a_fault_on_the_way_keeps_what_was_taken_and_tilts_back():
    whole = survey(task=SERIES, limits=LIMITS).apply(detail(5))
    between_s = (whole.exposures[0].end_s + whole.exposures[1].start_s) / 2
    fault = Fault(kind="camera_timeout", at_s=between_s, duration_s=1e6)
    env = survey(task=SERIES, limits=LIMITS, settings=SETTINGS.model_copy(update={"faults": (fault,)}))
    step = env.apply(detail(5))
    assert step.fault.error == "Timeout"
    assert [record.committed for record in step.exposures] == [True, False]
    assert step.score is None
    assert env.situation.guard.state().stage.alpha_deg == pytest.approx(0.0, abs=0.01)


def test_a_holder_that_may_not_tilt_refuses_before_anything_is_exposed():
    step = survey(task=SERIES).apply(detail(6))
    assert step.fault.error == "LimitError"
    assert step.exposures == ()
