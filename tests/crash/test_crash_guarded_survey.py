"""`adaptem survey` with its guard in its own process: told to stop, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash_truth import rows_of
from guard_rig import HANDS, Lag, wait_for
from survey_samples import small

from archive.reader import SurveyReader
from configs.load import dump

if TYPE_CHECKING:
    from surveys.settings import SurveySettings

ROOT = Path(__file__).resolve().parents[2]
SLOW = {"shape": [64, 64], "dwell_us": 500.0}
"""2 s of beam a frame."""


@pytest.fixture
def settings(tmp_path: Path) -> SurveySettings:
    made = small(
        4,
        guard="process",
        instrument={"real_time": True},
        looks={"overview": {"sites": 2, **SLOW}, "detail": {"field_of_view_nm": 50.0, **SLOW}},
        limits={"max_fluence_e_per_A2": 1e9},
        budget={"detail_fraction": 0.1},
        controls={"count": 0},
    )
    (tmp_path / "survey.yaml").write_text(dump(made), encoding="utf-8")
    return made


def start(tmp_path: Path, *words: object) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ADAPTEM_STATE": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "console.main", *map(str, words), "--json"]
    return subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL)


def beam_on(truth: Path) -> bool:
    beam = [row["row"] for row in rows_of(truth) if row["row"] in ("unblank", "blank")] if truth.exists() else []
    return beam[-1:] == ["unblank"]


@pytest.mark.parametrize(("how", "limit_s", "code"), [("SIGTERM", 2.0, 130), ("SIGKILL", 0.1, -9)])
def test_stopped_and_resumed(tmp_path: Path, settings: SurveySettings, how: str, limit_s: float, code: int) -> None:
    """The beam goes off in time, the folder is whole, and the survey that goes on exposes nothing twice."""
    folder, truth = tmp_path / "n", tmp_path / "n.truth.jsonl"
    process = start(tmp_path, "survey", tmp_path / "survey.yaml", "--out", folder)
    try:
        wait_for(lambda: beam_on(truth), 120.0)
        time.sleep(0.2)
        with Lag() as lag:
            struck_s = time.monotonic()
            process.send_signal(signal.Signals[how])
            if how == "SIGKILL":  # a large process is dead once its memory is freed, not before
                process.wait()
                struck_s = time.monotonic()
            wait_for(lambda: not beam_on(truth), 10.0)
        rows = rows_of(truth)
        off = [row for row in rows if row["row"] == "blank"][-1]
        assert rows[0]["monotonic_s"] + off["t_s"] - rows[0]["t_s"] - struck_s < limit_s + lag.allowance_s(HANDS)
        assert process.wait(60) == code
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not left_over(tmp_path), 20.0)
    again = start(tmp_path, "resume", folder)
    assert again.wait(120) == 0
    made = Counter(row["id"] for row in rows_of(truth) if row["row"] == "unblank")
    assert max(made.values()) == 1
    with SurveyReader(folder) as reader:
        states = {row.id: row.state for row in reader.exposures()}
    assert all(states[number] in ("committed", "lost") for number in made)


def left_over(tmp_path: Path) -> list[int]:
    """Processes of this survey that still run."""
    mine = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"ADAPTEM_STATE={tmp_path / 'state'}".encode() in environment:
                mine.append(int(entry.name))
    return mine
