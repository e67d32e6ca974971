from __future__ import annotations

import numpy as np
import pytest

from models.focus_classical import Sweep, peak_nm, sharpness, tune

PIXEL_nm = 0.05
BAND_per_nm = (0.3, 9.0)


def grating(side=64, mean=100.0, contrast=0.5):
    x = np.arange(side)
    return mean * (1 + contrast * np.sin(2 * np.pi * 8 * x / side))[None, :] * np.ones((side, 1))


def test_sharpness_of_a_grating_is_half_its_contrast_squared():
    assert sharpness(grating(), PIXEL_nm, BAND_per_nm) == pytest.approx(0.5**2 / 2, rel=0.1)
    assert sharpness(grating() * 7, PIXEL_nm, BAND_per_nm) == pytest.approx(0.5**2 / 2, rel=0.1)


def test_noise_has_no_sharpness():
    generator = np.random.default_rng(1000)
    values = [sharpness(generator.poisson(3.0, (64, 64)), PIXEL_nm, BAND_per_nm) for _ in range(40)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert sharpness(np.zeros((64, 64)), PIXEL_nm, BAND_per_nm) == 0.0


def test_counting_noise_does_not_shift_the_sharpness():
    generator = np.random.default_rng(1001)
    noisy = [sharpness(generator.poisson(grating(mean=2.0)), PIXEL_nm, BAND_per_nm) for _ in range(40)]
    assert np.mean(noisy) == pytest.approx(0.5**2 / 2, rel=0.1)


def test_a_band_without_frequencies_is_refused():
    with pytest.raises(ValueError, match="widen it"):
        sharpness(grating(), PIXEL_nm, (50.0, 60.0))


def test_peak_of_a_gaussian_is_found_between_the_places():
    places = np.linspace(-20, 20, 9)
    found, inside = peak_nm(places, np.exp(-((places - 3.3) ** 2) / 50))
    assert inside and found == pytest.approx(3.3, abs=1e-6)


@pytest.mark.parametrize("scores", [[1.0, 2.0, 3.0], [-1.0, 2.0, -1.0], [3.0, 1.0, 3.0]])
def test_no_peak_within_is_told(scores):
    found, inside = peak_nm([-1.0, 0.0, 1.0], scores)
    assert not inside and found in (-1.0, 0.0, 1.0)


def test_sweeps_find_focus_and_astigmatism_one_after_the_other():
    truth = np.array([6.0, 2.0, -3.0, 0, 0, 0, 0, 0])
    shots = []

    def expose(settings):
        shots.append(settings)
        blur = np.square(truth + settings) @ [1, 2, 2, 0, 0, 0, 0, 0]
        return grating(mean=1e4, contrast=np.exp(-blur / 100))

    found = tune(expose, (Sweep("C10", 12, 7), Sweep("C12a", 5, 3), Sweep("C12b", 5, 3)), PIXEL_nm, BAND_per_nm)
    assert found.settled and found.images == len(shots) == 13
    np.testing.assert_allclose(found.settings_nm, -truth, atol=0.05)


@pytest.mark.parametrize("wrong", [("C11", 5.0, 3), ("C10", 0.0, 3), ("C10", float("nan"), 3), ("C10", 5.0, 1)])
def test_a_sweep_must_be_sensible(wrong):
    with pytest.raises(ValueError, match="a sweep needs"):
        Sweep(*wrong)
