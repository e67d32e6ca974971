"""The fit of one image's rings: against films whose focus is known, and images that have none."""

from __future__ import annotations

import numpy as np
import pytest
from test_models_focus_rings import CS_nm, PIXEL_nm, film

from models.ctf import ctf_fit


def image(c10_nm, electrons=60.0, seed=1000, c12_nm=(0.0, 0.0)):
    generator = np.random.default_rng(seed)
    settings = np.zeros((1, 8))
    settings[0, :3] = c10_nm, *c12_nm
    return film(generator, settings, electrons)[0]


@pytest.mark.parametrize("c10_nm", [-900.0, -420.0, 350.0])
def test_focus_and_how_far_the_rings_go(c10_nm):
    found = ctf_fit(image(c10_nm), PIXEL_nm, 200.0, c30_nm=CS_nm, amplitude_contrast=0.0, highest_per_nm=2.5)
    assert found.settled, found.reason
    assert found.defocus_nm == pytest.approx(c10_nm, abs=max(5 * found.defocus_std_nm, 5))
    assert found.score > 0.7
    assert found.resolution_nm < 0.8


def test_fewer_electrons_show_less():
    many, few = (
        ctf_fit(image(-600.0, n), PIXEL_nm, 200.0, c30_nm=CS_nm, amplitude_contrast=0.0, highest_per_nm=2.5)
        for n in (100.0, 3.0)
    )
    assert many.resolution_nm < (few.resolution_nm or np.inf)


def test_noise_has_no_rings_and_says_so():
    found = ctf_fit(np.random.default_rng(1).poisson(50.0, (512, 512)), PIXEL_nm, 200.0)
    assert not found.settled
    assert "no rings" in found.reason
    with pytest.raises(ValueError, match="one image"):
        ctf_fit(np.zeros((3, 64, 64)), PIXEL_nm, 200.0)
