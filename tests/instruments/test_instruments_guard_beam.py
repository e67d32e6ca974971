"""Blanked by default; what the instrument must read before its beam goes on."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, Valves, guarded, limits, nothing, raising, refused

from instruments.errors import (
    BusyError,
    Disconnected,
    HardwareFault,
    LimitError,
    Timeout,
)
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED
from instruments.powers import HasValves
from instruments.types import Optics, Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Mapping

GAS = Reading(value=2e-5, unit="Pa", age_s=1.0)
GUN = Reading(value=100.0, unit="µA", age_s=1.0)
ELECTRONS = EXPOSURE.electrons(100.0)


def test_blanks_when_it_takes_over(scope: FakeMicroscope) -> None:
    scope.beam_on = True
    Guard(scope, limits(), MemoryLedger(), scope.clock, SIMULATED)
    assert scope.calls == ["blank"]
    assert not scope.beam_on


def test_blanks_before_what_moves_and_after_what_exposes(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.move(StagePosition(x_nm=10.0))
    guard.tune(Optics(defocus_nm=-50.0))
    guard.acquire(EXPOSURE)
    assert scope.calls == ["blank", "move", "blank", "tune", "acquire", "blank"]
    assert not scope.beam_on


@pytest.mark.parametrize("error", [Timeout("t"), Disconnected("d"), RuntimeError("bug"), KeyboardInterrupt()])
def test_blanks_and_counts_as_spent_whatever_an_exposure_raises(scope: FakeMicroscope, error: Exception) -> None:
    guard = guarded(scope)
    scope.on_acquire = raising(error)
    with pytest.raises(type(error)):
        guard.acquire(replace(EXPOSURE, id=1))
    assert not scope.beam_on
    assert guard.ledger.electrons() == pytest.approx(ELECTRONS)
    scope.on_acquire = nothing
    refused(guarded(scope, guard.ledger), scope, LimitError, "never made twice", id=1)


def test_a_beam_found_on_is_blanked_and_nothing_is_exposed(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.beam_on = True
    refused(guard, scope, BusyError, "must be blanked, but it is on")
    assert not scope.beam_on
    guard.acquire(EXPOSURE)


def test_an_unknown_blanker_is_not_trusted(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.reads["blanked"] = None
    refused(guard, scope, BusyError, "blanker: the instrument tells nothing")


@pytest.mark.parametrize("error", [Timeout("no answer"), RuntimeError("bug")])
def test_a_blank_that_fails_latches(scope: FakeMicroscope, error: Exception) -> None:
    guard = guarded(scope)
    scope.on_blank = raising(error)
    with pytest.raises(HardwareFault, match="could not be blanked") as caught:
        guard.acquire(EXPOSURE)
    assert caught.value.latching
    assert guard.ledger.electrons() == pytest.approx(ELECTRONS)
    scope.on_blank = nothing
    scope.calls.clear()
    refused(guard, scope, HardwareFault, "latched")


def test_a_blank_that_does_nothing_latches(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.reads["blanked"] = False
    with pytest.raises(HardwareFault, match="reads on"):
        guard.blank()
    assert guard.ledger.latched() is not None


def test_blank_does_not_need_a_readable_state(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_state = raising(Disconnected("gone"))
    guard.blank()
    guard.blank()
    assert scope.calls == ["blank", "blank"]
    assert guard.ledger.latched() is None


def test_blank_works_over_budget_and_latched(scope: FakeMicroscope) -> None:
    guard = guarded(scope, max_time_s=1.0)
    scope.clock.wait(5.0)
    guard.ledger.latch("touched")
    guard.blank()
    assert scope.calls == ["blank"]


def test_close_is_safe_twice_and_final(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.close()
    guard.close()
    guard.blank()
    assert scope.calls == ["blank", "close"]
    for act in (
        lambda: guard.acquire(EXPOSURE),
        lambda: guard.move(StagePosition(x_nm=1.0)),
        guard.state,
        lambda: guard.power(HasValves),
    ):
        with pytest.raises(Disconnected, match="closed"):
            act()
    assert "closed" in str(guard.why_not(EXPOSURE))


def test_close_lets_go_even_where_blanking_fails(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_blank = raising(Timeout("no answer"))
    with pytest.raises(HardwareFault):
        guard.close()
    assert scope.calls == ["blank", "close"]


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ({"valve_open": False}, "valve is closed"),
        ({"vacuum": replace(GAS, valid=False)}, "not valid"),
        ({"vacuum": replace(GAS, value=None)}, "not valid"),
        ({"vacuum": replace(GAS, value=math.nan)}, "not valid"),
        ({"vacuum": replace(GAS, age_s=61.0)}, "61 s old"),
        ({"vacuum": replace(GAS, age_s=-1.0)}, "-1 s old"),
        ({"vacuum": replace(GAS, age_s=math.nan)}, "nan s old"),
        ({"emission": replace(GUN, valid=False)}, "emission reading is not valid"),
        ({"emission": replace(GUN, value=None)}, "emission reading is not valid"),
        ({"emission": replace(GUN, age_s=61.0)}, "61 s old"),
        ({"emission": replace(GUN, value=0.0)}, "emission reads 0 µA"),
        ({"emission": replace(GUN, unit="A")}, "judged in µA"),
        ({"optics": Optics(current_pA=100.0, voltage_kV=0.0)}, "high tension reads 0 kV"),
        ({"optics": Optics(current_pA=100.0, voltage_kV=math.nan)}, "high tension reads nan kV"),
        ({"stage": StagePosition(x_nm=None, y_nm=0.0)}, "without a place"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=None)}, "without a place"),
        ({"stage": StagePosition(x_nm=0.0, y_nm=math.nan)}, "without a place"),
        ({"busy_until_s": 10.0}, "busy for another"),
        ({"busy_until_s": math.nan}, "busy for another"),
    ],
)
def test_readings_that_keep_the_beam_off(scope: FakeMicroscope, reads: dict[str, Any], message: str) -> None:
    guard = guarded(scope)
    guard.acquire(EXPOSURE)
    scope.calls.clear()
    scope.reads |= reads
    refused(guard, scope, BusyError, message)


@pytest.mark.parametrize(
    "reads",
    [
        {"emission": GUN},
        {"optics": Optics(current_pA=100.0, voltage_kV=80.0)},
        {"vacuum": GAS},
        {"vacuum": replace(GAS, age_s=60.0)},
        {"valve_open": True},
        {"busy_until_s": 0.0},
    ],
)
def test_readings_that_do_not(scope: FakeMicroscope, reads: dict[str, Any]) -> None:
    guard = guarded(scope)
    scope.reads |= reads
    guard.acquire(EXPOSURE)


@pytest.mark.parametrize(
    ("vacuum", "message"),
    [(None, "not valid"), (replace(GAS, value=2e-3), "allowed"), (replace(GAS, unit="mbar"), "mbar")],
)
def test_a_vacuum_that_the_limits_demand(scope: FakeMicroscope, vacuum: Reading | None, message: str) -> None:
    guard = guarded(scope, max_vacuum_Pa=1e-4)
    scope.reads["vacuum"] = vacuum
    refused(guard, scope, BusyError, message)
    scope.reads["vacuum"] = GAS
    guard.acquire(EXPOSURE)


@pytest.mark.parametrize(
    ("emission", "message"), [(None, "not valid"), (replace(GUN, value=3.0), "reads 3 µA, asked is 5")]
)
def test_an_emission_that_the_limits_demand(scope: FakeMicroscope, emission: Reading | None, message: str) -> None:
    guard = guarded(scope, min_emission_uA=5.0)
    scope.reads["emission"] = emission
    refused(guard, scope, BusyError, message)
    scope.reads["emission"] = GUN
    guard.acquire(EXPOSURE)


def test_a_valve_that_does_not_tell(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.acquire(EXPOSURE)
    scope.powers[HasValves] = Valves([])
    scope.calls.clear()
    refused(guard, scope, BusyError, "does not say")


def test_a_busy_instrument_is_left_alone_and_says_until_when(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.reads["busy_until_s"] = 50.0
    for act in (
        lambda: guard.move(StagePosition(x_nm=1.0)),
        lambda: guard.tune(Optics(defocus_nm=1.0)),
        lambda: guard.acquire(EXPOSURE),
    ):
        with pytest.raises(BusyError) as caught:
            act()
        assert caught.value.until_s == 50.0
    assert scope.calls == []


def test_a_stage_that_moved_since_its_last_reading_is_not_exposed(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.move(StagePosition(x_nm=0.0))
    for axis, value in (("x_nm", 11.0), ("z_nm", -11.0)):
        scope.stage = replace(scope.stage, **{axis: value})
        with pytest.raises(BusyError, match=f"not still: {axis}"):
            guard.acquire(EXPOSURE)
        guard.acquire(EXPOSURE)


def test_a_tilt_that_changed_between_requests_is_a_pole_touch(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.move(StagePosition(alpha_deg=5.0))
    scope.stage = replace(scope.stage, alpha_deg=None)  # unreadable for once is not off
    with pytest.raises(BusyError, match="alpha_deg reads None"):
        guard.acquire(EXPOSURE)
    scope.stage = replace(scope.stage, alpha_deg=5.11)
    with pytest.raises(HardwareFault, match="pole touch"):
        guard.acquire(EXPOSURE)


@pytest.mark.parametrize("target", [{"x_nm": 5.0}, {"alpha_deg": 5.0}])
def test_a_process_that_died_in_a_move_leaves_what_it_takes_to_see_a_pole_touch(
    scope: FakeMicroscope, target: Mapping[str, float]
) -> None:
    guard = guarded(scope)
    guard.acquire(EXPOSURE)

    def touch_and_die() -> None:
        scope.stage = replace(scope.stage, alpha_deg=3.0)
        raise KeyboardInterrupt

    scope.on_move = touch_and_die
    with pytest.raises(KeyboardInterrupt):
        guard.move(StagePosition(**target))
    assert guard.ledger.latched() is None
    again = guarded(scope, guard.ledger)
    with pytest.raises(HardwareFault, match="pole touch"):
        again.move(StagePosition(x_nm=1.0))
    assert again.ledger.latched() is not None
    assert scope.calls == []
    guard.ledger.clear_latch("Ada")
    again.acquire(EXPOSURE)


def test_the_first_exposure_also_needs_two_readings(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_state = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=300.0 * scope.clock.now_s()))
    with pytest.raises(BusyError, match="not still"):
        guard.acquire(EXPOSURE)
