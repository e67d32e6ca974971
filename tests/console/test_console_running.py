"""Steering a survey that really runs, from other processes, and how it ends."""

from __future__ import annotations

import json
import signal

import pytest
from console_helpers import adaptem, config, start, strict, wait_for

from archive.reader import SurveyReader

SWIFT = {"overhead_s": 0.0, "settle_s": 0.0, "creep_s": 0.01, "speed_nm_per_s": 1e5}


def real_time(folder, dwell_us=20.0, **changes):
    """Some 0.3 s a step, on the clock on the wall."""
    instrument = {"kind": "simulated", "real_time": True, "stage": SWIFT, "overhead_s": 0.05}
    looks = {"detail": {"field_of_view_nm": 50.0, "shape": [32, 32], "dwell_us": dwell_us}}
    return config(folder, instrument=instrument, looks=looks, **changes)


@pytest.fixture
def running(tmp_path):
    """A survey that has made three steps, its folder beside it; killed where the test left it alive."""
    process = start("survey", real_time(tmp_path, sites=16), "--out", tmp_path / "night", "--json")
    process.folder = tmp_path / "night"
    for _ in range(3):
        assert process.stdout.readline(), process.communicate()
    yield process
    process.kill()
    process.communicate()


def state(folder):
    return strict(adaptem("status", folder, "--json").stdout)["state"]


def health(folder):
    return json.loads((folder / "health.json").read_text())["state"]


def test_status_pause_resume_and_stop(running):
    folder = running.folder
    assert state(folder) == f"running (process {running.pid})"
    assert adaptem("report", folder).exit_code == 0
    assert "Still running" in (folder / "report.html").read_text()

    assert adaptem("pause", folder).exit_code == 0
    wait_for(lambda: health(folder) == "paused")
    assert state(folder) == f"paused (process {running.pid})"
    made = strict(adaptem("status", folder, "--json").stdout)["steps"]
    told = adaptem("resume", folder, "--json")
    assert told.exit_code == 0 and "to go on" in strict(told.stdout)["message"]
    wait_for(lambda: strict(adaptem("status", folder, "--json").stdout)["steps"] > made)

    assert f"process {running.pid}" in adaptem("stop", folder).stdout
    said, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (5, "")
    end = strict(said.splitlines()[-1])
    assert (end["exit"], end["reason"]) == (5, "stopped")
    assert state(folder).startswith("ended: stopped by")
    assert "Stopped" in (folder / "report.html").read_text()


def test_one_that_was_killed_is_ended_as_it_is_by_a_persons_word(running):
    folder = running.folder
    wait_for(lambda: strict(adaptem("status", folder, "--json").stdout)["steps"] > 2)
    told = adaptem("end", folder, "--because", "no patience")
    assert told.exit_code == 2 and f"process {running.pid} still runs" in told.stderr
    running.kill()
    running.communicate()
    assert "`adaptem end` says that it never will" in state(folder)
    told = adaptem("end", folder, "--because", "the holder is broken", "--by", "Ada", "--json")
    assert told.exit_code == 0 and strict(told.stdout)["reason"] == "stopped", told.output
    assert state(folder) == "ended: ended as it is, says Ada: the holder is broken"
    page = (folder / "report.html").read_text()
    assert "the holder is broken" in page and "cut off" not in page
    assert "has ended" in adaptem("end", folder, "--because", "again").stderr


def test_a_ctrl_c_ends_it_whole_and_resume_goes_on(running):
    folder = running.folder
    running.send_signal(signal.SIGINT)
    said, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (130, "")
    assert strict(said.splitlines()[-1])["reason"] == "interrupted"
    with SurveyReader(folder) as reader:
        before = reader.rows.step_count()
        assert reader.rows.intents() == ()
    again = start("resume", folder, "--json")
    assert strict(again.stdout.readline())["step"] == before
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=60)
    assert again.returncode == 130


def test_a_reader_that_leaves_ends_no_night(tmp_path):
    process = start("survey", config(tmp_path), "--out", tmp_path / "night", "--json")
    process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert state(tmp_path / "night").startswith("ended")


def test_a_safety_stop_needs_a_name_to_go_on(tmp_path):
    touch = [{"kind": "pole_touch", "at_s": 0.0}]
    path = config(tmp_path, instrument={"kind": "simulated", "faults": touch})
    folder = tmp_path / "night"
    ended = adaptem("survey", path, "--out", folder)
    assert ended.exit_code == 3
    assert adaptem("resume", folder).exit_code == 3
    assert "Safety stop" in (folder / "report.html").read_text()
    assert adaptem("resume", folder, "--cleared-by", "Ada").exit_code == 0


def test_no_success_for_hours_is_the_hardwares(tmp_path):
    path = config(
        tmp_path,
        instrument={"kind": "simulated", "faults": [{"kind": "valve_closed", "at_s": 0.0, "duration_s": 1e6}]},
        recovery={"parked_max_s": 60.0},
    )
    ended = adaptem("survey", path, "--out", tmp_path / "night", "--json")
    assert ended.exit_code == 4
    assert strict(ended.stdout.splitlines()[-1])["exit"] == 4
    report = (tmp_path / "night" / "report.html").read_text()
    assert "Ended by the instrument" in report and "BusyError" in report
