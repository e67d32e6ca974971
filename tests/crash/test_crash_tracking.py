"""Following is killed, and stopped: what was told is not forgotten, nothing is exposed twice, and the dose goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SCENE

from archive.reader import SurveyReader

ROOT = Path(__file__).parents[2]
LONGER = ("horizon_s=300", "electrons=2e8", "rehearsals=0", *SCENE)
_PATIENCE_S = 240.0


def adaptem(*words: str) -> list[str]:
    return [sys.executable, "-m", "console.main", *words]


def rows_of(folder: Path) -> list[dict[str, object]]:
    path = folder / "tracking.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def stopped(folder: Path, number: signal.Signals, after: int) -> int:
    """Follow, and send this signal once so many rows are there; the exit code."""
    sets = [word for each in LONGER for word in ("--set", each)]
    command = adaptem("track", CONFIG, "--out", str(folder), "--quiet", *sets)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not (folder / "tracking.jsonl").exists() or len(rows_of(folder)) < after:
            assert process.poll() is None, "it ended before it was stopped"
            assert time.monotonic() < deadline_s, "it does not come to its rows"
            time.sleep(0.02)
        os.kill(process.pid, number)
        return process.wait(_PATIENCE_S)
    finally:
        process.kill()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_following_goes_on_where_it_was_stopped(tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder = tmp_path / "run"
    assert stopped(folder, number, 9) == code
    before = rows_of(folder)
    with (folder / "tracking.jsonl").open("ab") as file:
        file.write(b'{"t_s": 1')  # as a crash leaves it
    told = subprocess.run(adaptem("status", str(folder)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert "adaptem resume" in told.stdout, told.stdout + told.stderr
    if number is signal.SIGKILL:
        early = subprocess.run(adaptem("report", str(folder)), cwd=ROOT, capture_output=True, text=True, check=False)
        assert early.returncode == 2
        assert "`adaptem resume" in early.stderr
    else:
        assert "stopped by SIGINT" in (folder / "report.html").read_text()

    done = subprocess.run(adaptem("resume", str(folder)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = rows_of(folder)
    assert after[: len(before)] == before
    times = [row["ended_s"] for row in after]
    assert times == sorted(times)
    assert times[-1] >= 300.0 or "no look can be paid" in done.stdout
    asides = [row for row in after if row["decided_by"] == "runner"]
    assert len(asides) == 2
    with SurveyReader(folder) as reader:
        exposures = list(reader.exposures())
        assert len({row.id for row in exposures}) == len(exposures)
        orders = [event for event in reader.events() if event.kind == "holder"]
        assert len(orders) == 1
    looked = sum(row["look"] is not None and row["values"] is not None for row in after)
    assert looked <= len(exposures) <= looked + 1  # what a kill cut off from its row is not made again
    found = json.loads((folder / "tracking.json").read_text())
    assert found["electrons"] <= 2e8
    assert found["looks"] == sum(row["values"] is not None and row["decided_by"] != "runner" for row in after)
    assert not found["stopped"]

    again = subprocess.run(adaptem("resume", str(folder)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "followed to its end" in again.stderr
    subprocess.run(adaptem("report", str(folder), "--out", str(tmp_path / "page")), cwd=ROOT, check=True)
    assert (tmp_path / "page" / "report.html").exists()
