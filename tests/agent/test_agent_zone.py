"""Tilting to a zone axis by patterns: within 0.3° in six patterns, or as it was with a reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from agent.settings import ZoneSettings
from agent.zone import ZoneAxis
from instruments.clock import SimulatedClock
from instruments.errors import Timeout
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.library import named
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from models.zone import lean

if TYPE_CHECKING:
    from envs.step import Purpose
    from instruments.types import Exposure, Frame


class Bench:
    """A film whose zone axis leans, in a holder with two tilts or one."""

    def __init__(
        self,
        seed: int,
        *,
        cone_mrad: float = 1.5,
        beta: bool = True,
        camera: bool = True,
        specimen: str = "srtio3_on_ge",
    ) -> None:
        recipe = named(specimen)
        assert recipe.film is not None
        recipe = recipe.model_copy(update={"film": recipe.film.model_copy(update={"mistilt_deg": 5.0})})
        settings = SimulatedSettings.model_validate(
            {
                "specimen": {"recipe": recipe},
                "bf": None,
                "camera": {"reach_mrad": 90.0} if camera else None,
                "column": {"convergence_mrad": cone_mrad, "focus_offset_nm": 0.0, "stig_offset_nm": 0.0},
                "stage": {"alpha_deg": (-30.0, 30.0), "beta_deg": (-20.0, 20.0) if beta else None},
            }
        )
        clock = SimulatedClock()
        self.world = World(settings, seed, clock)
        limits = Limits(
            x_nm=settings.stage.x_nm,
            y_nm=settings.stage.y_nm,
            alpha_deg=(-30.0, 30.0),
            beta_deg=(-20.0, 20.0),
            off_axis_nm=0.0,
            backlash_nm=120.0,
            stage_uncertainty_nm=20.0,
            max_current_pA=500.0,
            max_electrons=1e14,
            max_fluence_e_per_A2=1e12,
            max_time_s=1e6,
        )
        self.guard = Guard(SimulatedMicroscope(self.world), limits, MemoryLedger(), clock, SIMULATED)
        self.exposures = 0
        self.breaks_at = 0

    def expose(self, exposure: Exposure, purpose: Purpose) -> Frame:
        self.exposures += 1
        if self.exposures == self.breaks_at:
            raise Timeout("no frame")
        return self.guard.acquire(exposure)

    def lean_deg(self) -> tuple[float, float]:
        along, across = self.world.scene.zone_tilts_rad(self.world.tilts_rad(self.world.now_s()))
        return math.degrees(along), math.degrees(across)


@pytest.mark.parametrize("seed", [1, pytest.param(0, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_five_degrees_become_less_than_a_third_of_one(seed):
    bench = Bench(seed)
    before = math.hypot(*bench.lean_deg())
    result = ZoneAxis(ZoneSettings()).run(bench.guard, bench.expose)
    assert result.ok, result.message
    assert before > 1.0
    assert math.hypot(*bench.lean_deg()) < 0.3
    assert bench.exposures <= len(ZoneAxis(ZoneSettings()).cost_exposures()) == ZoneSettings().patterns
    assert result.data["lean_before_deg"] == pytest.approx(before, abs=1.0)
    assert result.stage.requested.alpha_deg == pytest.approx(result.stage.achieved.alpha_deg, abs=0.01)
    assert result.stage.requested.beta_deg == pytest.approx(result.stage.achieved.beta_deg, abs=0.01)


@pytest.mark.parametrize("seed", [2, pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow)])
def test_a_layer_whose_patterns_do_not_change_with_tilt_is_left_as_it_was(seed):
    bench = Bench(seed, specimen="mos2")
    before = bench.lean_deg()
    result = ZoneAxis(ZoneSettings()).run(bench.guard, bench.expose)
    assert not result.ok
    assert bench.lean_deg() == pytest.approx(before)


def test_a_single_tilt_holder_says_what_it_cannot_reach():
    bench = Bench(3, beta=False)
    along, across = bench.lean_deg()
    result = ZoneAxis(ZoneSettings(tolerance_deg=0.1)).run(bench.guard, bench.expose)
    assert not result.ok
    assert "reaches no nearer" in result.message
    assert bench.lean_deg()[0] == pytest.approx(along)
    assert abs(bench.lean_deg()[1]) < 0.3 < abs(across)


@pytest.mark.slow
def test_where_patterns_contradict_each_other_the_tilt_is_as_it_was():
    bench = Bench(0, beta=False)  # 3° along the axis that stays: a row of reflections looks like a zone near by
    before = bench.lean_deg()
    result = ZoneAxis(ZoneSettings()).run(bench.guard, bench.expose)
    assert not result.ok
    assert bench.lean_deg() == pytest.approx(before)


@pytest.mark.parametrize(
    ("changes", "told"), [({"cone_mrad": 21.4}, "so that discs part"), ({"camera": False}, "a camera 'camera'")]
)
def test_what_it_needs_is_told_and_nothing_is_exposed(changes, told):
    bench = Bench(0, **changes)
    result = ZoneAxis(ZoneSettings()).run(bench.guard, bench.expose)
    assert told in result.message
    assert bench.exposures == 0


def test_a_fault_on_the_way_brings_the_tilt_back():
    bench = Bench(1)
    bench.breaks_at = 2
    with pytest.raises(Timeout):
        ZoneAxis(ZoneSettings()).run(bench.guard, bench.expose)
    stage = bench.guard.state().stage
    assert (stage.alpha_deg, stage.beta_deg) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_noise_shows_no_circle_and_an_empty_pattern_is_refused():
    noise = np.random.default_rng(0).poisson(20.0, (64, 64))
    found = lean(noise, (2.0, 2.0), (32.0, 32.0), convergence_mrad=1.5, wavelength_nm=0.00251)
    assert not found.settled
    with pytest.raises(ValueError, match="expose longer"):
        lean(np.zeros((64, 64)), (2.0, 2.0), (32.0, 32.0), convergence_mrad=1.5, wavelength_nm=0.00251)
    with pytest.raises(ValueError, match="finite numbers"):
        lean(np.full((64, 64), np.nan), (2.0, 2.0), (32.0, 32.0), convergence_mrad=1.5, wavelength_nm=0.00251)


def test_the_circle_is_found_where_it_was_drawn():
    """A kinematic pattern of a square lattice, drawn without the simulator."""
    k = (np.arange(96) - 48) * 1.5
    y, x = np.meshgrid(k, k, indexing="ij")
    spots = sum(np.exp(-((x - 12.0 * a) ** 2 + (y - 12.0 * b) ** 2) / 2) for a in range(-6, 7) for b in range(-6, 7))
    tilt, thickness_nm, wavelength = (30.0, -18.0), 12.0, 0.00251
    s_per_nm = (x * tilt[0] + y * tilt[1] - (x * x + y * y) / 2) * 1e-6 / wavelength
    pattern = np.random.default_rng(1).poisson(400 * spots * np.sinc(s_per_nm * thickness_nm) ** 2 + 1)
    found = lean(pattern, (1.5, 1.5), (48.0, 48.0), convergence_mrad=1.5, wavelength_nm=wavelength)
    assert found.settled
    np.testing.assert_allclose(found.tilt_mrad, tilt, atol=3.0)
