"""Amorphous bodies: as much varies as atoms that know nothing of each other, at every scale; nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from instruments.simulated.brightfield import Phases
from instruments.simulated.recipe import Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

PER_NM3 = 100.0
PIXEL_NM, SIZE = 0.05, 512


def carbon(thickness_nm: float, **film: object) -> Recipe:
    return Recipe.model_validate(
        {
            "title": "carbon",
            "materials": {"carbon": {"atoms_per_nm3": {"C": PER_NM3}}},
            "film": {"material": "carbon", "thickness_nm": thickness_nm, "variation": 0.0, "texture": 0.0, **film},
        }
    )


def view(seed: int = 3) -> Views:
    return Views(
        seeds=np.array([seed]),
        places_nm=np.array([[1234.5, -321.0]]),
        coefficients_nm=torch.zeros(1, 8),
        electrons=torch.ones(1),
        frames=np.array([0]),
    )


def atoms_of(recipe: Recipe) -> np.ndarray:
    """(H, W) carbon atoms under each pixel."""
    return Phases(recipe, 200.0).atoms(view(), (SIZE, SIZE), PIXEL_NM)[0, 0].double().numpy()


@pytest.mark.parametrize("thickness_nm", [0.5, 3.0, 25.0])
def test_atoms_vary_as_a_poisson_number_in_squares_of_every_size(thickness_nm):
    atoms = atoms_of(carbon(thickness_nm))
    assert atoms.mean() / PIXEL_NM**2 == pytest.approx(PER_NM3 * thickness_nm, rel=0.01)
    for across in (8, 16, 32):  # of 0.4, 0.8 and 1.6 nm
        blocks = atoms.reshape(SIZE // across, across, SIZE // across, across).sum((1, 3))
        assert blocks.var() / blocks.mean() == pytest.approx(1.0, abs=0.25)


def test_atoms_keep_out_of_holes_and_the_mean_is_that_of_pixels():
    recipe = carbon(3.0, holes={"kind": "round", "pitch_nm": 20.0, "size_nm": 8.0})
    fine = Renderer(recipe, Camera(shape=(256, 256), pixel_nm=0.14, annuli_mrad=((60.0, 130.0),)))
    coarse = Renderer(recipe, Camera(shape=(224, 224), pixel_nm=0.16, annuli_mrad=((60.0, 130.0),)))
    one, two = (renderer.shares(view())[0, 0].numpy() for renderer in (fine, coarse))
    assert one.mean() == pytest.approx(two.mean(), rel=0.03)
    assert (one < 0.05 * one.mean()).mean() == pytest.approx((two < 0.05 * two.mean()).mean(), abs=0.02)
