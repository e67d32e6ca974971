"""A simulated autoloader: several specimens, each with its places and its dose; transfers take time, and may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.errors import BusyError, Disconnected, HardwareFault, LimitError, Timeout
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.powers import HasLoader, HasValves
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.protocol import Microscope

CASSETTE = {"specimens": ["gold", "carbon", "ice"], "transfer_s": 50.0}
LOOK = Exposure(field_of_view_nm=300.0, shape=(64, 64), dwell_us=4.0, signals=("HAADF",))

LIMITS = Limits(
    x_nm=(-1e3, 1e3),
    y_nm=(-1e3, 1e3),
    backlash_nm=0.0,
    stage_uncertainty_nm=20.0,
    max_current_pA=100.0,
    max_electrons=1e12,
    max_fluence_e_per_A2=1e3,
    max_time_s=1e5,
)


def make(truth: Path | None = None, **changes: Any) -> tuple[World, SimulatedMicroscope]:
    settings = SimulatedSettings.model_validate({"cassette": CASSETTE, **changes})
    world = World(settings, 5, SimulatedClock(), truth)
    return world, SimulatedMicroscope(world)


def loader_of(scope: Microscope) -> HasLoader:
    found = scope.power(HasLoader)
    assert found is not None
    return found


def image(scope: SimulatedMicroscope) -> np.ndarray[Any, Any]:
    return scope.acquire(LOOK).signals["HAADF"].data.astype(float)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_each_specimen_is_its_own_and_keeps_its_dose() -> None:
    world, scope = make()
    loader = loader_of(scope)
    assert (loader.specimens(), loader.loaded()) == (("gold", "carbon", "ice"), "gold")
    gold, dose = image(scope), world.true_fluence_e_per_A2(0.0, 0.0)
    start_s = world.now_s()
    loader.load("carbon")
    assert world.now_s() == start_s + 100.0  # one out, one in
    assert (loader.loaded(), world.true_fluence_e_per_A2(0.0, 0.0)) == ("carbon", 0.0)
    assert alike(gold, image(scope)) < 0.5
    loader.load("gold")
    loader.load("gold")  # it is there
    assert dose > 0
    assert world.true_fluence_e_per_A2(0.0, 0.0) == dose
    assert alike(gold, image(scope)) > 0.8
    assert world.now_s() < start_s + 205.0


def test_nothing_is_exposed_where_nothing_lies() -> None:
    world, scope = make()
    loader_of(scope).unload()
    loader_of(scope).unload()
    assert loader_of(scope).loaded() is None
    with pytest.raises(BusyError, match="load a specimen"):
        scope.acquire(LOOK)
    with pytest.raises(LimitError, match="'steel' was asked; the cassette holds gold, carbon, ice"):
        loader_of(scope).load("steel")
    assert world.exposures() == ()


def test_names_are_told_apart_and_without_a_cassette_there_is_no_loader() -> None:
    with pytest.raises(ValidationError, match="names of their own"):
        SimulatedSettings.model_validate({"cassette": {"specimens": ["gold", "gold"]}})
    assert SimulatedMicroscope(World(SimulatedSettings(), 5, SimulatedClock())).power(HasLoader) is None


def test_a_world_that_is_opened_again_has_on_its_stage_what_lay_there(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    fault = [{"kind": "transfer_stuck", "at_s": 500.0}]
    world, scope = make(truth, faults=fault)
    loader_of(scope).load("ice")
    ice, dose = image(scope), world.true_fluence_e_per_A2(0.0, 0.0)
    scope.close()
    world, scope = make(truth, faults=fault)
    assert loader_of(scope).loaded() == "ice"
    assert (alike(ice, image(scope)) > 0.8, world.true_fluence_e_per_A2(0.0, 0.0) > dose) == (True, True)
    world.wait(500.0)
    with pytest.raises(HardwareFault, match="stuck half way") as caught:
        loader_of(scope).unload()
    assert caught.value.latching
    scope.close()
    _, scope = make(truth, faults=fault)
    for ask in (loader_of(scope).loaded, loader_of(scope).unload, lambda: loader_of(scope).load("gold")):
        with pytest.raises(HardwareFault, match="between cassette and stage"):
            ask()


@pytest.mark.parametrize(
    ("mishap", "error", "there"),
    [
        ("cartridge_stuck", HardwareFault, "gold"),
        ("timeout", Timeout, "gold"),
        ("disconnect", Disconnected, "gold"),
        ("reply_lost", Disconnected, "ice"),
        ("hang", Timeout, "gold"),
    ],
)
def test_transfers_go_wrong_on_purpose(mishap: str, error: type[Exception], there: str) -> None:
    """Bare, the error is the instrument's; behind a guard each of them latches, whatever it is called."""
    inner = {"kind": "simulated", "cassette": CASSETTE}
    plan = [{"kind": mishap, "verb": "transfer", "nth": 2, "calls": 2}]
    settings = registry.parse({"kind": "faulty", "instrument": inner, "mishaps": plan})
    clock = SimulatedClock()
    scope = registry.open_microscope(settings, seed=5, clock=clock)
    loader_of(scope).load("gold")
    with pytest.raises(error):
        loader_of(scope).load("ice")
    assert loader_of(scope).loaded() == there
    assert loader_of(scope).specimens() == ("gold", "carbon", "ice")
    guard = Guard(scope, LIMITS, MemoryLedger(), clock, SIMULATED)
    valves = guard.power(HasValves)
    assert valves is not None
    valves.close_valves()
    with pytest.raises(HardwareFault, match="see where the specimen is"):
        loader_of(guard).unload()
    with pytest.raises(HardwareFault, match="latched"):
        loader_of(guard).unload()
