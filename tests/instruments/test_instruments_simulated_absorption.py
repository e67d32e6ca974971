"""The mean transmission of an atom that trembles: against places drawn by chance, and in images."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from instruments.simulated.absorption import filters, transmission
from instruments.simulated.brightfield import Phases
from instruments.simulated.coherent import grating_filter
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Views
from instruments.simulated.thin import bright_field

THERMAL_NM = 0.0085
B_NM2 = 8 * math.pi**2 * THERMAL_NM**2


def test_it_is_the_mean_over_places():
    radii_nm, still = transmission("Ti", 200.0, 8 * math.pi**2 * 0.003**2)
    _, shaken = transmission("Ti", 200.0, 8 * math.pi**2 * (0.003**2 + THERMAL_NM**2))
    moved_nm = np.random.default_rng(5).normal(0, THERMAL_NM, (200_000, 2))
    for at_nm in (0.0, 0.01, 0.03):
        far_nm = np.hypot(moved_nm[:, 0] + at_nm, moved_nm[:, 1])
        mean = (np.interp(far_nm, radii_nm, still.real) + 1j * np.interp(far_nm, radii_nm, still.imag)).mean()
        here = np.interp(at_nm, radii_nm, shaken.real) + 1j * np.interp(at_nm, radii_nm, shaken.imag)
        assert abs(mean - here) < 2e-3


def test_a_light_atom_is_a_phase_object_and_a_heavy_one_is_not():
    for element, most, least in (("C", 0.006, 0.0), ("Au", 1.0, 0.3)):
        _, passing = transmission(element, 200.0, B_NM2)
        assert least < 1 - abs(passing[0]) ** 2 < most
    phase, absorption = filters("C", (32, 32), 0.02, 200.0, B_NM2, 2)
    torch.testing.assert_close(phase, grating_filter("C", (32, 32), 0.02, 200.0, B_NM2, 2), rtol=0.01, atol=0.01)
    assert 0 < float(absorption[0, 0]) < 0.01 * float(phase[0, 0])


def test_gold_in_a_bright_field_loses_what_phonons_scatter(monkeypatch):
    recipe = Recipe(
        title="gold",
        materials={"gold": Material(crystal="Au", debye_waller_nm=THERMAL_NM)},
        film=Film(material="gold", thickness_nm=2.0, variation=0.0),
    )
    views = Views(
        seeds=np.array([1]),
        places_nm=np.zeros((1, 2)),
        coefficients_nm=torch.zeros(1, 8),
        electrons=torch.ones(1),
        frames=np.array([0]),
    )
    camera = Camera(shape=(32, 32), pixel_nm=0.02, source_size_nm=0.0)
    atoms = Phases(recipe, camera.voltage_kV)
    with_phonons = bright_field(atoms, views, camera, (0.0, 43.0), thickness_nm=2.0)[0]
    transmitted = Phases.transmission

    def only_phase(self: Phases, atoms: torch.Tensor, pixel_nm: float) -> tuple[torch.Tensor, torch.Tensor]:
        phase, lost = transmitted(self, atoms, pixel_nm)
        return phase, torch.zeros_like(lost)

    monkeypatch.setattr(Phases, "transmission", only_phase)
    without = bright_field(atoms, views, camera, (0.0, 43.0), thickness_nm=2.0)[0]
    assert float(with_phonons.mean()) < 0.98 * float(without.mean())
    assert float(with_phonons.min() / without.min()) < 0.8  # where the columns are
