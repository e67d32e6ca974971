"""A holder in the simulated microscope: set through the guard, read back with its sensor's error, resumed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from instruments.clock import SimulatedClock
from instruments.errors import LimitError, NotSupported
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.powers import HasHolder
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

HEATED = SimulatedSettings(holder="heating_chip")


def test_a_temperature_is_reached_read_and_kept_with_the_frame():
    clock = SimulatedClock()
    world = World(HEATED, 1, clock)
    limits = Limits(
        x_nm=(-1e4, 1e4),
        y_nm=(-1e4, 1e4),
        backlash_nm=120.0,
        stage_uncertainty_nm=20.0,
        max_current_pA=500.0,
        max_electrons=1e12,
        max_fluence_e_per_A2=1e6,
        max_time_s=1e6,
        conditions={"temperature_K": (290.0, 900.0)},
    )
    guard = Guard(SimulatedMicroscope(world), limits, MemoryLedger(), clock, SIMULATED)
    holder = guard.power(HasHolder)
    before = guard.state().holder["temperature_K"]
    assert before.value == pytest.approx(295.0, abs=10.0)
    holder.set_condition("temperature_K", 800.0)
    clock.wait(30.0)
    reading = guard.state().holder["temperature_K"]
    assert (reading.unit, reading.valid) == ("K", True)
    assert reading.value == pytest.approx(800.0, abs=10.0)
    assert world.conditions.at("temperature_K", world.now_s()) == pytest.approx(800.0, abs=0.1)
    frame = guard.acquire(Exposure(field_of_view_nm=200.0, shape=(32, 32), dwell_us=1.0))
    assert frame.holder["temperature_K"].value == pytest.approx(800.0, abs=10.0)
    with pytest.raises(LimitError, match="allowed is 290 to 900"):
        holder.set_condition("temperature_K", 1000.0)
    with pytest.raises(LimitError, match="bias_V"):
        holder.set_condition("bias_V", 1.0)


def test_a_world_that_is_opened_again_goes_on_with_its_history(tmp_path):
    path, clock = tmp_path / "truth.jsonl", SimulatedClock()
    first = World(HEATED, 1, clock, path)
    clock.wait(5.0)
    first.set_condition("temperature_K", 500.0)
    clock.wait(0.5)
    first.set_condition("temperature_K", 400.0)
    first.close()
    later = SimulatedClock()
    second = World(HEATED, 1, later, path)
    assert second.conditions.history == first.conditions.history
    later.wait(100.0 - second.now_s())
    assert second.conditions.at("temperature_K", 100.0) == pytest.approx(400.0)
    assert second.conditions.log(0.0, 3.0)[2].readings["temperature_K"].value == pytest.approx(295.0, abs=10.0)


def test_a_holder_without_conditions_has_none():
    world = World(SimulatedSettings(), 1, SimulatedClock())
    scope = SimulatedMicroscope(world)
    assert scope.power(HasHolder) is None
    assert scope.state().holder == {}
    with pytest.raises(NotSupported, match="no conditions"):
        world.set_condition("temperature_K", 400.0)
    with pytest.raises(ValidationError, match="did you mean heating_chip"):
        SimulatedSettings(holder="heating_chp")


def test_a_furnace_grows_as_it_warms_and_carries_the_specimen_along():
    still = {"drift_nm": 0.0, "reach_nm": 0.0, "creep_nm": 0.0}
    world = World(SimulatedSettings(specimen="irradiated_ti", holder="furnace", stage=still), 3, SimulatedClock())
    before_nm = world.place_nm()
    world.set_condition("temperature_K", 395.0)
    world.wait(50.0)
    ramping_nm = world.place_nm()[0] - before_nm[0]
    world.wait(600.0)
    assert 0 < ramping_nm < 450
    assert world.place_nm()[0] - before_nm[0] == pytest.approx(500.0, abs=1e-3)
    assert world.place_nm()[1] == before_nm[1]
    world.close()
