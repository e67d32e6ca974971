"""Probe, focus, counting and read-out against what theory says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.clock import SimulatedClock
from instruments.simulated.column import Probe
from instruments.simulated.detector_settings import DetectorSettings
from instruments.simulated.detectors import count, read_out
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import ColumnSettings, Fault, SimulatedSettings, SpecimenSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import ELECTRONS_PER_PA_S, Exposure, Optics, StagePosition

SLOW = Exposure(field_of_view_nm=100.0, shape=(128, 128), dwell_us=40.0)
DETAIL = Exposure(field_of_view_nm=100.0, shape=(128, 128), dwell_us=8.0)


def sharpness(scope: SimulatedMicroscope) -> float:
    image = scope.acquire(SLOW).signals["HAADF"].data.astype(float)
    return float(np.mean((image[:, 2:] - image[:, :-2]) ** 2) + np.mean((image[2:] - image[:-2]) ** 2))


@settings(max_examples=25, deadline=None)
@given(st.floats(-200, 200), st.floats(-60, 60), st.floats(-60, 60))
def test_probe_has_the_covariance_it_tells(defocus_nm: float, stig_a_nm: float, stig_b_nm: float) -> None:
    probe = Probe(
        defocus_nm=defocus_nm, stig_a_nm=stig_a_nm, stig_b_nm=stig_b_nm, convergence_mrad=20, source_size_nm=0.4
    )
    spot = np.zeros((128, 128), dtype=np.float32)
    spot[64, 64] = 1
    blurred = probe.blur([spot, 2 * spot], 0.4)
    at = (np.arange(128) - 64) * 0.4
    for image, total in zip(blurred, (1, 2), strict=True):
        assert image.sum() == pytest.approx(total, rel=1e-3)
        xx, yy = (image.sum(0) * at**2).sum() / total, (image.sum(1) * at**2).sum() / total
        xy = (image * at[None, :] * at[:, None]).sum() / total
        expected = probe.covariance_nm2()
        assert (xx, yy, xy) == tuple(pytest.approx(value, abs=0.02 * (expected[0] + expected[1])) for value in expected)


def test_sharpest_where_the_truth_is_in_focus() -> None:
    lasting = SpecimenSettings(slope_nm_per_um=0, critical_fluence_e_per_A2=1e9)
    world = World(SimulatedSettings(specimen=lasting), 9, SimulatedClock())
    scope = SimulatedMicroscope(world)
    settings_nm = np.arange(-150.0, 151.0, 25.0)
    found = []
    for defocus_nm in settings_nm:
        scope.tune(Optics(defocus_nm=float(defocus_nm)))
        found.append(sharpness(scope))
    scope.tune(Optics(defocus_nm=0.0))
    assert abs(settings_nm[int(np.argmax(found))] + world.defocus_nm()) <= 25
    assert max(found) > 2 * min(found)


def test_raising_the_specimen_is_underfocus() -> None:
    world = World(SimulatedSettings(), 1, SimulatedClock())
    scope = SimulatedMicroscope(world)
    scope.move(StagePosition(x_nm=0, y_nm=0))
    before = world.defocus_nm()
    scope.move(StagePosition(z_nm=100.0))
    assert world.defocus_nm() == pytest.approx(before - 100, abs=5)


def test_focus_is_lost_by_travelling() -> None:
    world = World(SimulatedSettings(), 3, SimulatedClock())
    scope = SimulatedMicroscope(world)
    here = world.defocus_nm()
    scope.move(StagePosition(x_nm=3000.0, y_nm=3000.0))
    assert abs(world.defocus_nm() - here) > 20


@pytest.mark.parametrize("mean", [0.0, 0.03, 0.7, 5.3, 15.9, 16.1, 40.0, 900.0])
def test_counts_are_poisson(mean: float) -> None:
    counts = count(np.full((500, 500), mean, dtype=np.float32), np.random.default_rng(1))
    assert (counts == np.rint(counts)).all()
    assert counts.min() >= 0
    error = 5 * np.sqrt(mean / counts.size) + 1e-4
    assert counts.mean() == pytest.approx(mean, abs=error + 3e-4 * mean)
    assert counts.var() == pytest.approx(mean, rel=0.03, abs=1e-3)


def test_counts_of_mixed_means_are_poisson_each() -> None:
    mean = np.tile(np.array([2.0, 15.99, 16.01, 300.0], dtype=np.float32), (200_000, 1))
    counts = count(mean, np.random.default_rng(2))
    assert counts.mean(axis=0) == pytest.approx(mean[0], rel=0.01)
    assert counts.var(axis=0) == pytest.approx(mean[0], rel=0.02)


def test_read_out_has_gain_offset_noise_and_saturation() -> None:
    detector = DetectorSettings(
        gain_counts_per_electron=30, offset_counts=200, read_noise_counts=7, saturation_counts=4000
    )
    electrons = np.full((300, 300), 50.0, dtype=np.float32)
    counts = read_out(electrons, detector, np.random.default_rng(3))
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(200 + 30 * 50, abs=0.2)
    assert counts.std() == pytest.approx(7, rel=0.02)
    assert read_out(electrons * 100, detector, np.random.default_rng(3)).max() == 4000


def test_dose_has_absolute_meaning() -> None:
    """Twice the dwell gives twice the electrons, by the constants the signal carries."""
    still = SimulatedSettings(
        column=ColumnSettings(focus_offset_nm=0),
        stage=StageSettings(drift_nm=0, creep_nm=0),
        specimen=SpecimenSettings(critical_fluence_e_per_A2=1e9),
    )
    scope = SimulatedMicroscope(World(still, 5, SimulatedClock()))
    electrons = []
    for dwell_us in (4.0, 8.0):
        signal = scope.acquire(Exposure(field_of_view_nm=100.0, shape=(128, 128), dwell_us=dwell_us)).signals["BF"]
        counts = (signal.data.astype(float) - signal.calibration["offset_counts"]).mean()
        electrons.append(counts / signal.calibration["gain_counts_per_electron"])
    assert electrons[1] / electrons[0] == pytest.approx(2, rel=0.01)
    assert 0.5 < electrons[0] / (50 * ELECTRONS_PER_PA_S * 4e-6) < 1


def test_exposing_again_damages() -> None:
    tender = SpecimenSettings(critical_fluence_e_per_A2=100, heavy_per_um2=0, film_variation=0)
    world = World(SimulatedSettings(specimen=tender), 1, SimulatedClock())
    scope = SimulatedMicroscope(world)
    x, y = world.place_nm()
    first = scope.acquire(DETAIL).signals["BF"].data.astype(float)
    for _ in range(12):
        scope.acquire(DETAIL)
    last = scope.acquire(DETAIL).signals["BF"].data.astype(float)
    assert world.true_fluence_e_per_A2(x, y) == pytest.approx(14 * DETAIL.fluence_e_per_A2(50), rel=1e-6)
    contrast = [image.reshape(32, 4, 32, 4).mean(axis=(1, 3)).std() for image in (first, last)]
    assert contrast[1] < 0.75 * contrast[0]


def test_drift_shears_the_frame() -> None:
    """A slow scan over a drifting specimen ends elsewhere than it began."""
    burst = Fault(kind="drift_burst", at_s=0.0, duration_s=1000.0, drift_nm_per_s=10.0)
    slow = Exposure(field_of_view_nm=100.0, shape=(128, 128), dwell_us=100.0)
    images = []
    for faults in ((), (burst,)):
        chosen = SimulatedSettings(
            column=ColumnSettings(current_pA=2.0), stage=StageSettings(drift_nm=0), faults=faults
        )
        world = World(chosen, 1, SimulatedClock())
        images.append(SimulatedMicroscope(world).acquire(slow).signals["BF"].data.astype(float))
    still, sheared = images

    def shift(rows: slice) -> int:
        scores = [
            np.corrcoef(np.roll(still, n, 1)[rows, 30:-30].ravel(), sheared[rows, 30:-30].ravel())[0, 1]
            for n in range(-30, 31)
        ]
        return int(np.argmax(scores)) - 30

    assert shift(slice(96, 128)) - shift(slice(0, 32)) == pytest.approx(0.75 * 16.4 / 0.78, abs=3)
