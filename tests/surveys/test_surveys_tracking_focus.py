"""The focus, looked after while a specimen is followed."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from agent.tracking import Tracker
from archive.reader import SurveyReader
from configs.load import ConfigError
from envs.skills import SkillResult
from envs.step import Purpose
from envs.track_worlds import copper
from instruments.simulated.lenses import Lenses
from instruments.types import Optics
from review.tracking import write_tracking_report
from surveys.tracking import resume_tracking, run_tracking
from surveys.tracking_blocks import FocusSettings
from surveys.tracking_focus import FocusKeeper
from surveys.tracking_prepare import prepare
from surveys.tracking_rows import read_rows
from surveys.tracking_settings import TrackSettings

FOCUS = {"place": {"x_nm": 0.0, "y_nm": 1500.0}, "electrons": 1e8, "every_s": 60.0}


def settings(**changes):
    instrument = copper("dissolution")
    column = instrument.column.model_copy(update={"defocus_drift_nm": 400.0})
    asked = {
        "seed": 12,
        "instrument": instrument.model_copy(update={"column": column}).model_dump(mode="json"),
        "limits": {
            "x_nm": (-2500, 2500),
            "y_nm": (-2500, 2500),
            "backlash_nm": 100,
            "stage_uncertainty_nm": 30,
            "max_current_pA": 60,
            "max_electrons": 4e8,
            "max_fluence_e_per_A2": 1e5,
            "max_time_s": 3600,
            "conditions": {"concentration_mM": (0, 5)},
        },
        "places": [{"x_nm": 0, "y_nm": 0}],
        "looks": {"image": {"signal": "HAADF", "field_of_view_nm": 400, "pixels": 128, "dwell_us": 1}},
        "expected": {"supply": "concentration_mM"},
        "steady": {"concentration_mM": 0.08},
        "focus": FOCUS,
        "horizon_s": 200,
        "tick_s": 10,
        "electrons": 1.6e8,
        "sets": 64,
        "rehearsals": 0,
    }
    return TrackSettings.model_validate(asked | changes)


def moved(nm, *, ok=True):
    return SkillResult(ok=ok, message="swept", data={"defocus_before_nm": 0.0, "defocus_after_nm": nm})


def times_of(drift_nm_per_s, horizon_s=2000.0):
    """When sweeps come where the focus goes steadily, and is found each time."""
    keeper = FocusKeeper(FocusSettings.model_validate(FOCUS | {"electrons": 1e12, "tolerance_nm": 50.0}), 50.0)
    now_s, last_s, times = 0.0, 0.0, []
    while now_s < horizon_s:
        if keeper.due(now_s):
            keeper.learn(now_s, moved(drift_nm_per_s * (now_s - last_s)), 1.0)
            last_s = now_s
            times.append(now_s)
        now_s += 1.0
    return times


def test_sweeps_come_as_often_as_the_focus_wanders():
    steady, slow, fast = times_of(0.5), times_of(0.1), times_of(2.0)
    assert [b - a for a, b in zip(steady[-3:], steady[-2:], strict=False)] == pytest.approx([100, 100], abs=2)
    assert steady[:2] == [0.0, 60.0]
    assert slow[-1] - slow[-2] == pytest.approx(500, abs=10)
    assert fast[-1] - fast[-2] == pytest.approx(25, abs=2)


def test_a_sweep_that_told_nothing_changes_no_interval_and_is_told():
    keeper = FocusKeeper(FocusSettings.model_validate(FOCUS), 50.0)
    keeper.learn(0.0, moved(10.0), 1e6)
    keeper.learn(60.0, moved(0.0, ok=False), 1e6)
    assert "a sweep told no focus: swept" in keeper.trouble
    assert not keeper.due(119.0)
    assert keeper.due(120.0)


def test_sweeps_end_with_their_electrons_and_are_taken_up_again_from_rows():
    keeper = FocusKeeper(FocusSettings.model_validate(FOCUS), 50.0)
    rows = [{"focus": keeper.learn(0.0, moved(30.0), 4e7)}, {"focus": None}, {}]
    again = FocusKeeper(FocusSettings.model_validate(FOCUS), 50.0, rows)
    assert (again.spent, again.sweeps, again.due(59.0), again.due(60.0)) == (4e7, 1, False, True)
    again.learn(60.0, moved(0.0), 5e7)
    assert not again.due(1000.0)
    assert "looked after until 60 s, when focus.electrons (1e+08) could pay no more" in again.trouble


def test_the_focus_is_swept_beside_what_is_followed_behind_guard_and_record(tmp_path):
    asked = settings()

    def stop_late(run):
        if run.env.now_s > 90:
            run.stop.set()

    run_tracking(prepare(asked), tmp_path / "run", lambda line: None, stop_late)
    found = resume_tracking(tmp_path / "run", lambda line: None)
    rows = read_rows(tmp_path / "run")
    swept = [row for row in rows if row["focus"]]
    assert len(swept) == found["focus"]["sweeps"] >= 3
    apart_s = [b["t_s"] - a["t_s"] for a, b in pairwise(swept)]
    assert min(apart_s) >= FOCUS["every_s"] / 3  # none again after the stop
    with SurveyReader(tmp_path / "run") as reader:
        focusing = [each for each in reader.exposures() if each.purpose is Purpose.FOCUS]
    assert sum(each.frame.electrons for each in focusing) == pytest.approx(found["focus"]["electrons"])
    assert all(each.footprint.y_nm == pytest.approx(1500.0, abs=50) for each in focusing)
    with SurveyReader(tmp_path / "run") as reader:
        spent = sum(each.frame.electrons for each in reader.exposures())
    assert found["electrons"] == pytest.approx(spent)  # those from before the stop, too
    assert spent <= asked.electrons
    at_nm = sum(row["focus"]["moved_nm"] for row in swept)
    lenses = Lenses(asked.instrument.column, asked.seed)
    left, off = (abs(lenses.probe(Optics(defocus_nm=nm), 0.0, swept[-1]["t_s"]).defocus_nm) for nm in (at_nm, 0.0))
    assert left < 100 < off
    assert "focus was swept" in write_tracking_report(tmp_path / "run").read_text()


def test_no_sweep_comes_before_a_control_look_that_is_due_nor_so_late_that_one_would_wait(tmp_path):
    asked = settings(
        controls={"places": [{"x_nm": 0, "y_nm": -1500}, {"x_nm": 600, "y_nm": -1500}], "times": 2},
        focus=FOCUS | {"every_s": 25.0, "sweep": {"field_of_view_nm": 200, "pixels": 64, "max_travel_nm": 160}},
        electrons=2e8,
        horizon_s=120,
    )
    found = run_tracking(prepare(asked), tmp_path / "run", lambda line: None)
    mine = [row for row in read_rows(tmp_path / "run") if row["decided_by"] == "runner"]
    aside = [row["t_s"] for row in mine if not row["focus"]]
    assert len(aside) == 4
    assert aside[0] < 1.0
    assert aside[2] >= 120 - 10 * 3 - 1e-9
    assert all(row["t_s"] < aside[2] or row["t_s"] > aside[3] for row in mine if row["focus"])
    assert found["focus"]["sweeps"] >= 2


def test_an_agent_that_breaks_is_stood_in_for_at_the_pace_of_its_own_electrons(tmp_path, monkeypatch):
    def broken(tracker):
        raise RuntimeError("no idea")

    monkeypatch.setattr(Tracker, "act", broken)
    looks = {}
    for name, focus in (("with", FOCUS), ("without", None)):
        asked = settings(focus=focus, electrons=1.6e8 if focus else 6e7)
        looks[name] = run_tracking(prepare(asked), tmp_path / name, lambda line: None)["looks"]
    assert looks["with"] >= looks["without"] - 1 >= 4


def test_a_focus_whose_electrons_pay_no_sweep_is_refused_before_the_start():
    with pytest.raises(ConfigError, match=r"focus\.electrons 1e\+06: one sweep may take"):
        prepare(settings(focus=FOCUS | {"electrons": 1e6}))
