"""Dose is booked before the beam, time and rate are kept, asking costs nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, guarded, raising, refused

from instruments.dose import margin_nm
from instruments.errors import (
    BudgetError,
    BusyError,
    Disconnected,
    LimitError,
)
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import Footprint, Optics, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

ELECTRONS = EXPOSURE.electrons(100.0)
FLUENCE = EXPOSURE.fluence_e_per_A2(100.0)


@pytest.mark.parametrize("lit_nm", [0.0, -1.0, math.nan, math.inf])
def test_a_beam_of_unknown_width_is_not_switched_on(scope: FakeMicroscope, lit_nm: float) -> None:
    guard = guarded(scope)
    scope.reads["lit_nm"] = lit_nm
    refused(guard, scope, BusyError, "what it would hit is not known")


def test_the_dose_is_booked_on_what_is_lit(scope: FakeMicroscope) -> None:
    """Of the same electrons, a disc twice as wide as the frame gets less on more, one half as wide more on the same."""
    booked = {}
    for lit_nm in (None, 200.0, 50.0):
        guard = guarded(scope)
        scope.reads["lit_nm"] = lit_nm
        guard.acquire(EXPOSURE)
        specks = (Footprint(x_nm=x_nm, y_nm=0.0, width_nm=0.1, height_nm=0.1) for x_nm in (0.0, 85.0))
        booked[lit_nm] = [guard.ledger.fluence_e_per_A2(speck) for speck in specks]
    frame, beside = booked[None]
    assert beside == 0.0
    assert booked[200.0] == pytest.approx([frame / math.pi, frame / math.pi])
    assert booked[50.0] == pytest.approx([frame * 16 / math.pi, 0.0])


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


def test_a_frame_that_does_not_know_its_place_is_booked_on_top(scope: FakeMicroscope) -> None:
    guard = guarded(scope)
    scope.frame_changes["stage"] = StagePosition()
    guard.acquire(EXPOSURE)
    assert guard.ledger.fluence_e_per_A2(_at(0.0)) == pytest.approx(2 * FLUENCE)


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
    guard = guarded(scope, max_time_s=100.0, max_reading_age_s=200.0)
    refused(guard, scope, BudgetError, "s were asked|s used|of 100 s", frames=20, interval_s=6.0)
    scope.clock.wait(99.7)  # two read-backs of the stage take 0.2 s of what is left
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


def _at(x_nm: float) -> Footprint:
    return Footprint(x_nm=x_nm, y_nm=0.0, width_nm=0.1, height_nm=0.1)


def test_a_tilted_place_off_the_axis_is_booked_as_wide_as_it_may_have_swung() -> None:
    limits = SimpleNamespace(stage_uncertainty_nm=20.0, off_axis_nm=2000.0)
    flat = StagePosition(x_nm=0.0, y_nm=0.0, alpha_deg=0.0)
    tilted = StagePosition(x_nm=0.0, y_nm=0.0, alpha_deg=-30.0, beta_deg=10.0)
    assert margin_nm(flat, limits) == 20.0
    assert margin_nm(StagePosition(x_nm=0.0, y_nm=0.0), limits) == 20.0
    assert margin_nm(tilted, limits) == pytest.approx(20.0 + 2000.0 * (0.577350 + 0.176327), abs=1e-3)


@pytest.mark.parametrize("told", [0.0, math.nan])
def test_a_driver_that_cannot_tell_the_electrons_is_told_what_was_booked(scope: FakeMicroscope, told: float) -> None:
    """Also of a stage that slipped: what it was dragged over has had as much."""
    guard = guarded(scope)
    booked = EXPOSURE.electrons(100.0)
    scope.frame_changes = {"electrons": told}
    assert guard.acquire(EXPOSURE).electrons == booked == guard.ledger.electrons()
    scope.frame_changes["stage"] = replace(scope.stage, x_nm=40.0)
    assert guard.acquire(EXPOSURE).electrons == booked
    assert guard.ledger.electrons() == pytest.approx(3 * booked)
