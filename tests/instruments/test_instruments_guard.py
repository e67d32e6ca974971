from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, guarded, limits

from instruments.clock import SimulatedClock
from instruments.errors import (
    BudgetError,
    BusyError,
    Disconnected,
    HardwareFault,
    InstrumentError,
    LimitError,
    NotSupported,
    ReachError,
    Timeout,
)
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasTilt, HasValves
from instruments.types import Footprint, Optics, Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

GAS = Reading(value=2e-5, unit="Pa", age_s=1.0)
ELECTRONS = EXPOSURE.electrons(100.0)
FLUENCE = EXPOSURE.fluence_e_per_A2(100.0)


@pytest.fixture
def scope() -> FakeMicroscope:
    return FakeMicroscope(SimulatedClock())


def raising(error: Exception) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


def refused(guard: Guard, scope: FakeMicroscope, error: type[Exception], message: str, **changes: Any) -> None:
    """The exposure is refused for this reason, as ``why_not`` said before, and nothing came of it."""
    exposure = replace(EXPOSURE, **changes)
    electrons, denials = guard.ledger.electrons(), guard.denials
    foretold = guard.why_not(exposure)
    assert guard.denials == denials
    with pytest.raises(error, match=message) as caught:
        guard.acquire(exposure)
    assert foretold == str(caught.value) == guard.last_denial
    assert guard.denials == denials + 1
    assert guard.ledger.electrons() == electrons
    assert "acquire" not in scope.calls


# ── blanked by default ──────────────────────────────────────────────────────────────────────────────────────────────


def test_blanks_when_it_takes_over(scope: FakeMicroscope) -> None:
    scope.beam_on = True
    Guard(scope, limits(), MemoryLedger(), scope.clock)
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
    scope.on_acquire = _nothing
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
    refused(guard, scope, BusyError, "cannot be read")


@pytest.mark.parametrize("error", [Timeout("no answer"), RuntimeError("bug")])
def test_a_blank_that_fails_latches(scope: FakeMicroscope, error: Exception) -> None:
    guard = guarded(scope)
    scope.on_blank = raising(error)
    with pytest.raises(HardwareFault, match="could not be blanked") as caught:
        guard.acquire(EXPOSURE)
    assert caught.value.latching
    assert guard.ledger.electrons() == pytest.approx(ELECTRONS)
    scope.on_blank = _nothing
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


# ── moving ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "target",
    [
        StagePosition(x_nm=math.nan),
        StagePosition(x_nm=10_001.0),
        StagePosition(x_nm=-9_501.0),
        StagePosition(x_nm=5.0, alpha_deg=61.0),
        StagePosition(beta_deg=1.0),
    ],
)
def test_a_refused_move_moves_nothing(scope: FakeMicroscope, target: StagePosition) -> None:
    guard = guarded(scope)
    with pytest.raises(LimitError):
        guard.move(target)
    assert scope.calls == []
    assert guard.denials == 1


def test_a_refused_tune_changes_nothing(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    with pytest.raises(LimitError, match="defocus_nm"):
        guard.tune(Optics(defocus_nm=math.inf))
    assert scope.calls == []
    assert guard.denials == 1


def test_achieved_is_what_the_stage_reads(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=12.0))
    outcome = guard.move(StagePosition(x_nm=10.0))
    assert outcome.requested == StagePosition(x_nm=10.0)
    assert outcome.achieved.x_nm == 12.0
    assert outcome.achieved.y_nm == 0.0


@pytest.mark.parametrize("error", [None, ReachError("stuck"), Timeout("stuck"), RuntimeError("stuck")])
def test_a_tilt_that_is_off_is_a_pole_touch_and_outlives_the_process(
    scope: FakeMicroscope, tmp_path: Path, error: Exception | None
) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    guard = guarded(scope, ledger)

    def half_way() -> None:
        scope.stage = replace(scope.stage, alpha_deg=10.0)
        if error is not None:
            raise error

    scope.on_move = half_way
    with pytest.raises(HardwareFault, match="pole touch") as caught:
        guard.move(StagePosition(alpha_deg=20.0))
    assert caught.value.latching
    ledger.close()

    scope.on_move = _nothing
    reopened = SqliteLedger(tmp_path / "ledger.sqlite")
    again = guarded(scope, reopened)
    for act in (
        lambda: again.move(StagePosition(alpha_deg=0.0)),
        lambda: again.tune(Optics(defocus_nm=1.0)),
        lambda: again.acquire(EXPOSURE),
    ):
        with pytest.raises(HardwareFault, match="pole touch") as caught:
            act()
        assert caught.value.latching
    assert scope.calls == []
    reopened.clear_latch("Ada")
    again.move(StagePosition(alpha_deg=0.0))
    reopened.close()


def test_a_tilt_that_nobody_asked_for_is_a_pole_touch(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, alpha_deg=0.2))
    with pytest.raises(HardwareFault, match="pole touch"):
        guard.move(StagePosition(x_nm=5.0))


def test_a_tilt_within_a_tenth_of_a_degree_is_reached(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, alpha_deg=10.09))
    assert guard.move(StagePosition(alpha_deg=10.0)).achieved.alpha_deg == 10.09


@pytest.mark.parametrize(("target", "latches"), [({"alpha_deg": 5.0}, True), ({"x_nm": 5.0}, False)])
def test_a_stage_that_cannot_be_read_after_a_move(
    scope: FakeMicroscope, target: Mapping[str, float], latches: bool
) -> None:
    """After a tilt that is a pole touch until a person says otherwise; after a shift it is what it is."""
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "on_state", raising(Disconnected("gone")))
    with pytest.raises(HardwareFault if latches else Disconnected):
        guard.move(StagePosition(**target))
    assert (guard.ledger.latched() is not None) is latches


def test_a_tilt_read_back_as_unknown_is_a_pole_touch(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, alpha_deg=None))
    with pytest.raises(HardwareFault, match="pole touch"):
        guard.move(StagePosition(alpha_deg=5.0))


@pytest.mark.parametrize("error", [LimitError("no"), BusyError("no"), NotSupported("no")])
def test_a_tilt_that_the_driver_refused_is_none(scope: FakeMicroscope, error: InstrumentError) -> None:
    guard = guarded(scope)

    def untouched() -> None:
        scope.stage = replace(scope.stage, alpha_deg=0.0)
        raise error

    scope.on_move = untouched
    with pytest.raises(type(error)):
        guard.move(StagePosition(alpha_deg=20.0))
    assert guard.ledger.latched() is None


def test_a_shift_that_failed_keeps_its_own_error(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_move = raising(Timeout("no answer"))
    with pytest.raises(Timeout, match="no answer"):
        guard.move(StagePosition(x_nm=500.0))
    assert guard.ledger.latched() is None


@pytest.mark.parametrize("found", [111.0, -91.0, None, math.nan])
def test_a_shift_that_did_not_arrive(scope: FakeMicroscope, found: float | None) -> None:
    guard = guarded(scope)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=found))
    with pytest.raises(ReachError) as caught:
        guard.move(StagePosition(x_nm=10.0))
    assert caught.value.target == StagePosition(x_nm=10.0)
    assert caught.value.readback is not None


def test_ready_is_believed_once_two_readings_agree(scope: FakeMicroscope) -> None:
    """The driver returns at once, the stage arrives three seconds later: so does ``move``."""
    guard = guarded(scope)

    def on_the_way() -> None:
        left_s = 4.0 - scope.clock.now_s()
        scope.stage = replace(scope.stage, x_nm=1000.0 - 250.0 * max(0.0, left_s))

    scope.on_state = on_the_way
    scope.stage = replace(scope.stage, x_nm=0.0)
    assert guard.move(StagePosition(x_nm=1000.0)).achieved.x_nm == 1000.0
    assert scope.clock.now_s() >= 4.0


def test_a_stage_that_never_comes_to_rest(scope: FakeMicroscope) -> None:
    guard = guarded(scope, settle_timeout_s=2.0)
    scope.on_state = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=300.0 * scope.clock.now_s()))
    with pytest.raises(ReachError, match="did not arrive"):
        guard.move(StagePosition(x_nm=1000.0))
    assert scope.clock.now_s() < 4.0


def test_a_latching_fault_of_the_driver_latches(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_state = raising(HardwareFault("emission off", latching=False))
    with pytest.raises(HardwareFault):
        guard.state()
    assert guard.ledger.latched() is None
    scope.on_state = raising(HardwareFault("column vented", latching=True))
    with pytest.raises(HardwareFault):
        guard.state()
    assert guard.ledger.latched() == "column vented"


def test_a_ledger_that_cannot_write_does_not_hide_the_fault(scope: FakeMicroscope) -> None:
    class FullDisk(MemoryLedger):
        def latch(self, reason: str) -> None:
            super().latch(reason)
            raise BudgetError("no room")

    guard = guarded(scope, FullDisk())
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, alpha_deg=10.0))
    with pytest.raises(HardwareFault, match="pole touch"):
        guard.move(StagePosition(alpha_deg=20.0))
    assert guard.ledger.latched() is not None


# ── what the instrument reads before an exposure ────────────────────────────────────────────────────────────────────


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
    "reads", [{"vacuum": GAS}, {"vacuum": replace(GAS, age_s=60.0)}, {"valve_open": True}, {"busy_until_s": 0.0}]
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
    for axis, value in (("x_nm", 11.0), ("z_nm", -11.0), ("alpha_deg", 0.11)):
        scope.stage = replace(scope.stage, **{axis: value})
        with pytest.raises(BusyError, match=f"not still: {axis}"):
            guard.acquire(EXPOSURE)
        guard.acquire(EXPOSURE)


def test_the_first_exposure_also_needs_two_readings(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_state = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=300.0 * scope.clock.now_s()))
    with pytest.raises(BusyError, match="not still"):
        guard.acquire(EXPOSURE)


# ── dose, time, rate ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("current_pA", "reckoned_pA"),
    [(50.0, 50.0), (None, 200.0), (math.nan, 200.0), (math.inf, 200.0), (0.0, 200.0), (-3.0, 200.0)],
)
def test_the_current_reckoned_with(scope: FakeMicroscope, current_pA: float | None, reckoned_pA: float) -> None:
    guard = guarded(scope)
    scope.optics = Optics(current_pA=current_pA)
    scope.frame_changes["electrons"] = 0.0
    guard.acquire(EXPOSURE)
    assert guard.ledger.electrons() == pytest.approx(EXPOSURE.electrons(reckoned_pA))


def test_a_current_over_the_declared_maximum_is_refused(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.optics = Optics(current_pA=201.0)
    refused(guard, scope, LimitError, "201 pA")


def test_what_the_beam_did_beyond_the_booking_is_booked(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.frame_changes["electrons"] = 3 * ELECTRONS
    guard.acquire(replace(EXPOSURE, id=1))
    assert guard.ledger.electrons() == pytest.approx(3 * ELECTRONS)
    assert guard.ledger.fluence_e_per_A2(_at(0.0)) == pytest.approx(3 * FLUENCE)


def test_a_stage_that_slipped_under_the_beam_is_booked_where_it_went(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.on_acquire = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=500.0))
    guard.acquire(EXPOSURE)
    for x_nm in (0.0, 250.0, 540.0):
        assert guard.ledger.fluence_e_per_A2(_at(x_nm)) >= FLUENCE * (1 - 1e-9)


def test_dose_is_booked_before_the_beam(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    seen: list[float] = []
    scope.on_acquire = lambda: seen.append(guard.ledger.electrons())
    guard.acquire(EXPOSURE)
    assert seen == [pytest.approx(ELECTRONS)]


def test_the_booked_place_is_where_the_stage_reads_grown_by_what_is_not_known(scope: FakeMicroscope) -> None:
    guard = guarded(scope, stage_uncertainty_nm=25.0)
    scope.on_move = lambda: setattr(scope, "stage", replace(scope.stage, x_nm=1040.0))
    guard.move(StagePosition(x_nm=1000.0))
    guard.acquire(replace(EXPOSURE, shape=(20, 10)))
    edge = 1040.0 + 50.0 + 25.0
    booked = guard.ledger.fluence_e_per_A2
    assert booked(_at(edge - 0.2)) == pytest.approx(FLUENCE)
    assert booked(_at(edge + 0.2)) == 0.0
    assert booked(replace(_at(1040.0), y_nm=100.0 + 25.0 - 0.2)) == pytest.approx(FLUENCE)
    assert booked(replace(_at(1040.0), y_nm=100.0 + 25.0 + 0.2)) == 0.0


def test_a_rotated_scan_is_booked_rotated(scope: FakeMicroscope) -> None:
    guard = guarded(scope, stage_uncertainty_nm=0.0)
    guard.acquire(replace(EXPOSURE, rotation_deg=45.0))
    assert guard.ledger.fluence_e_per_A2(_at(70.0)) == pytest.approx(FLUENCE)
    assert guard.ledger.fluence_e_per_A2(replace(_at(45.0), y_nm=45.0)) == 0.0


def test_no_place_gets_more_than_its_limit(scope: FakeMicroscope) -> None:
    guard = guarded(scope, max_fluence_e_per_A2=2.5 * FLUENCE)
    guard.acquire(EXPOSURE)
    guard.move(StagePosition(x_nm=60.0))
    guard.acquire(EXPOSURE)
    guard.move(StagePosition(x_nm=30.0))
    scope.calls.clear()
    refused(guard, scope, BudgetError, "over its limit")
    assert guard.why_not(EXPOSURE, StagePosition(x_nm=30.0)) is not None
    assert guard.why_not(EXPOSURE, StagePosition(x_nm=200.0)) is None
    guard.move(StagePosition(x_nm=200.0))
    guard.acquire(EXPOSURE)


def test_electrons_run_out(scope: FakeMicroscope) -> None:
    guard = guarded(scope, max_electrons=2 * ELECTRONS * (1 + 1e-9))
    guard.acquire(EXPOSURE)
    guard.acquire(EXPOSURE)
    scope.calls.clear()
    refused(guard, scope, BudgetError, "electrons were asked")


def test_a_burst_is_one_reservation_of_all_its_frames(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    refused(guard, scope, BudgetError, "over its limit", frames=200)
    guard.acquire(replace(EXPOSURE, frames=10, interval_s=1.0))
    assert guard.ledger.electrons() == pytest.approx(10 * ELECTRONS)


def test_time_runs_out(scope: FakeMicroscope) -> None:
    guard = guarded(scope, max_time_s=100.0)
    refused(guard, scope, BudgetError, "s were asked|s used|of 100 s", frames=20, interval_s=6.0)
    scope.clock.wait(99.9)
    guard.acquire(EXPOSURE)
    scope.clock.wait(0.2)
    scope.calls.clear()
    refused(guard, scope, BudgetError, "of 100 s")
    for act in (lambda: guard.move(StagePosition(x_nm=1.0)), lambda: guard.tune(Optics(defocus_nm=1.0))):
        with pytest.raises(BudgetError, match="of 100 s"):
            act()
    assert scope.calls == []


def test_time_counts_deciding_moving_and_exposing_and_outlives_the_guard(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.clock.wait(5.0)
    guard.move(StagePosition(x_nm=1.0))
    scope.clock.wait(2.0)
    with pytest.raises(LimitError):
        guard.move(StagePosition(x_nm=math.nan))
    assert guard.ledger.time_used_s() == pytest.approx(scope.clock.now_s())
    used_s = guard.ledger.time_used_s()
    scope.clock.wait(1000.0)  # nobody holds the instrument
    again = guarded(scope, guard.ledger)
    again.tune(Optics(defocus_nm=1.0))
    assert again.ledger.time_used_s() == pytest.approx(used_s)


def test_not_more_exposures_a_minute_than_allowed(scope: FakeMicroscope) -> None:
    guard = guarded(scope, max_exposures_per_min=3)
    for _ in range(3):
        guard.acquire(EXPOSURE)
        scope.clock.wait(10.0)
    scope.calls.clear()
    refused(guard, scope, BusyError, "3 exposures a minute")
    with pytest.raises(BusyError) as caught:
        guard.acquire(EXPOSURE)
    assert caught.value.until_s is not None
    scope.clock.wait(caught.value.until_s - scope.clock.now_s())
    guard.acquire(EXPOSURE)
    with pytest.raises(BusyError):
        guard.acquire(EXPOSURE)


def test_an_exposure_is_made_once(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    guard.acquire(replace(EXPOSURE, id=4))
    scope.calls.clear()
    refused(guard, scope, LimitError, "never made twice", id=4)
    guard.acquire(replace(EXPOSURE, id=5))


def test_a_ledger_that_cannot_book_keeps_the_beam_off(scope: FakeMicroscope, tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    guard = guarded(scope, ledger)
    ledger._db.execute("PRAGMA query_only = ON")
    with pytest.raises(BudgetError, match="could not be written"):
        guard.acquire(EXPOSURE)
    assert "acquire" not in scope.calls
    ledger._db.execute("PRAGMA query_only = OFF")
    ledger.close()


def test_requests_that_are_none(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    refused(guard, scope, LimitError, "dwell_us", dwell_us=math.nan)
    refused(guard, scope, LimitError, "rows", shape=(0, 10))


# ── asking without doing ────────────────────────────────────────────────────────────────────────────────────────────


def test_why_not_changes_nothing(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    before = vars(guard) | {"_starts": list(guard._starts)}
    assert guard.why_not(EXPOSURE) is None
    assert guard.why_not(EXPOSURE, StagePosition(x_nm=100.0)) is None
    assert "x_nm" in str(guard.why_not(EXPOSURE, StagePosition(x_nm=1e9)))
    assert "on the way" in str(guard.why_not(EXPOSURE, StagePosition(x_nm=-9_999.0)))
    assert vars(guard) | {"_starts": list(guard._starts)} == before
    assert scope.calls == []
    assert scope.clock.now_s() == 0.0
    assert guard.ledger.electrons() == 0.0


def test_why_not_of_a_reading_in_hand_asks_the_instrument_nothing(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    state = guard.state()
    scope.on_state = raising(Disconnected("gone"))
    assert guard.why_not(EXPOSURE, state=state) is None
    assert guard.why_not(EXPOSURE) == "gone"


# ── powers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Valves:
    """Everything a driver may be at once: what is handed out must not reach the rest of it."""

    def __init__(self, done: list[str]) -> None:
        self.done = done

    def close_valves(self) -> None:
        self.done.append("valves")

    def stop(self) -> None:
        self.done.append("stop")

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return {"alpha_deg": (-80.0, 40.0), "beta_deg": (-20.0, 20.0)}

    def set_condition(self, name: str, value: float) -> None:
        raise AssertionError

    def acquire_patterns(self, exposure: object) -> None:
        raise AssertionError


def test_powers_are_handed_out_guarded_or_not_at_all(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    every = (HasValves, CanStop, HasTilt, HasSpectra, HasDiffraction, HasHolder, HasLoader)
    assert [guard.power(kind) for kind in every] == [None] * len(every)
    raw = Valves(scope.calls)
    scope.powers = dict.fromkeys(every, raw)
    for kind in (HasSpectra, HasDiffraction, HasHolder, HasLoader, object, Valves):
        assert guard.power(kind) is None
    for kind in (HasValves, CanStop, HasTilt):
        power = guard.power(kind)
        assert isinstance(power, kind)
        assert power is not raw
        assert not hasattr(power, "set_condition")


def test_valves_close_also_where_blanking_fails(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.powers[HasValves] = Valves(scope.calls)
    valves = guard.power(HasValves)
    assert valves is not None
    valves.close_valves()
    assert scope.calls == ["blank", "valves"]
    scope.on_blank = raising(Timeout("no answer"))
    with pytest.raises(HardwareFault):
        valves.close_valves()
    assert scope.calls == ["blank", "valves", "blank", "valves"]


def test_stopping_needs_no_permission(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.powers[CanStop] = Valves(scope.calls)
    motion = guard.power(CanStop)
    guard.ledger.latch("touched")
    assert motion is not None
    motion.stop()
    assert scope.calls == ["stop"]


def test_tilt_range_is_what_both_allow(scope: FakeMicroscope) -> None:
    scope.powers[HasTilt] = Valves([])
    for changes, expected in (
        ({}, {"alpha_deg": (-60.0, 40.0)}),
        ({"beta_deg": (-30.0, 10.0)}, {"alpha_deg": (-60.0, 40.0), "beta_deg": (-20.0, 10.0)}),
        ({"alpha_deg": (50.0, 60.0)}, {}),
        ({"alpha_deg": None}, {}),
    ):
        tilt = guarded(scope, **changes).power(HasTilt)
        assert tilt is not None
        assert tilt.tilt_range_deg() == expected


def _at(x_nm: float) -> Footprint:
    return Footprint(x_nm=x_nm, y_nm=0.0, width_nm=0.1, height_nm=0.1)


def _nothing() -> None:
    pass
