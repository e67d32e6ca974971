"""Eucentric height from four exposures: found within 0.2 µm, or left as it was with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.height import EucentricHeight
from agent.settings import HeightSettings
from envs.drift import shift_px
from envs.step import Purpose
from instruments.clock import SimulatedClock
from instruments.errors import Timeout
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import HoleSettings, SimulatedSettings, SpecimenSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import StagePosition

if TYPE_CHECKING:
    from instruments.types import Exposure, Frame

STAGE = StageSettings(eucentric_offset_nm=20_000.0)
PLAIN = SpecimenSettings(heavy_per_um2=0.0, light_per_um2=0.0, rare_layout="none", film_variation=0.0, film_grain=0.0)


class Bench:
    """A world with its height off, and how many exposures were made."""

    def __init__(self, seed: int, *, specimen: SpecimenSettings | None = None, stage: StageSettings = STAGE) -> None:
        settings = SimulatedSettings(specimen=specimen or SpecimenSettings(), stage=stage)
        clock = SimulatedClock()
        self.world = World(settings, seed, clock)
        limits = Limits(
            x_nm=stage.x_nm,
            y_nm=stage.y_nm,
            z_nm=stage.z_nm,
            alpha_deg=stage.alpha_deg,
            backlash_nm=120.0,
            stage_uncertainty_nm=20.0,
            off_axis_nm=25_000.0,
            max_current_pA=500.0,
            max_electrons=1e14,
            max_fluence_e_per_A2=1e6,
            max_time_s=1e6,
        )
        self.guard = Guard(SimulatedMicroscope(self.world), limits, MemoryLedger(), clock, SIMULATED)
        self.exposures: list[Exposure] = []
        self.breaks_at: int | None = None

    def expose(self, exposure: Exposure, purpose: Purpose) -> Frame:
        assert purpose is Purpose.FOCUS
        self.exposures.append(exposure)
        if len(self.exposures) == self.breaks_at:
            raise Timeout("no frame")
        return self.guard.acquire(exposure)


@pytest.mark.parametrize("seed", range(4))
def test_twenty_micrometres_become_less_than_a_fifth_in_four_exposures(seed):
    bench = Bench(seed)
    before_nm = bench.world.height_error_nm()
    result = EucentricHeight(HeightSettings()).run(bench.guard, bench.expose)
    assert result.ok, result.message
    assert abs(before_nm) > 1000
    assert abs(bench.world.height_error_nm()) < 200
    assert len(bench.exposures) == 4
    assert bench.guard.state().stage.alpha_deg == pytest.approx(0.0, abs=1e-6)
    assert result.data["height_before_nm"] == pytest.approx(before_nm, abs=200)


@pytest.mark.parametrize("seed", range(3))
def test_wherever_the_stage_stands_focus_and_place_stay_when_it_tilts_afterwards(seed):
    bench = Bench(seed, stage=StageSettings())
    x_nm, y_nm = np.random.default_rng(seed).uniform(-50_000.0, 50_000.0, 2)
    bench.guard.move(StagePosition(x_nm=x_nm, y_nm=y_nm, z_nm=1000.0))
    before_nm = bench.world.height_error_nm()
    result = EucentricHeight(HeightSettings()).run(bench.guard, bench.expose)
    assert result.ok, result.message
    assert result.data["height_before_nm"] == pytest.approx(before_nm, abs=100)
    assert abs(bench.world.height_error_nm()) < 100
    place_nm, focus_nm = bench.world.place_nm(), bench.world.defocus_nm()
    bench.guard.move(StagePosition(alpha_deg=10.0))
    assert bench.world.place_nm() == pytest.approx(place_nm, abs=40)
    assert bench.world.defocus_nm() == pytest.approx(focus_nm, abs=10)


def test_holes_that_repeat_are_not_taken_for_their_neighbours():
    bench = Bench(3, specimen=SpecimenSettings(holes=HoleSettings(pitch_nm=2500.0, diameter_nm=1200.0)))
    assert EucentricHeight(HeightSettings()).run(bench.guard, bench.expose).ok
    assert abs(bench.world.height_error_nm()) < 200


def test_a_place_with_nothing_to_see_is_left_as_it_was():
    bench = Bench(1, specimen=PLAIN)
    before_nm = bench.world.height_error_nm()
    result = EucentricHeight(HeightSettings()).run(bench.guard, bench.expose)
    assert not result.ok
    assert "the height is as it was" in result.message
    assert bench.world.height_error_nm() == pytest.approx(before_nm, abs=5)


def test_a_holder_that_does_not_tilt_says_so():
    bench = Bench(1, stage=StageSettings(alpha_deg=None))
    result = EucentricHeight(HeightSettings()).run(bench.guard, bench.expose)
    assert "no tilt" in result.message
    assert bench.exposures == []
    narrow = Bench(1, stage=StageSettings(alpha_deg=(-0.2, 0.2)))
    assert "too little to see" in EucentricHeight(HeightSettings()).run(narrow.guard, narrow.expose).message


def test_a_fault_on_the_way_brings_height_and_tilt_back():
    bench = Bench(2)
    bench.breaks_at = 3
    before_nm = bench.world.height_error_nm()
    with pytest.raises(Timeout):
        EucentricHeight(HeightSettings()).run(bench.guard, bench.expose)
    assert bench.world.height_error_nm() == pytest.approx(before_nm, abs=5)
    assert bench.guard.state().stage.alpha_deg == pytest.approx(0.0, abs=1e-6)


def test_frames_that_share_only_a_slope_do_not_match():
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 50, 128)[:, None] + np.zeros((128, 128))
    one, two = ((slope + rng.normal(0, 1, slope.shape)).astype(np.float32) for _ in range(2))
    assert shift_px(one, two, sure=12.0, least_cycles=6.0) is None
