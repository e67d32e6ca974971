"""Waiting for drift: told as the world's truth has it, what moved is brought back, and a wrong sign is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.drifting import WaitForDrift
from agent.factory import make_skills
from agent.settings import DriftSettings, SkillSettings
from envs.step import Purpose
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import Fault, SimulatedSettings, SpecimenSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World

if TYPE_CHECKING:
    from instruments.types import Exposure, Frame

STAGE = StageSettings(reach_nm=10.0, creep_nm=0.0)
PLAIN = SpecimenSettings(heavy_per_um2=0.0, light_per_um2=0.0, rare_layout="none", film_variation=0.0, film_grain=0.0)


class Mirrored(SimulatedMicroscope):
    """An instrument whose images are flipped against its stage."""

    def acquire(self, exposure: Exposure) -> Frame:
        frame = super().acquire(exposure)
        flipped = {name: replace(one, data=one.data[..., ::-1, ::-1].copy()) for name, one in frame.signals.items()}
        return replace(frame, signals=flipped)


class Bench:
    def __init__(self, seed: int, *, drift_nm_per_s: float = 0.0, lasts_s: float = 60.0, specimen=None, kind=None):
        burst = Fault(kind="drift_burst", at_s=0.0, duration_s=lasts_s, drift_nm_per_s=drift_nm_per_s)
        settings = SimulatedSettings(
            specimen=specimen or SpecimenSettings(),
            stage=STAGE,
            faults=(burst,) if drift_nm_per_s else (),
        )
        clock = SimulatedClock()
        self.world = World(settings, seed, clock)
        limits = Limits(
            x_nm=STAGE.x_nm,
            y_nm=STAGE.y_nm,
            backlash_nm=120.0,
            stage_uncertainty_nm=20.0,
            max_current_pA=500.0,
            max_electrons=1e14,
            max_fluence_e_per_A2=1e6,
            max_time_s=1e6,
        )
        self.guard = Guard((kind or SimulatedMicroscope)(self.world), limits, MemoryLedger(), clock, SIMULATED)
        self.exposures: list[Exposure] = []

    def expose(self, exposure: Exposure, purpose: Purpose) -> Frame:
        assert purpose is Purpose.DRIFT
        self.exposures.append(exposure)
        return self.guard.acquire(exposure)

    def place_nm(self) -> tuple[float, float]:
        return self.world.place_nm(self.world.now_s())


def test_a_quiet_specimen_takes_one_burst():
    bench = Bench(1)
    result = WaitForDrift(DriftSettings()).run(bench.guard, bench.expose)
    assert result.ok, result.message
    assert len(bench.exposures) == 1
    assert result.stage is None
    assert result.data["drift_nm_per_s"] < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_a_drift_is_waited_out_and_the_place_is_under_the_beam_again(seed):
    bench = Bench(seed, drift_nm_per_s=8.0, lasts_s=20.0)
    start_nm = bench.place_nm()
    result = WaitForDrift(DriftSettings()).run(bench.guard, bench.expose)
    assert result.ok, result.message
    assert result.data["drift_before_nm_per_s"] == pytest.approx(8.0, rel=0.15)
    assert result.data["drift_nm_per_s"] <= 1.0
    assert result.stage is not None
    end_nm = bench.place_nm()
    assert abs(end_nm[0] - start_nm[0]) < 80.0
    assert abs(end_nm[1] - start_nm[1]) < 80.0


def test_drift_that_goes_on_is_told_and_not_called_slow():
    bench = Bench(2, drift_nm_per_s=6.0, lasts_s=1e5)
    result = WaitForDrift(DriftSettings(bursts=6)).run(bench.guard, bench.expose)
    assert not result.ok
    assert "after 6 bursts" in result.message
    assert len(bench.exposures) == 6


def test_a_place_with_nothing_to_see_is_refused():
    bench = Bench(1, specimen=PLAIN)
    result = WaitForDrift(DriftSettings()).run(bench.guard, bench.expose)
    assert "nothing that can be compared" in result.message
    assert len(bench.exposures) == 1


def test_a_stage_that_moves_the_image_the_other_way_is_found_out_and_moved_back():
    bench = Bench(3, drift_nm_per_s=20.0, lasts_s=7.0, kind=Mirrored)
    wide = DriftSettings(field_of_view_nm=800.0)
    result = WaitForDrift(wide).run(bench.guard, bench.expose)
    assert not result.ok
    assert "calibrate stage_to_image" in result.message
    stage = bench.guard.state().stage
    assert (stage.x_nm, stage.y_nm) == pytest.approx((0.0, 0.0), abs=20.0)


def test_it_is_offered_where_a_config_asks_for_it():
    names = [skill.name for skill in make_skills(SkillSettings(wait_for_drift=DriftSettings()))]
    assert names == ["refocus", "wait_for_drift"]
