"""On the computer's clock: a signal handler blanks an exposure that is under way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

from instruments.clock import RealClock
from instruments.errors import InstrumentError
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import pathlib, signal, sys
from instruments.clock import RealClock
from instruments.errors import InstrumentError
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

world = World(SimulatedSettings(real_time=True), 1, RealClock(), pathlib.Path(sys.argv[1]))
scope = SimulatedMicroscope(world)
signal.signal(signal.SIGTERM, lambda *_: scope.blank())
print("ready", flush=True)
try:
    scope.acquire(Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=1000.0, frames=5))
except InstrumentError as error:
    print(error, flush=True)
"""


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_signal_blanks_at_once_and_the_truth_knows_when(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        while "unblank" not in path.read_text():
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        sent_s = time.monotonic()
        said, _ = process.communicate(timeout=20)
    assert "its frame is lost" in said
    boot, *rest = rows(path)
    blank = next(row for row in rest if row["row"] == "blank")
    assert abs(blank["t_s"] - boot["t_s"] + boot["monotonic_s"] - sent_s) < 1
    (done,) = [row for row in rest if row["row"] == "exposure"]
    planned = next(row for row in rest if row["row"] == "unblank")["electrons"]
    assert done["electrons"] == pytest.approx(planned * (done["end_s"] - done["start_s"]) / (64 * 64 * 1e-3))
    assert 0.05 * planned < done["electrons"] < 0.9 * planned


def test_a_blank_before_the_beam_keeps_it_off(tmp_path: Path) -> None:
    """The handler may run while the exposure is being prepared; its blank must not be overtaken."""
    path = tmp_path / "truth.jsonl"
    world = World(SimulatedSettings(real_time=True, overhead_s=0.5), 1, RealClock(), path)
    scope = SimulatedMicroscope(world)
    timer = threading.Timer(0.2, scope.blank)
    timer.start()
    with pytest.raises(InstrumentError, match="nothing was exposed"):
        scope.acquire(Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=1000.0))
    timer.join()
    assert world.exposures() == ()
    assert not world.beam_on
    scope.acquire(Exposure(field_of_view_nm=100.0, shape=(8, 8), dwell_us=4.0))  # the next one may


def test_resumed_clock_goes_on_without_waiting(tmp_path: Path) -> None:
    settings = SimulatedSettings(real_time=True, stage=StageSettings(settle_s=0.05, overhead_s=0.05))
    path = tmp_path / "truth.jsonl"
    first = World(settings, 1, RealClock(1000.0), path)
    SimulatedMicroscope(first).move(StagePosition(x_nm=1.0))
    SimulatedMicroscope(first).acquire(Exposure(field_of_view_nm=100.0, shape=(8, 8), dwell_us=4.0))
    started_s = time.monotonic()
    second = World(settings, 1, RealClock(), path)
    assert time.monotonic() - started_s < 1
    assert second.now_s() > 1000
    assert second.stage.snapshot() == first.stage.snapshot()
