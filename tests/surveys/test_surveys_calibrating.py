"""Stages that lie turned, mirrored and with play are found as they are; what cannot be told is refused in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.drivers.orientation import STRAIGHT
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.types import Exposure, StagePosition
from surveys.calibrating import foretold, judged, measure_stage
from surveys.calibrating_bench import CannotCalibrate
from surveys.calibrating_focus import measure_focus
from surveys.calibrating_stigmators import measure_stigmators
from surveys.calibrating_view import measure_view, periods_px

LOOK = Exposure(field_of_view_nm=800.0, shape=(192, 192), dwell_us=3.0)
EXACT = {"reach_nm": 0.0, "readback_nm": 0.0, "creep_nm": 0.0, "drift_nm": 0.0}


def guarded(stage: dict[str, Any], **more: Any) -> Guard:
    """Opened as `adaptem calibrate` does: nothing is known of how the stage lies."""
    block = {"kind": "simulated", "stage": {"approach": False, **stage}, "stage_to_image": STRAIGHT, **more}
    clock = SimulatedClock()
    scope = registry.open_microscope(registry.parse(block), seed=5, clock=clock)
    limits = Limits(
        x_nm=(-3000, 3000), y_nm=(-3000, 3000), z_nm=(-3000, 3000), backlash_nm=0, stage_uncertainty_nm=15,
        max_current_pA=60, max_electrons=1e12, max_fluence_e_per_A2=1e5, max_time_s=1e5,
    )  # fmt: skip
    return Guard(scope, limits, MemoryLedger(), clock, SIMULATED)


def truth(stage: dict[str, Any]) -> Any:
    return np.array(registry.parse({"kind": "simulated", "stage": stage}).stage.in_image)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "stage",
    [
        {"turned_deg": 198.0, "mirrored": True, "backlash_nm": 120.0},
        {"turned_deg": 37.0, "backlash_nm": 0.0},
        {"turned_deg": 270.0, "mirrored": True, "backlash_nm": 200.0},
    ],
)
def test_a_stage_is_found_as_it_is(stage: dict[str, Any]) -> None:
    """It misses by up to 3 nm, creeps and drifts: of moves of 200 nm, a hundredth."""
    guard = guarded(stage)
    found = measure_stage(guard, LOOK, approach_nm=300.0)
    judged(found, pixels_known=True)
    assert np.abs(found.matrix - truth(stage)).max() < 0.015
    assert found.mirrored is stage.get("mirrored", False)
    assert found.std < 0.02
    assert found.check_nm < 10.0
    assert found.backlash_nm == pytest.approx((stage["backlash_nm"],) * 2, abs=4.0)
    assert guard.state().stage.x_nm == pytest.approx(0.0, abs=4.0)
    assert guard.ledger.electrons() == pytest.approx(found.frames * LOOK.electrons(50.0))


def test_an_exact_stage_is_found_to_a_thousandth() -> None:
    stage = {"turned_deg": 98.0, "backlash_nm": 50.0, **EXACT}
    found = measure_stage(guarded(stage), LOOK, approach_nm=100.0, repeats=2)
    assert np.abs(found.matrix - truth(stage)).max() < 0.002
    assert found.backlash_nm == pytest.approx((50.0, 50.0), abs=0.5)


def test_a_calibrated_stage_passes_one_move_and_another_does_not() -> None:
    straight = guarded({**EXACT})
    assert foretold(straight, LOOK, 100.0) < 2.0
    with pytest.raises(CannotCalibrate, match=r"foretold .* the image went"):
        foretold(guarded({"turned_deg": 30.0, **EXACT}), LOOK, 100.0)


def test_play_that_is_not_taken_up_is_told() -> None:
    with pytest.raises(CannotCalibrate, match="approach_nm"):
        measure_stage(guarded({"backlash_nm": 150.0, **EXACT}), LOOK, approach_nm=0.0)


def test_a_place_that_shows_nothing_is_told() -> None:
    nothing = {
        "heavy_per_um2": 0.0,
        "light_per_um2": 0.0,
        "rare_layout": "none",
        "film_variation": 0.0,
        "film_grain": 0.0,
    }
    guard = guarded({}, specimen=nothing)
    with pytest.raises(CannotCalibrate, match="show nothing that can be compared: go to a place"):
        measure_stage(guard, LOOK, approach_nm=100.0)


def test_drift_that_is_too_fast_is_told() -> None:
    fault = {"kind": "drift_burst", "at_s": 0.0, "duration_s": 1e4, "drift_nm_per_s": 60.0}
    with pytest.raises(CannotCalibrate, match=r"by itself.*wait for the drift"):
        measure_stage(guarded({}, faults=[fault]), LOOK, approach_nm=100.0)


def test_pixels_that_are_not_as_long_as_is_said_are_told() -> None:
    found = measure_stage(guarded({**EXACT}), LOOK, approach_nm=100.0, repeats=2)
    found.matrix[:] *= 1.3
    judged(found, pixels_known=False)
    with pytest.raises(CannotCalibrate, match=r"determinant is 1\.69, expected .* measure the field of view"):
        judged(found, pixels_known=True)
    found.matrix[:, 0] /= 2
    with pytest.raises(CannotCalibrate, match="2 times as far as along another"):
        judged(found, pixels_known=False)


def test_the_focus_is_measured_by_the_height() -> None:
    """The simulated knob counts nm: a unit is 1."""
    guard = guarded({})
    before = guard.state()
    look = Exposure(field_of_view_nm=128.0, shape=(192, 192), dwell_us=4.0)
    found = measure_focus(guard, look, reach_units=600.0, raise_nm=300.0, approach_nm=50.0, say=lambda _: None)
    assert found.nm_per_unit == pytest.approx(1.0, abs=0.05)
    assert abs(found.nm_per_unit - 1.0) < 3 * found.std_nm_per_unit
    after = guard.state()
    assert after.optics == before.optics
    assert after.stage.z_nm == pytest.approx(before.stage.z_nm, abs=1.0)


def test_a_focus_out_of_reach_is_told_and_put_back() -> None:
    guard = guarded({})
    guard.move(StagePosition(z_nm=2500.0))
    look = Exposure(field_of_view_nm=128.0, shape=(128, 128), dwell_us=4.0)
    with pytest.raises(CannotCalibrate, match="no focus was passed"):
        measure_focus(guard, look, reach_units=300.0, raise_nm=100.0, approach_nm=0.0, say=lambda _: None)
    assert guard.state().optics.defocus_nm == 0.0
    assert guard.state().stage.z_nm == pytest.approx(2500.0, abs=1.0)


def test_the_stigmators_are_measured_by_the_focus() -> None:
    """The simulated ones count nm, each its own component."""
    guard = guarded({})
    before = guard.state().optics
    look = Exposure(field_of_view_nm=128.0, shape=(192, 192), dwell_us=4.0)
    found = measure_stigmators(guard, look, reach_units=400.0, step_units=100.0, say=lambda _: None)
    assert found.matrix == pytest.approx(np.eye(2), abs=0.2)
    assert np.abs(found.matrix - np.eye(2)).max() < 3 * found.std
    assert guard.state().optics == before
    with pytest.raises(CannotCalibrate, match=r"no focus was passed along|differ by"):
        measure_stigmators(guard, look, reach_units=30.0, step_units=5.0, say=lambda _: None)


def test_a_lattice_gives_the_field_of_view() -> None:
    row, column = np.mgrid[:256, :256]
    counts = (
        20 + 6 * np.cos(2 * np.pi * (0.11 * column + 0.05 * row)) + 5 * np.cos(2 * np.pi * (0.05 * column - 0.11 * row))
    )
    noisy = np.random.default_rng(1).poisson(counts).astype(np.float64)
    assert periods_px(noisy) == pytest.approx([1 / np.hypot(0.11, 0.05)] * 2, rel=0.002)
    with pytest.raises(CannotCalibrate, match="no lattice stands out"):
        periods_px(np.random.default_rng(2).poisson(20.0, (256, 256)).astype(np.float64))


def test_particles_are_no_lattice() -> None:
    with pytest.raises(CannotCalibrate, match="no lattice stands out"):
        measure_view(guarded({}), LOOK, period_nm=10.0, looks=1)
