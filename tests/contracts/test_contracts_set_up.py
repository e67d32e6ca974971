"""Who blanks while an exposure is set up, between its frames, or as its beam is put on, is heeded: driver by driver."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakes_autoscript import autoscript
from fakes_column import Column, Quirks
from fakes_digitalmicrograph import Py_Camera, Py_Microscope, gms
from fakes_jeol import BLOCK as JEOL
from fakes_jeol import pyjem
from fakes_serialem import serialem

from benchmarks.benches import BENCHES
from instruments import codec
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.drivers.exposing import BeamTime
from instruments.errors import InstrumentError
from instruments.powers import HasBlanker
from instruments.types import Exposure

if TYPE_CHECKING:
    from pathlib import Path

LOOK = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)


def test_no_burst_goes_on_after_a_blank() -> None:
    """Also where each frame is a call that nothing can cut short: the next one is not begun."""
    made = Column(Quirks())
    with serialem(made) as (_, sem):
        settings = registry.parse({"kind": "serialem", "current_pA": 50.0})
        scope = registry.open_microscope(settings, seed=0, clock=made.clock)
        record, shots = sem.Record, []

        def recorded() -> None:
            shots.append(made.blanked)
            record()
            scope.blank()  # as the driver server's other thread does

        import serialem as module  # type: ignore[import-not-found]

        module.Record = recorded
        burst = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0, frames=5)
        with pytest.raises(InstrumentError, match="blanked meanwhile"):
            scope.acquire(burst)
        assert shots == [False]
        assert made.blanked


def test_a_beam_is_not_put_on_after_a_blank() -> None:
    done: list[str] = []
    calls = [0]
    beam = BeamTime(SimulatedClock(), lambda: done.append("on"), lambda: done.append("off"), lambda: calls[0] > 0)
    beam.on()
    beam.off()
    calls[0] += 1
    with pytest.raises(InstrumentError, match="blanked meanwhile"):
        beam.on()
    assert done == ["on", "off"]


def test_a_beam_that_is_put_on_while_somebody_blanks_is_shut_again() -> None:
    """The blank came before the vendor's call to unblank, and was undone by it."""
    clock, shone, asked = SimulatedClock(), [False], [False]

    def unblank() -> None:
        asked[0] = True
        shone[0] = True
        clock.wait(0.25)

    beam = BeamTime(clock, unblank, lambda: shone.__setitem__(0, False), lambda: asked[0])
    with pytest.raises(InstrumentError, match="blanked meanwhile"):
        beam.on()
    assert shone == [False]
    assert beam.lit_s == 0.25


@pytest.mark.parametrize(
    ("fake", "block"),
    [
        (autoscript, {"kind": "autoscript", "current_pA": 50.0}),
        (pyjem, JEOL),
        (serialem, {"kind": "serialem", "current_pA": 50.0}),
    ],
    ids=["autoscript", "jeol", "serialem"],
)
def test_a_blank_while_the_scan_is_set_up_is_heeded(
    fake: Any, block: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Column()
    with fake(made):
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=made.clock)
        _blanked_in_set_up(scope, block["kind"], monkeypatch)
        assert made.lit_s == 0.0
        assert made.blanked


@pytest.mark.parametrize("kind", ["micromanager", "thermofisher", "de"])
def test_a_blank_while_a_back_end_is_set_up_is_heeded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with BENCHES[kind].start() as block:
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
        _blanked_in_set_up(scope, kind, monkeypatch, BENCHES[kind].exposure)
        blanker = scope.power(HasBlanker)
        assert (scope.state().blanked, blanker and blanker.blanked()) == (True, True)
        scope.close()


ELSEWHERE = """
import importlib, json, os, sys
block, kind, exposure = json.loads(sys.argv[1])
module = importlib.import_module(f"instruments.drivers.{kind}")
driver, real = module.open_driver({"instrument": block, "seed": 1, "start_s": 0.0}), module.BeamTime
unblanked = []

def last(clock, unblank, *more):
    driver.blank()
    return real(clock, lambda: (unblanked.append(1), unblank()), *more)

module.BeamTime = last
try:
    driver.acquire(exposure)
    said = "a frame"
except Exception as error:
    said = str(error)
print(json.dumps([said, len(unblanked), driver.blanked()]), flush=True)
driver.close()
os._exit(0)  # not for Swift's threads to be waited for
"""


@pytest.mark.parametrize("kind", ["nion", "detwin"])
@pytest.mark.timeout(900)  # de-twin's first start on a computer takes minutes
def test_a_blank_while_a_back_end_of_its_own_process_is_set_up_is_heeded(kind: str) -> None:
    """Where the others' libraries are: not here."""
    with BENCHES[kind].start() as block:
        order = json.dumps([block, kind, codec.sparse(BENCHES[kind].exposure)])
        done = subprocess.run([sys.executable, "-c", ELSEWHERE, order], capture_output=True, text=True, check=True)
    said, unblanked, blanked = json.loads(done.stdout.splitlines()[-1])
    assert "blanked meanwhile" in said
    assert (unblanked, blanked) == (0, True)


def test_a_blank_while_gatans_camera_is_set_up_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gms(tmp_path) as (dm, block):
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
        prepare = Py_Camera.PrepareForAcquire
        monkeypatch.setattr(Py_Camera, "PrepareForAcquire", lambda camera: (prepare(camera), scope.blank()))
        with pytest.raises(InstrumentError, match="was blanked"):
            scope.acquire(LOOK)
        assert dm.column.lit_s == 0.0
        assert scope.power(HasBlanker).blanked() is True
        scope.close()


def test_a_blank_while_gatans_beam_is_put_on_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came before GMS was told to unblank, and was undone by it."""
    with gms(tmp_path) as (dm, block):
        scope = registry.open_microscope(registry.parse(block), seed=0, clock=RealClock())
        told = Py_Microscope.SetBeamBlanked

        def meanwhile(column: Any, shut: bool) -> None:
            if not shut:
                scope.blank()
            told(column, shut)

        shots: list[int] = []
        monkeypatch.setattr(Py_Microscope, "SetBeamBlanked", meanwhile)
        monkeypatch.setattr(Py_Camera, "AcquireImage", lambda *_: shots.append(1))
        with pytest.raises(InstrumentError, match="was blanked"):
            scope.acquire(LOOK)
        assert shots == []
        assert dm.column.blanked
        scope.close()


def _blanked_in_set_up(scope: Any, kind: str, monkeypatch: pytest.MonkeyPatch, exposure: Exposure = LOOK) -> None:
    """Somebody blanks when all is set, and the beam is about to be put on."""

    def last(*parts: Any) -> BeamTime:
        scope.blank()
        return BeamTime(*parts)

    monkeypatch.setattr(f"instruments.drivers.{kind}.BeamTime", last)
    with pytest.raises(InstrumentError, match="blanked meanwhile"):
        scope.acquire(exposure)
