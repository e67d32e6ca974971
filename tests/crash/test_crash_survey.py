"""Killed at any moment, a survey goes on: nothing committed is lost, nothing is exposed twice, no dose is forgotten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from survey_samples import small

from archive.reader import SurveyReader
from instruments.clock import SimulatedClock
from instruments.ledger_sqlite import SqliteLedger
from instruments.simulated.world import World
from surveys.asking import ask_to_stop

if TYPE_CHECKING:
    from surveys.settings import SurveySettings

HERE = Path(__file__).parent


class Nursery:
    """Runs surveys and tells what they said."""

    def __init__(self) -> None:
        path = os.pathsep.join(map(str, HERE.parents[:2]))
        self.process = subprocess.Popen(
            [sys.executable, HERE / "survey_nursery.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )

    def live(self, folder: Path, settings: SurveySettings, end=None):
        """Let a survey live; returns (words it said, exit code or None). ``end(pid, steps)`` is called at each."""
        order = {"folder": str(folder), "settings": settings.model_dump(mode="json")}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        pid, said, code = 0, [], None
        for line in self.process.stdout:
            word, *rest = line.split()
            said.append((time.monotonic(), word))
            if word == "P":
                pid = int(rest[0])
            elif word == "E":
                code = int(rest[0])
            elif word == "D":
                return said, code
            if end and word in "OS":
                end(pid, sum(w == "S" for _, w in said))
        raise AssertionError("the nursery died")


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.process.stdin.close()
    made.process.wait(10)
    made.process.stdout.close()


def committed(folder):
    """Checksums of every committed exposure, after reading its pixels back."""
    with SurveyReader(folder) as reader:
        rows = [row for row in reader.exposures() if row.state == "committed"]
        for row in rows:
            reader.recorded(row.id)
        return {row.id: tuple(signal.sha256 for signal in row.signals) for row in rows}


def world_of(folder, settings):
    return World(settings.instrument, settings.seed, SimulatedClock(), folder.with_name(f"{folder.name}.truth.jsonl"))


def judge(folder, settings):
    """Hold ledger and journal against the world's own truth."""
    world = world_of(folder, settings)
    exposures = world.exposures()
    world.close()
    with SurveyReader(folder) as reader:
        rows = {row.id: row for row in reader.exposures()}
        steps = list(reader.steps())
        assert not reader.rows.unreported() or all(row.state == "failed" for row in reader.rows.unreported())
    times = {}
    for done in exposures:
        times[done.id] = times.get(done.id, 0) + 1
    for number, count in times.items():
        assert count <= rows[number].exposure.frames, f"exposure {number} was made {count} times"
        assert rows[number].state in ("committed", "lost")
    assert [step.number for step in steps] == list(range(len(steps)))
    ledger = SqliteLedger(folder / "ledger.sqlite")
    try:
        assert ledger.electrons() >= sum(done.electrons for done in exposures) * (1 - 1e-9)
        for done in exposures:
            at = (done.footprint.x_nm, done.footprint.y_nm)
            here = sum(other.fluence_e_per_A2 for other in exposures if other.footprint.contains(*at))
            assert ledger.fluence_e_per_A2(done.footprint) >= here * (1 - 1e-9)
    finally:
        ledger.close()


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_and_resumed(nursery, tmp_path, kills):
    settings = small(6, skills={"refocus": {"pixels": 32}}, agent={"kind": "raster", "corner": 0, "refocus_every": 9})
    folder, rng = tmp_path / "n", np.random.default_rng(kills)
    before = {}
    for _ in range(kills):
        steps, delay_s = int(rng.integers(0, 3)), float(rng.uniform(0, 0.08))

        def kill(pid, made, steps=steps, delay_s=delay_s):
            if made == steps:
                time.sleep(delay_s)
                os.kill(pid, signal.SIGKILL)

        _, code = nursery.live(folder, settings, kill)
        if code is not None:
            break
        now = committed(folder)
        assert before.items() <= now.items()
        before = now
        judge_if_open(folder, settings)
    _, code = nursery.live(folder, settings)
    assert code == 0
    assert before.items() <= committed(folder).items()
    judge(folder, settings)


def judge_if_open(folder, settings):
    """Between kills an intent may be open: the ledger must hold it already."""
    world = world_of(folder, settings)
    sent = sum(done.electrons for done in world.exposures())
    world.close()
    if (folder / "ledger.sqlite").exists():
        ledger = SqliteLedger(folder / "ledger.sqlite")
        assert ledger.electrons() >= sent * (1 - 1e-9)
        ledger.close()


SLOW = {"shape": [64, 64], "dwell_us": 1000.0}
"""4 s of beam a frame, so that a signal falls into an exposure."""


@pytest.mark.parametrize("moment", ["move", "tune"])
def test_the_beam_does_not_come_on_after_a_stop(nursery, tmp_path, moment):
    """Said between two exposures, on the way to a place or in the midst of focusing."""
    settings = small(
        4,
        instrument={"real_time": True},
        looks={"overview": {"sites": 2, **SLOW}, "detail": {"field_of_view_nm": 50.0, **SLOW}},
        skills={"refocus": {"pixels": 64}},
        agent={"kind": "planner"} if moment == "tune" else {"kind": "raster", "corner": 0, "refocus_every": 0},
        limits={"max_fluence_e_per_A2": 1e9},
    )
    folder = tmp_path / "n"
    truth = folder.with_name("n.truth.jsonl")
    asked = []

    def end(pid, made):
        if made == 0:
            wait_for(truth, moment)
            asked.append(time.monotonic())
            os.kill(pid, signal.SIGTERM)

    said, code = nursery.live(folder, settings, end)
    assert code == 130
    boot = next(row for row in rows_of(truth) if row["row"] == "boot")
    came_on = [boot["monotonic_s"] + row["t_s"] - boot["t_s"] for row in rows_of(truth) if row["row"] == "unblank"]
    late = [at for at in came_on if at > asked[0]]
    if late:  # in the moment before the signal was there: then it is cut short
        assert late[0] < asked[0] + 0.5 and len(late) == 1
        assert last_blank_monotonic(truth) < asked[0] + 2.0
    assert next(t for t, word in said if word == "D") - asked[0] < 10.0


@pytest.mark.parametrize("how", ["stop", "SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_beam_is_blanked_within_two_seconds(nursery, tmp_path, how, times):
    settings = small(
        4,
        instrument={"real_time": True},
        looks={"overview": {"sites": 2, **SLOW}, "detail": {"field_of_view_nm": 50.0, **SLOW}},
        limits={"max_fluence_e_per_A2": 1e9},
    )
    folder = tmp_path / "n"
    truth = folder.with_name("n.truth.jsonl")
    for turn in range(times):
        asked = []

        def end(pid, made, asked=asked, turn=turn):
            if made == 0:
                wait_for_beam(truth)
                time.sleep(0.3)
                asked.append(time.monotonic())
                if how == "stop":
                    ask_to_stop(folder, person="Ada")
                else:
                    os.kill(pid, getattr(signal, how))

        said, code = nursery.live(folder, settings, end)
        assert code == (5 if how == "stop" else 130)
        blanked = last_blank_monotonic(truth)
        assert blanked - asked[0] < 2.0
        assert next(t for t, word in said if word == "D") - asked[0] < 10.0
        with SurveyReader(folder) as reader:
            assert reader.events("end")[-1].data["reason"] == ("stopped" if how == "stop" else "interrupted")


def rows_of(truth):
    return [json.loads(line) for line in truth.read_text().splitlines() if line.endswith("}")]


def wait_for_beam(truth):
    """Until the world's last row says that the beam is on."""
    wait_for(truth, "unblank")


def wait_for(truth, kind):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if truth.exists() and rows_of(truth)[-1:] and rows_of(truth)[-1]["row"] == kind:
            return
        time.sleep(0.01)
    raise AssertionError(f"the world's last row was never {kind}")


def last_blank_monotonic(truth):
    """When the beam last went off, on this computer's monotonic clock."""
    rows = rows_of(truth)
    boot = [row for row in rows if row["row"] == "boot"][-1]
    blank = [row for row in rows if row["row"] == "blank"][-1]
    return boot["monotonic_s"] + blank["t_s"] - boot["t_s"]
