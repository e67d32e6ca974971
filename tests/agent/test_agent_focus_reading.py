"""Focus read from a wide beam's rings and from Ronchigrams, at the microscope."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from typing import TYPE_CHECKING

from pydantic import ValidationError

from agent.estimating import EstimateFocus
from agent.factory import make_reader
from agent.settings import EstimateSettings
from envs.step import Purpose
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World

if TYPE_CHECKING:
    from instruments.types import Exposure, Frame

COLUMN = {"convergence_mrad": 21.4, "focus_offset_nm": 200.0, "stig_offset_nm": 5.0}
RINGS = EstimateSettings(
    by="rings", field_of_view_nm=17.9, pixels=128, dwell_us=2.0, defoci_nm=(-300.0, 300.0), search_nm=220.0,
    search_stig_nm=0.0, ring_tile_px=128, ring_step_nm=10.0,
)  # fmt: skip
SHADOWS = EstimateSettings(
    by="ronchigram", field_of_view_nm=1.0, dwell_us=1000.0, defoci_nm=(350.0, 450.0), search_nm=220.0,
    search_stig_nm=20.0,
)  # fmt: skip
FRAMES = EstimateSettings(
    by="network", field_of_view_nm=200.0, pixels=256, dwell_us=8.0, defoci_nm=(-100.0, 0.0, 100.0), search_nm=220.0,
    search_stig_nm=0.0,
)  # fmt: skip


def bench(seed: int, **settings) -> tuple[World, Guard]:
    made, clock = SimulatedSettings.model_validate({"column": COLUMN, **settings}), SimulatedClock()
    world = World(made, seed, clock)
    limits = Limits(
        x_nm=made.stage.x_nm,
        y_nm=made.stage.y_nm,
        z_nm=made.stage.z_nm,
        backlash_nm=2 * made.stage.backlash_nm,
        stage_uncertainty_nm=20.0,
        max_current_pA=500.0,
        max_electrons=1e14,
        max_fluence_e_per_A2=1e12,
        max_time_s=1e6,
    )
    return world, Guard(SimulatedMicroscope(world), limits, MemoryLedger(), clock, SIMULATED)


def run(guard: Guard, settings: EstimateSettings):
    made: list[Exposure] = []

    def expose(exposure: Exposure, purpose: Purpose) -> Frame:
        assert purpose is Purpose.FOCUS
        made.append(exposure)
        return guard.acquire(exposure)

    return EstimateFocus(settings, make_reader(settings)).run(guard, expose), made


@pytest.mark.slow  # a frame of atoms under a wide beam takes some seconds
def test_two_images_of_a_wide_beam_tell_the_focus_by_their_rings():
    world, guard = bench(500, specimen="au_on_carbon", ctem={})
    before = world.probe().coefficients_nm[0]
    result, made = run(guard, RINGS)
    assert abs(before) > 50 and len(made) == 2
    assert result.ok, result.message
    assert abs(world.probe().coefficients_nm[0]) < 12  # focus counts to the middle of the particles


def test_two_ronchigrams_tell_the_focus_by_their_shadows():
    world, guard = bench(500, specimen="au_on_carbon", bf=None, camera={"pixels": 128, "reach_mrad": 32.0})
    before = world.probe().coefficients_nm[0]
    result, made = run(guard, SHADOWS)
    assert abs(before) > 50 and len(made) == 2
    assert result.ok, result.message
    assert abs(world.probe().coefficients_nm[0]) < 25


def test_without_patterns_the_lenses_are_as_they_were():
    _, guard = bench(500, specimen="au_on_carbon", bf=None, camera={"pixels": 128, "reach_mrad": 32.0})
    before = guard.state().optics
    result, _ = run(guard, SHADOWS.model_copy(update={"camera": "HAADF"}))
    assert not result.ok and "gave no patterns" in result.message
    assert guard.state().optics == before


def test_the_network_is_not_asked_for_what_it_cannot_read():
    with pytest.raises(ValidationError, match="at most 3 images"):
        EstimateSettings(by="network", pixels=256, defoci_nm=(0.0, 1.0, 2.0, 3.0))
    with pytest.raises(ValidationError, match="192 pixels"):
        EstimateSettings(by="network", pixels=128)


def test_a_way_to_read_says_what_it_exposes():
    assert make_reader(SHADOWS).exposure.shape == (4, 4)
    assert make_reader(SHADOWS).exposure.signals == ("camera",)
    assert make_reader(RINGS).exposure.signals is None


def test_three_wide_frames_tell_the_network_where_focus_is():
    pytest.importorskip("safetensors", reason="the extra 'simulate' is not installed")
    world, guard = bench(500, specimen="au_on_carbon", bf=None)
    before = world.probe().coefficients_nm[0]
    result, made = run(guard, FRAMES)
    assert abs(before) > 50 and len(made) == 3
    assert result.ok, result.message
    assert abs(world.probe().coefficients_nm[0]) < 20
