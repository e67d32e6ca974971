"""What columns tell of gun and vacuum, what a beam lights, and that a blank is never late: vendor by vendor."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes_autoscript import autoscript
from fakes_column import LIMITS, Column
from fakes_digitalmicrograph import gms
from fakes_jeol import BLOCK as JEOL
from fakes_jeol import pyjem
from fakes_serialem import serialem

from benchmarks.benches import served
from instruments.clock import RealClock
from instruments.drivers import registry
from instruments.drivers.served import FIELD_OF_VIEW_NM_AT_1X
from instruments.errors import BusyError, Disconnected, InstrumentError, LimitError
from instruments.guard import Guard
from instruments.hosted import Hosted
from instruments.ledger import MemoryLedger
from instruments.limits import Rig
from instruments.powers import HasBlanker
from instruments.types import Exposure, Footprint, Reading

if TYPE_CHECKING:
    from pathlib import Path

LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)
WAIVED = {"vacuum": "Ada looks at the gauges", "emission": "Ada looks at the gun", "blanker": "Ada looks at the screen"}


def guarded(scope: Any, clock: Any, **waived: str) -> Guard:
    """As on an instrument."""
    limits = LIMITS.model_copy(update={"waived": waived})
    return Guard(scope, limits, MemoryLedger(), clock, Rig(hardware=True, overhead_s=lambda: 0.5))


def test_a_voltage_that_is_set_and_not_on_is_none() -> None:
    """AutoScript tells the one and the other."""
    made = Column()
    with autoscript(made):
        scope = registry.open_microscope(registry.parse({"kind": "autoscript"}), seed=0, clock=made.clock)
        assert scope.state().optics.voltage_kV == 200.0
        guard = guarded(scope, made.clock, emission=WAIVED["emission"])
        guard.acquire(LOOK)
        made.quirks.tension = False
        assert scope.state().optics.voltage_kV == 0.0
        with pytest.raises(BusyError, match="high tension reads 0 kV"):
            guard.acquire(LOOK)


@pytest.mark.parametrize("gun", [True, False])
def test_serialem_is_asked_for_the_gun_where_its_column_tells(gun: bool) -> None:
    made = Column()
    with serialem(made):
        settings = registry.parse({"kind": "serialem", "gun": gun, "current_pA": 50.0})
        scope = registry.open_microscope(settings, seed=0, clock=made.clock)
        assert scope.state().emission == (Reading(value=1.0, unit="on", age_s=0.0) if gun else None)
        assert ("the emission is read" in registry.lacks(settings)) is not gun
        guard = guarded(scope, made.clock, **WAIVED)
        guard.acquire(LOOK)
        made.quirks.emits = False
        if gun:
            with pytest.raises(BusyError, match="emission reads 0"):
                guard.acquire(LOOK)


def test_a_beam_wider_than_serialems_camera_is_booked_beside_it() -> None:
    made = Column()
    with serialem(made):
        settings = registry.parse({"kind": "serialem", "current_pA": 50.0, "lit_nm": 900.0})
        _booked_beside(registry.open_microscope(settings, seed=0, clock=made.clock), made.clock)


def test_a_beam_wider_than_gatans_camera_is_booked_beside_it(tmp_path: Path) -> None:
    with gms(tmp_path) as (_, block):
        clock = RealClock()
        scope = registry.open_microscope(registry.parse({**block, "lit_nm": 900.0}), seed=0, clock=clock)
        try:
            _booked_beside(scope, clock)
        finally:
            scope.close()


def _booked_beside(scope: Any, clock: Any) -> None:
    assert scope.state().lit_nm == 900.0
    guard = guarded(scope, clock, **WAIVED)
    guard.acquire(LOOK)
    beside = Footprint(x_nm=400.0, y_nm=0.0, width_nm=1.0, height_nm=1.0)
    assert guard.ledger.fluence_e_per_A2(beside) > 0
    assert guard.ledger.fluence_e_per_A2(Footprint(x_nm=600.0, y_nm=0.0, width_nm=1.0, height_nm=1.0)) == 0


def test_whether_a_beam_is_blanked_is_told_while_an_exposure_is_under_way(tmp_path: Path) -> None:
    """Of an instrument behind another driver server: the watchdog's look does not wait there for the frame."""
    with gms(tmp_path) as (dm, block):
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
        begun, over = threading.Event(), threading.Event()
        scan = dm.column.scan

        def slow(*wish: Any) -> Any:
            begun.set()
            over.wait(30.0)
            return scan(*wish)

        dm.column.scan = slow  # type: ignore[method-assign]
        exposing = threading.Thread(target=lambda: scope.acquire(LOOK))
        exposing.start()
        assert begun.wait(30.0)
        driver = Hosted(scope)
        try:
            assert driver.blanked() is False
        finally:
            over.set()
            exposing.join()
        assert driver.blanked() is True
        scope.close()
        with pytest.raises(Disconnected, match="closed"):
            driver.blanked()


@pytest.mark.parametrize(("fake", "kind"), [(autoscript, "autoscript"), (serialem, "serialem")])
def test_frames_that_a_blank_would_wait_for_are_refused(fake: Any, kind: str) -> None:
    """Their servers do one thing at a time; how long a blank may wait is the laboratory's to say."""
    made = Column()
    long = replace(LOOK, dwell_us=40.0)  # 0.66 s
    with fake(made):
        block = {"kind": kind, "current_pA": 50.0}
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=made.clock)
        with pytest.raises(
            LimitError, match=r"a frame of 0.655\d* s .* ask for 0.4 s, or .*instrument.longest_frame_s"
        ):
            scope.acquire(long)
        assert made.lit_s == 0.0
        scope.acquire(replace(LOOK, frames=3, dwell_us=20.0))  # each frame is a call of its own
        scope.close()
    with fake(made):
        patient = registry.parse({**block, "longest_frame_s": 1.0})
        registry.open_microscope(patient, seed=0, clock=made.clock).acquire(long)


def test_temscripts_second_server_blanks_in_the_midst_of_a_frame() -> None:
    """The first one does one thing at a time; without the second, frames that a blank would wait for are refused."""
    look = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=1000.0)  # 4 s
    with served("instruments.drivers.served", "--settings", '{"real_time": true}') as ports:
        block = {"kind": "thermofisher", **ports, "field_of_view_nm_at_1x": FIELD_OF_VIEW_NM_AT_1X}
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
        found: list[Exception] = []

        def expose() -> None:
            try:
                scope.acquire(look)
            except InstrumentError as error:
                found.append(error)

        blanker = scope.power(HasBlanker)
        assert blanker is not None
        exposing = threading.Thread(target=expose)
        exposing.start()
        while blanker.blanked():
            time.sleep(0.01)
        begun_s = time.monotonic()
        scope.blank()
        assert blanker.blanked() is True
        exposing.join()
        assert time.monotonic() - begun_s < 3.0  # well before the frame's end
        assert found
        single = registry.parse({**block, "blanker_port": None})
        with pytest.raises(LimitError, match=r"second temscript server.*blanker_port.*0.4 s"):
            registry.open_microscope(single, seed=0, clock=RealClock()).acquire(look)
        scope.close()


def test_a_jeols_blanker_is_looked_at_without_its_slow_stage() -> None:
    made = Column()
    with pyjem(made):
        scope = registry.open_microscope(registry.parse(JEOL), seed=0, clock=made.clock)
        blanker, start_s = scope.power(HasBlanker), made.clock.now_s()
        assert blanker is not None
        for shut in (True, False):
            made.blank(shut)
            assert blanker.blanked() is shut
        assert made.clock.now_s() == start_s
