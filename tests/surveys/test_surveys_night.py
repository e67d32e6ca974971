"""Beginning, refusing and going on."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from survey_samples import small, stop_after

from archive.errors import FolderError, FolderInUse
from archive.folder import holder
from archive.reader import SurveyReader
from archive.schema import dump
from configs.load import ConfigError
from envs.drift import shift_px
from envs.step import Kind, Purpose
from instruments.clock import SimulatedClock
from surveys.asking import ask, ask_to_stop
from surveys.endings import Reason
from surveys.night import open_night, resume_night
from surveys.resume import CUT_OFF
from surveys.runner import run_survey


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path):
    night = open_night(small(), tmp_path / "n")
    before = (tmp_path / "n" / "survey.json").read_bytes()
    with pytest.raises(FolderInUse):
        open_night(small(), tmp_path / "n")
    with pytest.raises(FolderInUse):
        resume_night(tmp_path / "n")
    assert (tmp_path / "n" / "survey.json").read_bytes() == before
    night.close()
    with pytest.raises(FolderError):
        open_night(small(), tmp_path / "n")


def test_what_cannot_begin_leaves_nothing_behind(tmp_path):
    settings = small()
    (tmp_path / "n.truth.jsonl").write_text("not a truth file\n")
    with pytest.raises(ConfigError):
        open_night(settings, tmp_path / "n")
    assert not (tmp_path / "n").exists()
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError):
        open_night(settings, tmp_path / "n")
    assert [path.name for path in (tmp_path / "n").iterdir()] == ["mine.txt"]


def test_no_room_on_disk_is_told_before_anything_moves(tmp_path):
    night = open_night(small(recovery={"parked_max_s": 60.0}), tmp_path / "n", free_bytes=lambda folder: 1 << 20)
    summary = run_survey(night)
    assert (summary.reason, summary.exit_code) == (Reason.INCOMPLETE, 5)
    assert "no room" in summary.message
    with SurveyReader(tmp_path / "n") as reader:
        assert list(reader.exposures()) == []


def test_another_probe_current_than_planned_is_refused(tmp_path):
    summary = run_survey(open_night(small(current_pA=20.0), tmp_path / "n"))
    assert summary.reason is Reason.HARDWARE
    assert "current_pA 20, found a probe current of 50 pA" in summary.message


def test_a_pole_touch_ends_the_night_as_a_safety_stop_and_stays_latched(tmp_path):
    settings = small(instrument={"faults": [{"kind": "pole_touch", "at_s": 10.0}]})
    for night in (open_night(settings, tmp_path / "n"), None):
        summary = run_survey(night or resume_night(tmp_path / "n"))
        assert (summary.reason, summary.exit_code) == (Reason.SAFETY, 3)


FAULTS = [
    {"kind": "stage_stuck", "at_s": 12.0, "duration_s": 14.0},
    {"kind": "blank_frames", "at_s": 50.0, "duration_s": 5.0},
    {"kind": "dewar_refill", "at_s": 100.0, "duration_s": 120.0},
    {"kind": "valve_closed", "at_s": 235.0, "duration_s": 40.0},
    {"kind": "camera_timeout", "at_s": 310.0, "duration_s": 0.0},
    {"kind": "disconnect", "at_s": 320.0, "duration_s": 0.0},
]


def test_every_scripted_fault_is_told_with_its_reply_and_the_night_completes(tmp_path):
    settings = small(8, instrument={"faults": FAULTS}, budget={"hours": 2.0})
    summary = run_survey(open_night(settings, tmp_path / "n"))
    assert summary.reason is Reason.COMPLETE
    with SurveyReader(tmp_path / "n") as reader:
        faults, replies = reader.events("fault"), reader.events("reply")
        steps, rows = list(reader.steps()), list(reader.exposures())
    assert [reply.id for reply in replies] == [fault.id + 1 for fault in faults]
    for fault in FAULTS:
        until_s = fault["at_s"] + fault["duration_s"] + 30.0
        assert any(fault["at_s"] <= event.time_s <= until_s for event in faults), fault["kind"]
    exposed_at = [(r.start_s, r.end_s) for s in steps for r in s.exposures if r.committed]
    assert not any(start < 220.0 and end > 100.0 for start, end in exposed_at), "nothing is exposed during a refill"
    lost = [row for row in rows if row.state == "lost"]
    assert lost, "the camera gave no frame after the beam was on"
    again = [s.target for s in steps if s.fault is None and s.target is not None]
    for row in lost:
        target = next(s.target for s in steps if any(r.exposure.id == row.id for r in s.exposures))
        assert target not in again


def test_controls_teach_nobody(tmp_path):
    settings = small(6, controls={"count": 12})
    taught = []
    night = open_night(settings, tmp_path / "n")
    run_survey(night, lambda step, progress: taught.append(step))
    controls = [step for step in taught if step.kind is Kind.CONTROL]
    assert len(controls) == 12
    assert all(step.score is None for step in controls)


def test_exposures_cut_off_from_their_step_are_reported_on_resume(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(), folder)
    run_survey(night, stop_after(night, 9))
    database = sqlite3.connect(folder / "journal.sqlite")
    database.execute("UPDATE exposures SET step = NULL WHERE step = (SELECT max(seq) FROM steps)")
    last = database.execute("SELECT max(id) FROM exposures").fetchone()[0]
    database.execute("DELETE FROM steps WHERE seq = (SELECT max(seq) FROM steps)")
    database.execute(
        "INSERT INTO exposures (state, specimen, purpose, tags, exposure, footprint, intent_utc)"
        " SELECT 'intent', specimen, purpose, tags, exposure, footprint, intent_utc FROM exposures WHERE id = ?",
        (last - 1,),
    )
    database.commit()
    database.close()
    assert run_survey(resume_night(folder)).reason is Reason.COMPLETE
    with SurveyReader(folder) as reader:
        steps = list(reader.steps())
        assert reader.rows.unreported() == ()
        blocks = reader.events("block")
    found = next(step for step in steps if step.exposures and step.exposures[0].exposure.id == last)
    assert found.decision.policy == "resume"
    assert found.fault is None
    assert found.score is not None
    assert found.exposures[0].purpose is Purpose.DETAIL
    lost = next(step for step in steps if step.fault and step.fault.error == CUT_OFF)
    assert lost.electrons > 0
    assert [event.data["target"] for event in blocks] == [lost.target]


def test_ten_thousand_steps_are_folded_in_linear_time(tmp_path):
    """Seconds, told by ``benchmarks.resume``; what grows by the square would take half an hour."""
    folder = tmp_path / "n"
    night = open_night(small(8, agent={"kind": "planner"}), folder)
    run_survey(night, stop_after(night, 40))
    with SurveyReader(folder) as reader:
        looks = [step for step in reader.steps() if step.score is not None and step.look == "detail"]
        first = len(list(reader.steps()))
    spent_s = []
    for last in (2_000, 10_000):
        copies = [replace(looks[n % len(looks)], number=n, exposures=()) for n in range(first, last)]
        database = sqlite3.connect(folder / "journal.sqlite")
        database.executemany(
            "INSERT INTO steps (specimen, number, kind, start_s, end_s, utc, data) VALUES (?, ?, ?, ?, ?, '', ?)",
            [(s.specimen, s.number, str(s.kind), s.start_s, s.end_s, dump(s)) for s in copies],
        )
        database.commit()
        database.close()
        first, tries_s = last, []
        for _ in range(3):  # the least of them: other programs share the processor's caches
            night = resume_night(folder)
            start_s = time.process_time()
            session = night.begin(0)
            tries_s.append(time.process_time() - start_s)
            night.close()
            assert session.env.step_number == last
        spent_s.append(min(tries_s))
    assert spent_s[1] < 12 * spent_s[0]


def test_requests_to_a_dead_survey_do_not_end_the_next(tmp_path):
    folder = tmp_path / "n"
    night = open_night(small(), folder)
    assert holder(folder) is not None
    run_survey(night, stop_after(night, 3))
    assert ask_to_stop(folder, person="Ada").startswith("nothing runs")
    ask(folder, "stop", person="Ada")
    assert run_survey(resume_night(folder, people=SimulatedClock())).reason is Reason.COMPLETE


def test_an_unknown_request_is_refused(tmp_path):
    open_night(small(), tmp_path / "n").close()
    with pytest.raises(ValueError, match="pause, resume, stop"):
        ask(tmp_path / "n", "dance")


def test_drift_between_two_frames_is_measured():
    rng = np.random.default_rng(1)
    scene = ndimage.gaussian_filter(rng.normal(size=(160, 160)), 3) * 100
    first, second = scene[16:144, 16:144], scene[13:141, 20:148]
    noise = rng.normal(size=(2, 128, 128)) * 5
    shift = shift_px((first + noise[0]).astype(np.float32), (second + noise[1]).astype(np.float32))
    assert shift == pytest.approx((3.0, -4.0), abs=0.2)
    assert shift_px(noise[0].astype(np.float32), noise[1].astype(np.float32)) is None
