"""Nothing moves out of its limits, nobody believes a motion that was not read back, a pole touch latches."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, Valves, guarded, nothing, raising

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
from instruments.ledger import MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.powers import CanStop
from instruments.types import Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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


def test_a_stage_that_somebody_else_moved_is_left_to_them(scope: FakeMicroscope) -> None:
    """Refused once, and asked again where it still stands there: a creep within the tolerance is nobody."""
    guard = guarded(scope)
    guard.move(StagePosition(x_nm=100.0))
    scope.stage = replace(scope.stage, x_nm=150.0)
    guard.move(StagePosition(y_nm=10.0))
    scope.calls.clear()
    scope.stage = replace(scope.stage, x_nm=700.0)
    with pytest.raises(BusyError, match="x_nm reads 700"):
        guard.move(StagePosition(x_nm=100.0))
    assert scope.calls == []
    guard.move(StagePosition(x_nm=100.0))
    assert scope.calls == ["blank", "move"]


def test_a_tilt_that_was_stopped_is_no_pole_touch_where_it_lies_on_the_way(scope: FakeMicroscope) -> None:
    """Beyond its end, or unreadable, it still is one."""
    scope.powers[CanStop] = Valves([])
    for stood_deg, touched in ((4.0, False), (-0.05, False), (10.2, True), (None, True)):
        guard = guarded(scope)
        stop = guard.power(CanStop)
        assert stop is not None
        scope.stage = replace(scope.stage, alpha_deg=0.0)

        def stopped(stood_deg: float | None = stood_deg, stop: CanStop = stop) -> None:
            stop.stop()
            scope.stage = replace(scope.stage, alpha_deg=stood_deg)

        scope.on_move = stopped
        with pytest.raises(HardwareFault if touched else ReachError):
            guard.move(StagePosition(alpha_deg=10.0))
        assert (guard.ledger.latched() is not None) is touched
        scope.on_move = nothing
        if not touched:
            guard.move(StagePosition(alpha_deg=10.0))


@pytest.mark.parametrize("moment", ["on_state", "on_blank"])
def test_a_stop_before_the_motion_has_begun_is_not_lost(scope: FakeMicroscope, moment: str) -> None:
    scope.powers[CanStop] = Valves([])
    guard = guarded(scope)
    stop = guard.power(CanStop)
    assert stop is not None
    setattr(scope, moment, stop.stop)
    with pytest.raises(ReachError, match="did not arrive"):
        guard.move(StagePosition(x_nm=100.0, alpha_deg=10.0))
    assert scope.calls == ["blank"]
    assert guard.ledger.latched() is None
    setattr(scope, moment, nothing)
    guard.move(StagePosition(x_nm=100.0, alpha_deg=10.0))


def test_the_instrument_is_not_asked_twice_for_the_same(scope: FakeMicroscope) -> None:
    """Where it stands, and that the blank is there: some vendors' calls take a third of a second."""
    guard = guarded(scope)
    reads: list[str] = []
    scope.on_state = lambda: reads.append("state")
    scope.on_move = lambda: reads.append("move")
    guard.move(StagePosition(x_nm=100.0))
    assert reads[:3] == ["state", "state", "move"]
    reads.clear()
    guard.tune(Optics(defocus_nm=1.0))
    assert reads == ["state", "state"]


def test_nothing_changes_under_a_beam_that_does_not_read(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.reads["blanked"] = None
    with pytest.raises(BusyError, match="blanker: the instrument tells nothing"):
        guard.move(StagePosition(x_nm=100.0))
    with pytest.raises(BusyError, match="blanker: REASON"):
        guard.tune(Optics(defocus_nm=1.0))
    assert set(scope.calls) == {"blank"}
    assert guard.denials == 2
    del scope.reads["blanked"]
    guard.move(StagePosition(x_nm=100.0))


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

    scope.on_move = nothing
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
    guard.acquire(EXPOSURE)


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
