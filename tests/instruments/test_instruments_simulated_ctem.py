"""The simulated microscope with a wide beam: counts, focus by the transfer function, drift that blurs, refusals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from pydantic import ValidationError
from scipy import ndimage

from instruments.checks import check_microscope
from instruments.clock import SimulatedClock
from instruments.errors import NotSupported
from instruments.physics import wavelength_nm
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.scattering import cross_section_nm2
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.wide import smeared, way_px
from instruments.simulated.world import World
from instruments.types import Exposure, Optics, StagePosition

FILM = {
    "title": "carbon",
    "materials": {"carbon": {"atoms_per_nm3": {"C": 100.0}}},
    "film": {"material": "carbon", "thickness_nm": 3.0, "variation": 0.0},
}
STILL = {"drift_nm": 0.0, "creep_nm": 0.0, "reach_nm": 0.0, "readback_nm": 0.0}
COLUMN = {"focus_offset_nm": 0.0, "stig_offset_nm": 0.0, "current_pA": 500.0}
LOOK = Exposure(field_of_view_nm=12.8, shape=(256, 256), dwell_us=20.0)


def world(specimen: object = None, **changes: object) -> World:
    settings = {"specimen": {"recipe": specimen or FILM}, "column": COLUMN, "stage": STILL, "ctem": {}, **changes}
    return World(SimulatedSettings.model_validate(settings), 4, SimulatedClock())


def test_the_conformance_suite_passes():
    close = Exposure(field_of_view_nm=12.8, shape=(128, 128), dwell_us=20.0)  # from afar a parallel beam has no focus
    results = check_microscope(SimulatedMicroscope(world("au_on_carbon")), exposure=close)
    assert [result for result in results if not result.ok] == []


def test_the_camera_counts_what_the_objective_aperture_lets_through_and_one_seed_is_one_frame():
    one, two = (SimulatedMicroscope(world()).acquire(LOOK) for _ in range(2))
    assert list(one.signals) == ["CTEM"]
    counts = one.signals["CTEM"].data
    assert np.array_equal(counts, two.signals["CTEM"].data)
    sent = one.electrons / counts.size
    assert 0.9 * sent < counts.mean() < sent  # a thin film of carbon scatters little beyond 30 mrad
    stopped = SimulatedMicroscope(world(ctem={"objective_mrad": 5.0})).acquire(LOOK).signals["CTEM"].data
    assert stopped.mean() < counts.mean()


def test_dead_pixels_of_the_camera_are_the_same_in_every_frame():
    scope = SimulatedMicroscope(world(ctem={"dead_fraction": 0.02}))
    one, two = (scope.acquire(LOOK).signals["CTEM"].data for _ in range(2))
    dead = one == 0
    assert 0.01 < dead.mean() < 0.03 and np.array_equal(dead, two == 0)


@pytest.mark.parametrize("defocus_nm", [-300.0, -500.0])
def test_rings_of_an_amorphous_film_lie_where_the_transfer_function_has_its_zeros(defocus_nm):
    coherent = {"focal_spread_nm": 0.0, "illumination_mrad": 0.0, "objective_mrad": 12.0}
    scope = SimulatedMicroscope(world(ctem=coherent))
    scope.tune(Optics(defocus_nm=defocus_nm))
    wide = Exposure(field_of_view_nm=25.6, shape=(256, 256), dwell_us=20.0)
    image = scope.acquire(wide).signals["CTEM"].data.astype(float)
    power = np.abs(np.fft.fft2((image - image.mean()) * np.outer(np.hanning(256), np.hanning(256)))) ** 2
    along = np.fft.fftfreq(256, wide.pixel_size_nm)
    phase = wavelength_nm(200.0) * abs(defocus_nm) * (along[:, None] ** 2 + along[None] ** 2)  # C10's, in π
    for zero in (1.0, 2.0, 3.0):
        dark, bright = power[np.abs(phase - zero) < 0.1], power[np.abs(phase - zero + 0.5) < 0.1]
        assert bright.mean() > 4 * dark.mean()


def test_raising_the_specimen_is_overfocus_for_the_lens_below_it_and_no_cone_blurs():
    made = world("au_on_carbon")
    scope = SimulatedMicroscope(made)
    before_nm = made.defocus_nm()
    scope.move(StagePosition(z_nm=200.0))
    assert made.defocus_nm() == pytest.approx(before_nm + 200.0)
    probe = world("au_on_carbon", ctem=None)
    SimulatedMicroscope(probe).move(StagePosition(z_nm=200.0))
    assert probe.defocus_nm() == pytest.approx(before_nm - 200.0)
    coarse = Exposure(field_of_view_nm=400.0, shape=(128, 128), dwell_us=20.0)
    sharp, far = (contrast_at(scope, defocus_nm, coarse) for defocus_nm in (0.0, -1000.0))
    assert far == pytest.approx(sharp, rel=0.1)


def contrast_at(scope: SimulatedMicroscope, defocus_nm: float, exposure: Exposure) -> float:
    scope.tune(Optics(defocus_nm=defocus_nm))
    image = scope.acquire(exposure).signals["CTEM"].data.astype(float)
    return float(image.std() / image.mean())


def test_drift_blurs_along_its_way():
    point = np.zeros((65, 65), dtype=np.float32)
    point[32, 32] = 1.0
    seen = smeared(point, (0.0, 12.0))
    assert seen.sum() == pytest.approx(1.0, abs=1e-3)
    column = (seen[32] * np.arange(65)).sum()
    spread = (seen[32] * (np.arange(65) - column) ** 2).sum()
    assert column == pytest.approx(32.0, abs=0.01)
    assert spread == pytest.approx(12.0**2 / 12, rel=0.1)
    assert np.array_equal(smeared(point, (0.0, 0.0)), point)
    turned = Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0, rotation_deg=90.0)
    assert way_px((2.0, 0.0), turned) == pytest.approx((2.0, 0.0))
    still = SimulatedMicroscope(world("au_on_carbon")).acquire(LOOK).signals["CTEM"].data.astype(float)
    burst = {"kind": "drift_burst", "at_s": 0.0, "duration_s": 100.0, "drift_nm_per_s": 0.6}
    moving = SimulatedMicroscope(world("au_on_carbon", faults=[burst])).acquire(LOOK).signals["CTEM"].data.astype(float)
    rough = [np.abs(np.diff(ndimage.gaussian_filter(image, 1.0), axis=1)).mean() for image in (still, moving)]
    assert rough[1] < 0.9 * rough[0]


def test_what_needs_a_probe_is_refused_beside_it():
    with pytest.raises(ValidationError, match=r"camera, scan needs a probe"):
        world(camera={}, scan={"line_jitter_nm": 1.0})
    with pytest.raises(ValidationError, match="haadf needs a probe"):
        world(haadf={})
    with pytest.raises(ValidationError, match="ctem needs a specimen by recipe"):
        SimulatedSettings.model_validate({"ctem": {}})
    with pytest.raises(ValidationError, match="has none; give objective_mrad"):
        world(ctem={"angles_mrad": [1.0, 2.0]})
    with pytest.raises(NotSupported, match="the detectors that are in are CTEM"):
        SimulatedMicroscope(world()).acquire(
            Exposure(field_of_view_nm=10, shape=(8, 8), dwell_us=1, signals=("HAADF",))
        )


def test_a_coarse_image_loses_what_one_direction_scatters_beyond_the_aperture():
    """A wide beam has no cone: what the probe's would bring beyond the aperture stays in the image."""
    film = {
        "title": "a film",
        "materials": {"film": {"atoms_per_nm3": {"Si": 50.0}}},
        "film": {"material": "film", "thickness_nm": 60.0, "variation": 0.0},
    }
    column = {**COLUMN, "convergence_mrad": 12.0}
    made = world(film, ctem={"objective_mrad": 15.0}, column=column)
    frame = SimulatedMicroscope(made).acquire(Exposure(field_of_view_nm=200.0, shape=(128, 128), dwell_us=10.0))
    counts = frame.signals["CTEM"].data
    voltage_kV = SimulatedSettings.model_validate({"column": column}).column.voltage_kV
    parallel, cone = (
        float(np.exp(-50.0 * 60.0 * cross_section_nm2("Si", 15.0, 1500.0, voltage_kV, mrad))) for mrad in (0.0, 12.0)
    )
    assert counts.sum(dtype=float) / frame.electrons == pytest.approx(parallel, rel=0.01)
    assert cone < 0.95 * parallel, "the test must tell them apart"
