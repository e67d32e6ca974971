"""What an annular detector's hole leaves of fine detail, and where it enters images."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from instruments.simulated.incoherence import WHOLE, detail
from instruments.simulated.library import named
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

FREQUENCIES = np.array([0.0, 4.0, 8.0, 12.0])


def views() -> Views:
    return Views(
        seeds=np.array([3]),
        places_nm=np.zeros((1, 2)),
        coefficients_nm=torch.zeros(1, 8),
        electrons=torch.ones(1),
        frames=np.array([0]),
    )


def crystal(name: str, thickness_nm: float) -> Recipe:
    return Recipe(
        title=name,
        materials={name: Material(crystal=name)},
        film=Film(material=name, thickness_nm=thickness_nm, variation=0.0),
    )


def test_detail_falls_with_frequency_and_the_less_the_wider_the_hole():
    left = [detail("Sr", (inner, 250.0), 200.0, 21.4).at(FREQUENCIES) for inner in (25.0, 60.0, 150.0)]
    for each in left:
        assert each[0] == 1.0
        assert (np.diff(each) < 0).all()
    assert (left[0][1:] < left[1][1:]).all()
    assert (left[1][1:] < left[2][1:]).all()
    assert left[2] == pytest.approx(1.0, abs=0.05)


def test_the_element_matters_little():
    light, heavy = (detail(element, (60.0, 130.0), 200.0, 21.4).at(FREQUENCIES) for element in ("C", "Au"))
    assert light == pytest.approx(heavy, abs=0.03)


def test_a_ring_in_the_cone_is_left_alone():
    assert detail("Sr", (10.0, 1000.0), 200.0, 21.4) is WHOLE


@pytest.mark.parametrize("pixel_nm", [0.02, 0.1], ids=["waves", "rays"])
def test_each_signal_has_its_own_ring_s_detail(pixel_nm):
    rings = ((30.0, 200.0), (90.0, 200.0), (0.0, 1000.0))
    camera = Camera(shape=(48, 48), pixel_nm=pixel_nm, annuli_mrad=rings)
    together = Renderer(named("srtio3_on_ge"), camera).shares(views())[0]
    for n, ring in enumerate(rings):
        alone = Renderer(named("srtio3_on_ge"), camera.seeing((ring,))).shares(views())[0, 0]
        torch.testing.assert_close(together[n], alone, rtol=1e-4, atol=1e-6)


def test_a_smaller_hole_shows_less_contrast():
    seen = []
    for ring in ((30.0, 200.0), (120.0, 250.0)):
        camera = Camera(shape=(64, 64), pixel_nm=0.02, annuli_mrad=(ring,))
        image = Renderer(crystal("SrTiO3", 1.0), camera).shares(views())[0, 0]
        seen.append(float(image.std() / image.mean()))
    assert seen[0] < 0.97 * seen[1]


def test_channelling_blurs_a_thicker_crystal_more_and_keeps_its_mean():
    camera = Camera(shape=(64, 64), pixel_nm=0.02)
    for thick_nm, least in ((1.0, 0.0), (4.0, 0.05)):
        blurred, plain = (
            Renderer(crystal("SrTiO3", thick_nm), camera, channelling_nm=blur_nm).shares(views())[0, 0]
            for blur_nm in (0.0065, 0.0)
        )
        assert float(blurred.mean()) == pytest.approx(float(plain.mean()), rel=0.02)
        assert float(1 - blurred.std() / plain.std()) > least
