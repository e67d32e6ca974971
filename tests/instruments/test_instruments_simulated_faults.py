"""Every scripted fault shows as it does on an instrument."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from instruments.clock import SimulatedClock
from instruments.errors import BusyError, Disconnected, ReachError, Timeout
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import Fault, SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

LOOK = Exposure(field_of_view_nm=100.0, shape=(32, 32), dwell_us=4.0)


def make(*faults: Fault, truth: Path | None = None) -> tuple[World, SimulatedMicroscope, SimulatedClock]:
    clock = SimulatedClock()
    world = World(SimulatedSettings(faults=faults), 1, clock, truth)
    return world, SimulatedMicroscope(world), clock


def at(kind: str, at_s: float = 10.0, duration_s: float = 60.0) -> Fault:
    return Fault.model_validate({"kind": kind, "at_s": at_s, "duration_s": duration_s})


def test_stage_stuck() -> None:
    _, scope, clock = make(at("stage_stuck"))
    scope.move(StagePosition(x_nm=100.0))
    clock.wait(10)
    with pytest.raises(ReachError) as caught:
        scope.move(StagePosition(x_nm=1100.0))
    assert caught.value.readback == scope.state().stage
    assert scope.state().stage.x_nm == pytest.approx(200, abs=5)
    clock.wait(60)
    assert scope.move(StagePosition(x_nm=1100.0)).achieved.x_nm == pytest.approx(1100, abs=5)


def test_blank_frames_have_no_electrons() -> None:
    world, scope, clock = make(at("blank_frames"))
    lit = scope.acquire(LOOK).signals["BF"].data.mean()
    clock.wait(10)
    assert scope.acquire(LOOK).signals["BF"].data.mean() < 0.02 * lit
    assert world.exposures()[-1].electrons == 0
    clock.wait(60)
    assert scope.acquire(LOOK).signals["BF"].data.mean() == pytest.approx(lit, rel=0.1)


def test_valve_closed_is_read_back_and_dark() -> None:
    world, scope, clock = make(at("valve_closed"))
    assert scope.state().valve_open is True
    clock.wait(10)
    assert scope.state().valve_open is False
    scope.acquire(LOOK)
    assert world.exposures()[-1].electrons == 0
    clock.wait(60)
    assert scope.state().valve_open is True


def test_emission_off_is_read_back_and_dark() -> None:
    world, scope, clock = make(at("emission_off"))
    lit = scope.state().emission
    assert lit is not None
    assert (lit.unit, lit.value) == ("µA", 100.0)
    clock.wait(10)
    assert scope.state().emission == replace(lit, value=0.0)
    scope.acquire(LOOK)
    assert world.exposures()[-1].electrons == 0
    clock.wait(60)
    assert scope.state().emission == lit


def test_dewar_refill_is_announced_and_refuses() -> None:
    world, scope, clock = make(at("dewar_refill"))
    assert scope.state().busy_until_s is None
    clock.wait(20)
    assert scope.state().busy_until_s == 70
    with pytest.raises(BusyError) as caught:
        scope.acquire(LOOK)
    assert caught.value.until_s == 70
    with pytest.raises(BusyError):
        scope.move(StagePosition(x_nm=1.0))
    assert world.exposures() == ()
    clock.wait(50)
    scope.acquire(LOOK)


def test_camera_timeout_spends_the_dose_once() -> None:
    world, scope, clock = make(at("camera_timeout", duration_s=0))
    clock.wait(11)
    with pytest.raises(Timeout):
        scope.acquire(LOOK)
    assert world.exposures()[-1].electrons == pytest.approx(LOOK.electrons(50))
    scope.acquire(LOOK)


def test_pole_touch_leaves_the_tilt_elsewhere() -> None:
    _, scope, clock = make(at("pole_touch", duration_s=0))
    clock.wait(11)
    achieved = scope.move(StagePosition(alpha_deg=10.0)).achieved
    assert achieved.alpha_deg == pytest.approx(5.5)
    assert scope.state().stage.alpha_deg == achieved.alpha_deg
    assert scope.move(StagePosition(alpha_deg=0.0)).achieved.alpha_deg == pytest.approx(0)


def test_pole_touch_is_seen_without_tilting() -> None:
    _, scope, clock = make(at("pole_touch", duration_s=0))
    clock.wait(11)
    assert abs(scope.move(StagePosition(x_nm=100.0)).achieved.alpha_deg or 0) > 0.1


def test_disconnect_loses_one_reply_then_everything() -> None:
    world, scope, clock = make(at("disconnect"))
    clock.wait(11)
    with pytest.raises(Disconnected):
        scope.acquire(LOOK)
    assert world.exposures()[-1].electrons > 0  # executed, only the reply was lost
    for call in (scope.state, lambda: scope.acquire(LOOK), lambda: scope.move(StagePosition(x_nm=1.0))):
        with pytest.raises(Disconnected):
            call()
    assert len(world.exposures()) == 1
    scope.blank()
    clock.wait(60)
    scope.acquire(LOOK)


def test_spurious_ready_goes_on_moving() -> None:
    _, scope, clock = make(at("spurious_ready", at_s=0))
    outcome = scope.move(StagePosition(x_nm=2000.0))
    assert abs((outcome.achieved.x_nm or 0) - 2000) > 1000
    clock.wait(5)
    assert scope.state().stage.x_nm == pytest.approx(2000, abs=5)


def test_drift_burst_comes_and_goes_unseen_by_the_encoders() -> None:
    world, scope, clock = make(at("drift_burst", at_s=10, duration_s=20))
    clock.wait(10)
    start, readback = world.place_nm()[0], scope.state().stage.x_nm
    clock.wait(20)
    assert world.place_nm()[0] - start == pytest.approx(60, abs=1)
    assert scope.state().stage.x_nm == readback
    clock.wait(200)
    assert world.place_nm()[0] - start == pytest.approx(0, abs=2)


def test_truth_names_each_fault_once_and_it_does_not_come_back(tmp_path: Path) -> None:
    faults = at("camera_timeout", duration_s=0), at("dewar_refill", at_s=30)
    path = tmp_path / "truth.jsonl"
    _, scope, clock = make(*faults, truth=path)
    clock.wait(11)
    with pytest.raises(Timeout):
        scope.acquire(LOOK)
    clock.wait(20)
    for _ in range(3):
        scope.state()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["kind"] for row in rows if row["row"] == "fault"] == ["camera_timeout", "dewar_refill"]
    _, again, _ = make(*faults, truth=path)
    with pytest.raises(BusyError) as caught:
        again.acquire(LOOK)
    assert caught.value.until_s is not None
    assert math.isfinite(caught.value.until_s)
