"""A stage's play is taken up in one direction; what is judged before an exposure is read once the stage is still."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from instruments_fake import EXPOSURE, Valves, guarded, limits, nothing, raising
from pydantic import ValidationError

from instruments.clock import SimulatedClock
from instruments.errors import BusyError, HardwareFault, LimitError, ReachError
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.powers import CanStop, HasLoader, HasValves
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import StagePosition

if TYPE_CHECKING:
    from instruments_fake import FakeMicroscope

PLAY_NM = 60.0
LOOSE = {"approach": False, "backlash_nm": PLAY_NM, "reach_nm": 0.0, "creep_nm": 0.0, "drift_nm": 0.0}


def places(approach_nm: float) -> list[float]:
    """The truth at x = 0, y = 0, come to from either side."""
    clock = SimulatedClock()
    world = World(SimulatedSettings(stage=LOOSE), 1, clock)
    guard = Guard(SimulatedMicroscope(world), limits(approach_nm=approach_nm), MemoryLedger(), clock, SIMULATED)
    found = []
    for from_nm in (-900.0, 900.0):
        guard.move(StagePosition(x_nm=from_nm, y_nm=from_nm))
        guard.move(StagePosition(x_nm=0.0, y_nm=0.0))
        found.append(world.place_nm()[0])
    world.close()
    return found


def test_a_place_is_the_same_from_either_side_once_the_play_is_taken_up() -> None:
    assert places(0.0)[1] - places(0.0)[0] == pytest.approx(PLAY_NM, abs=1.0)
    assert places(100.0)[1] - places(100.0)[0] == pytest.approx(0.0, abs=1.0)


def test_only_x_and_y_turn_round_and_nothing_passes_below_the_limits(scope: FakeMicroscope) -> None:
    guard = guarded(scope, approach_nm=400.0)
    guard.move(StagePosition(z_nm=100.0, alpha_deg=5.0))
    assert scope.calls.count("move") == 1
    guard.move(StagePosition(x_nm=100.0))
    assert scope.calls.count("move") == 3
    assert (scope.stage.x_nm, scope.stage.y_nm, scope.stage.z_nm) == (100.0, 0.0, 100.0)
    with pytest.raises(LimitError, match="on the way to -9800"):
        guard.move(StagePosition(x_nm=-9800.0))
    assert scope.calls.count("move") == 3


def test_a_stop_between_the_two_motions_keeps_the_second_back(scope: FakeMicroscope) -> None:
    class Stopping:
        def stop(self) -> None:
            scope.calls.append("stop")

    scope.powers[CanStop] = Stopping()
    guard = guarded(scope, approach_nm=400.0)
    stop = guard.power(CanStop)
    assert stop is not None
    scope.on_move = stop.stop
    with pytest.raises(ReachError, match="x_nm reads 600"):
        guard.move(StagePosition(x_nm=1000.0))
    assert scope.calls.count("move") == 1


@pytest.mark.parametrize("latched", [False, True])
def test_a_hold_or_a_latch_between_the_two_motions_keeps_the_second_back(scope: FakeMicroscope, latched: bool) -> None:
    """From whichever thread: nobody sees to the rest of the way."""
    guard = guarded(scope, approach_nm=400.0)

    def told_off() -> None:
        scope.on_move = nothing
        if latched:
            scope.on_blank = raising(OSError("the amplifier is off"))
        with suppress(HardwareFault):
            guard.hold("the survey is gone")
        scope.on_blank = nothing

    scope.on_move = told_off
    with pytest.raises(ReachError, match="x_nm reads 600"):
        guard.move(StagePosition(x_nm=1000.0))
    assert scope.calls.count("move") == 1
    if not latched:  # what was held off before is no reason: only the beam is
        assert guard.move(StagePosition(x_nm=1000.0)).achieved.x_nm == 1000.0


def test_an_approach_that_passes_farther_than_the_backlash_allows_is_refused() -> None:
    with pytest.raises(ValidationError, match="raise backlash_nm to it"):
        limits(approach_nm=501.0)


def test_a_valve_that_closes_while_the_stage_comes_to_rest_keeps_the_beam_off(scope: FakeMicroscope) -> None:
    """The first exposure waits for two read-backs that agree: what was read before that wait is old by then."""
    guard = guarded(scope)
    start_s = scope.clock.now_s()

    def creeping() -> None:
        gone_s = scope.clock.now_s() - start_s
        scope.stage = replace(scope.stage, x_nm=200.0 * min(gone_s, 3.0))
        scope.reads["valve_open"] = gone_s < 1.0

    scope.on_state = creeping
    with pytest.raises(BusyError, match="valve is closed"):
        guard.acquire(EXPOSURE)
    assert "acquire" not in scope.calls


def test_a_valve_that_reads_closed_only_once_lets_no_specimen_pass(scope: FakeMicroscope) -> None:
    class Loader:
        def specimens(self) -> tuple[str, ...]:
            return ("grid 1",)

        def loaded(self) -> str | None:
            return None

        def load(self, name: str) -> None:
            scope.calls.append(f"load {name}")

        def unload(self) -> None:
            scope.calls.append("unload")

    scope.powers[HasLoader], scope.powers[HasValves] = Loader(), Valves(scope.calls)
    guard = guarded(scope)
    loader = guard.power(HasLoader)
    assert loader is not None
    closed = iter([False])
    scope.on_state = lambda: scope.reads.update(valve_open=next(closed, True))
    with pytest.raises(BusyError, match="but it is open"):
        loader.load("grid 1")
    scope.on_state = lambda: scope.reads.update(valve_open=False)
    with suppress(HardwareFault):  # nothing arrives: this loader does nothing
        loader.load("grid 1")
    assert scope.calls.count("load grid 1") == 1
