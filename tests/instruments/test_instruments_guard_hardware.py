"""In front of an instrument: what it cannot tell is waived by name, and a beam that stays on is booked before."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, limits, raising, refused
from pydantic import ValidationError

from instruments.errors import BudgetError, BusyError, Disconnected, HardwareFault, LimitError
from instruments.guard import Guard
from instruments.ledger import Ledger, MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import INTERLOCKS, Rig
from instruments.powers import HasLoader
from instruments.types import Footprint, Optics, Reading, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALL = {
    "valve_open": True,
    "vacuum": Reading(value=2e-5, unit="Pa", age_s=1.0),
    "emission": Reading(value=100.0, unit="µA", age_s=1.0),
    "optics": Optics(current_pA=100.0, voltage_kV=200.0),
}
SILENT = {"blanker": {"blanked": None}, "valve": {"valve_open": None}, "vacuum": {"vacuum": None},
          "emission": {"emission": None}, "high_tension": {"optics": Optics(current_pA=100.0)}}  # fmt: skip
ELECTRONS = EXPOSURE.electrons(100.0)
WHY = "the operator looks at it every hour"


def hardware(scope: FakeMicroscope, overhead_s: float = 0.0, ledger: Ledger | None = None, **changes: Any) -> Guard:
    """A guard over an instrument that tells everything, its calls so far forgotten."""
    scope.reads = dict(ALL)
    rig = Rig(hardware=True, overhead_s=lambda: overhead_s)
    guard = Guard(scope, limits(**changes), ledger or MemoryLedger(), scope.clock, rig)
    scope.calls.clear()
    return guard


def test_what_reads_well_is_exposed(scope: FakeMicroscope) -> None:
    hardware(scope).acquire(EXPOSURE)
    assert set(SILENT) == set(INTERLOCKS)


@pytest.mark.parametrize("name", INTERLOCKS)
def test_what_the_instrument_cannot_tell_must_be_waived_by_name(scope: FakeMicroscope, name: str) -> None:
    guard = hardware(scope)
    scope.reads |= SILENT[name]
    refused(guard, scope, BusyError, f"{name}: the instrument tells nothing of it.*limits.waived.{name}: REASON")
    others = {other: WHY for other in INTERLOCKS if other != name}
    guard = hardware(scope, waived=others)
    scope.reads |= SILENT[name]
    refused(guard, scope, BusyError, name)
    guard = hardware(scope, waived={name: WHY})
    scope.reads |= SILENT[name]
    guard.acquire(EXPOSURE)


@pytest.mark.parametrize("name", INTERLOCKS)
@pytest.mark.parametrize("durable", [True, False])
def test_a_waiver_is_for_what_never_reads(scope: FakeMicroscope, tmp_path: Path, name: str, durable: bool) -> None:
    """Also for the guard that comes after the one that has read it, until a person has looked at the instrument."""
    ledger: Ledger = SqliteLedger(tmp_path / "ledger.sqlite") if durable else MemoryLedger()
    guard = hardware(scope, ledger=ledger, waived={name: WHY})
    guard.acquire(EXPOSURE)
    scope.calls.clear()
    scope.reads |= SILENT[name]
    refused(guard, scope, BusyError, name)
    if isinstance(ledger, SqliteLedger):
        ledger.close()
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    guard = hardware(scope, ledger=ledger, waived={name: WHY})
    scope.reads |= SILENT[name]
    refused(guard, scope, BusyError, name)
    ledger.clear_latch("Ada")
    guard = hardware(scope, ledger=ledger, waived={name: WHY})
    scope.reads |= SILENT[name]
    guard.acquire(EXPOSURE)
    scope.reads = dict(ALL)
    guard.acquire(EXPOSURE)
    if isinstance(ledger, SqliteLedger):
        ledger.close()


def test_what_is_waived_and_reads_badly_is_refused(scope: FakeMicroscope) -> None:
    guard = hardware(scope, waived={"vacuum": WHY, "emission": WHY})
    scope.reads["vacuum"] = replace(ALL["vacuum"], valid=False)  # type: ignore[type-var]
    refused(guard, scope, BusyError, "vacuum reading is not valid")


@pytest.mark.parametrize(("value", "message"), [(1.0, None), (0.0, "emission reads 0")])
def test_a_gun_may_say_yes_or_no(scope: FakeMicroscope, value: float, message: str | None) -> None:
    guard = hardware(scope)
    scope.reads["emission"] = Reading(value=value, unit="on", age_s=0.0)
    if message is None:
        guard.acquire(EXPOSURE)
    else:
        refused(guard, scope, BusyError, message)
    guard = hardware(scope, min_emission_uA=5.0)
    scope.reads["emission"] = Reading(value=1.0, unit="on", age_s=0.0)
    refused(guard, scope, BusyError, "judged in µA")


class _Loader:
    def __init__(self, done: list[str]) -> None:
        self._done = done

    def load(self, name: str) -> None:
        self._done.append(f"load {name}")

    def loaded(self) -> str | None:
        return "grid 1" if self._done else None

    def unload(self) -> None:
        raise AssertionError("nothing lies there")

    def specimens(self) -> tuple[str, ...]:
        return ("grid 1",)


@pytest.mark.parametrize("name", INTERLOCKS)
def test_a_specimen_moves_where_valve_and_vacuum_are_known(scope: FakeMicroscope, name: str) -> None:
    """The gun says nothing of its way."""
    done: list[str] = []
    scope.powers[HasLoader] = _Loader(done)
    guard = hardware(scope)
    scope.reads |= {"valve_open": False} | SILENT[name]
    loader = guard.power(HasLoader)
    assert loader is not None
    if name in ("blanker", "valve", "vacuum"):
        with pytest.raises(BusyError, match=name):
            loader.load("grid 1")
    else:
        loader.load("grid 1")
    assert done == ([] if name in ("blanker", "valve", "vacuum") else ["load grid 1"])


def test_a_blanker_that_never_reads_is_told_before_everything(scope: FakeMicroscope) -> None:
    """Where the laboratory has waived it: nothing moves and nothing is exposed before it has taken another blank."""
    done: list[str] = []
    scope.powers[HasLoader] = _Loader(done)
    guard = hardware(scope, waived={"blanker": WHY})
    scope.reads |= SILENT["blanker"]
    guard.move(StagePosition(x_nm=100.0))
    guard.tune(Optics(defocus_nm=10.0))
    guard.acquire(EXPOSURE)
    others = [call for call in scope.calls if call != "blank"]
    assert others == ["move", "tune", "acquire"]
    assert all(before == "blank" for before, call in pairwise(["blank", *scope.calls]) if call != "blank")
    scope.reads |= {"valve_open": False}
    loader = guard.power(HasLoader)
    assert loader is not None
    loader.load("grid 1")
    assert done == ["load grid 1"]
    scope.on_blank = raising(OSError("the amplifier is off"))
    with pytest.raises(HardwareFault, match="could not be blanked"):
        guard.move(StagePosition(x_nm=0.0))


def test_who_blanks_may_be_started_anew_with_another_time(scope: FakeMicroscope) -> None:
    """A driver server that comes back with a larger overhead: what may stay on is booked as it is now."""
    overhead_s = [1e-3]
    scope.reads = dict(ALL)
    guard = Guard(scope, limits(), MemoryLedger(), scope.clock, Rig(hardware=True, overhead_s=lambda: overhead_s[0]))
    booked: list[float] = []
    scope.on_acquire = lambda: booked.append(guard.ledger.electrons())
    guard.acquire(EXPOSURE)
    overhead_s[0] = 9e-3
    guard.acquire(EXPOSURE)
    assert booked == [pytest.approx(2 * ELECTRONS), pytest.approx(11 * ELECTRONS)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"waived": {"emission": " "}}, "emission: give the reason"),
        ({"waived": {"screen": WHY}}, "valve"),
        ({"waived": {"vacuum": WHY}, "max_vacuum_Pa": 1e-4}, "max_vacuum_Pa judges the vacuum"),
        ({"waived": {"emission": WHY}, "min_emission_uA": 5.0}, "min_emission_uA judges the emission"),
    ],
)
def test_a_waiver_has_a_name_and_a_reason_and_no_limit_beside_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        limits(**changes)


def test_a_beam_that_may_stay_on_is_booked_before_it_is_on(scope: FakeMicroscope) -> None:
    """1 ms of exposure, and 2 ms until somebody else would blank; what was not spent is free again."""
    guard = hardware(scope, overhead_s=2e-3)
    seen: list[float] = []
    scope.on_acquire = lambda: seen.append(guard.ledger.electrons())
    guard.acquire(EXPOSURE)
    assert seen == [pytest.approx(3 * ELECTRONS)]
    assert guard.ledger.electrons() == pytest.approx(ELECTRONS)
    speck = Footprint(x_nm=0.0, y_nm=0.0, width_nm=0.1, height_nm=0.1)
    assert guard.ledger.fluence_e_per_A2(speck) == pytest.approx(EXPOSURE.fluence_e_per_A2(100.0))


def test_a_burst_is_booked_with_its_waits_as_the_beam_may_hang_on_through_them(scope: FakeMicroscope) -> None:
    """Whoever blanks an exposure that hangs waits for 3 ms of beam, 4 ms of waits and 2 ms more."""
    guard = hardware(scope, overhead_s=2e-3)
    burst = replace(EXPOSURE, frames=3, interval_s=2e-3)
    seen: list[float] = []
    scope.on_acquire = lambda: seen.append(guard.ledger.electrons())
    guard.acquire(burst)
    assert seen == [pytest.approx(9 * ELECTRONS)]
    assert guard.ledger.electrons() == pytest.approx(3 * ELECTRONS)


def test_a_burst_does_not_wait_for_longer_than_a_reading_counts(scope: FakeMicroscope) -> None:
    guard = hardware(scope)
    refused(guard, scope, LimitError, "waits of 60.2 s.*counts for 60 s", frames=3, interval_s=30.1)
    guard.acquire(replace(EXPOSURE, frames=3, interval_s=30.0))


@pytest.mark.parametrize(("told", "booked"), [(2.0, 2.0), (3.0, 3.0), (4.5, 4.5), (0.5, 1.0)])
def test_what_the_driver_measured_stays_booked(scope: FakeMicroscope, told: float, booked: float) -> None:
    guard = hardware(scope, overhead_s=2e-3)
    scope.frame_changes["electrons"] = told * ELECTRONS
    guard.acquire(EXPOSURE)
    assert guard.ledger.electrons() == pytest.approx(booked * ELECTRONS)


@pytest.mark.parametrize(("took_s", "booked"), [(1e-3, 1.0), (2e-3, 2.0), (1.0, 3.0), (math.nan, 1.0)])
def test_where_the_driver_cannot_tell_it_is_the_time_that_the_exposure_took(
    scope: FakeMicroscope, took_s: float, booked: float
) -> None:
    guard = hardware(scope, overhead_s=2e-3)
    scope.frame_changes |= {"electrons": 0.0, "start_s": 0.0, "end_s": took_s}
    guard.acquire(EXPOSURE)
    assert guard.ledger.electrons() == pytest.approx(booked * ELECTRONS)


def test_an_exposure_of_which_nothing_is_known_stays_booked_at_its_most(scope: FakeMicroscope) -> None:
    guard = hardware(scope, overhead_s=2e-3)
    scope.on_acquire = raising(Disconnected("gone"))
    with pytest.raises(Disconnected):
        guard.acquire(EXPOSURE)
    assert guard.ledger.electrons() == pytest.approx(3 * ELECTRONS)


@pytest.mark.parametrize(
    ("room", "message"),
    [
        (lambda: {"max_electrons": 2.9 * ELECTRONS}, "electrons were asked, 0.002 s of beam beyond the exposure"),
        (
            lambda: {"max_fluence_e_per_A2": 1.5},
            "over its limit.*0.002 s of beam beyond .exposure_overhead_s.|over its",
        ),
    ],
)
def test_there_must_be_room_for_all_of_it(
    scope: FakeMicroscope, room: Callable[[], dict[str, float]], message: str
) -> None:
    guard = hardware(scope, overhead_s=2e-3, **room())
    refused(guard, scope, BudgetError, message)
    hardware(scope, **room()).acquire(EXPOSURE)
