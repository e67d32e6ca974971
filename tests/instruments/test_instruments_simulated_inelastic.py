"""How fast electrons lose energy: against published figures and Egerton's hydrogenic model."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from configs.errors import ConfigError
from instruments.simulated import inelastic
from instruments.simulated.energies import EnergyAxis, binned

RYDBERG_EV, BOHR_NM = 13.6057, 0.0529177


def test_channels_hold_the_integral_of_what_falls_in_them():
    nodes = np.array([0.0, 2.0, 3.0, 10.0])
    density = np.array([1.0, 3.0, 0.0, 0.7])
    borders = np.linspace(-1.0, 11.0, 241)
    fine = np.linspace(0.0, 10.0, 200001)
    found = binned(density, nodes, borders)
    expected = np.trapezoid(np.interp(fine, nodes, density), fine)
    assert found.sum() == pytest.approx(expected, rel=1e-9)
    assert found[(borders[:-1] < -0.1) | (borders[:-1] >= 10)] == pytest.approx(0, abs=1e-12)
    coarse = binned(density, nodes, np.array([0.5, 1.5]))
    assert coarse[0] == pytest.approx(2.0)


def test_mean_free_paths_are_those_measured():
    """Si with large apertures: 150 nm at 200 kV, 179 nm at 300 kV (doi 10.1016/j.ultramic.2014.05.010)."""
    assert inelastic.mean_free_path_nm({"Si": 49.94}, 200.0, 100.0) == pytest.approx(150, rel=0.03)
    assert inelastic.mean_free_path_nm({"Si": 49.94}, 300.0, 100.0) == pytest.approx(179, rel=0.03)
    small, large = (inelastic.mean_free_path_nm({"Au": 59.0}, 200.0, beta) for beta in (5.0, 50.0))
    assert large < small


@pytest.mark.parametrize(
    ("element", "per_nm3", "measured_eV"),
    [("Al", 60.2, 15.0), ("Si", 49.94, 16.7), ("Mg", 43.0, 10.3), ("Be", 123.0, 18.7)],
)
def test_plasmons_are_those_of_free_electrons(element, per_nm3, measured_eV):
    assert inelastic.plasmon_eV({element: per_nm3}) == pytest.approx(measured_eV, rel=0.07)


def sigmak_nm2(z: int, onset_eV: float, window_eV: float, voltage_kV: float, collection_mrad: float) -> float:
    """Partial K-shell cross-section of the hydrogenic model SIGMAK.

    Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed., eq. 3.26 and 3.125 … 3.127.
    """
    gamma = 1 + voltage_kV / 510.999
    kinetic_eV = 510999 * (1 - gamma**-2) / 2
    charge2 = (z - 0.5) ** 2
    losses = np.linspace(onset_eV, onset_eV + window_eV, 401)[:, None]
    angles = np.linspace(0, collection_mrad * 1e-3, 2001)[None, :]
    spread = losses / (2 * gamma * kinetic_eV)
    q = gamma**2 * kinetic_eV / RYDBERG_EV * (angles**2 + spread**2) / charge2
    k2 = losses / (charge2 * RYDBERG_EV) - 1
    k = np.sqrt(np.abs(k2))
    bound = np.exp(-np.log((q + 1 - k2 + 2 * k) / np.where(k2 < 0, q + 1 - k2 - 2 * k, 1)) / k)
    angle = np.arctan2(2 * k, q - k2 + 1)
    free = np.exp(-2 * angle / k) / (1 - np.exp(-2 * np.pi / k))
    shape = np.where(k2 < 0, bound, free)
    strength = 256 * losses * (q + k2 / 3 + 1 / 3) * shape / (charge2**2 * RYDBERG_EV**2)
    strength /= ((q - k2 + 1) ** 2 + 4 * k2) ** 3
    front = 4 * BOHR_NM**2 * RYDBERG_EV**2 / (losses * kinetic_eV)
    per_eV = np.trapezoid(2 * np.pi * angles * front * strength / (angles**2 + spread**2), angles[0], axis=1)
    return float(np.trapezoid(per_eV, losses[:, 0]))


@pytest.mark.parametrize("voltage_kV", [100.0, 200.0, 300.0])
@pytest.mark.parametrize("collection_mrad", [5.0, 10.0, 30.0, 100.0])
@pytest.mark.parametrize(
    ("element", "z", "onset_eV"), [("B", 5, 188.0), ("C", 6, 284.0), ("N", 7, 401.0), ("O", 8, 532.0)]
)
def test_core_cross_sections_are_those_of_the_hydrogenic_model(element, z, onset_eV, collection_mrad, voltage_kV):
    nodes, strength = inelastic.core_strength(element)
    fine = np.linspace(onset_eV - 25, onset_eV + 50, 4001)
    per_eV = inelastic.loss_nm2_per_eV(np.interp(fine, nodes, strength), fine, voltage_kV, collection_mrad)
    # both models, in a window of 50 eV from their own onset
    rise = fine[np.searchsorted(per_eV, per_eV.max() / 2)]
    inside = (fine >= rise) & (fine <= rise + 50)
    found = np.trapezoid(per_eV[inside], fine[inside])
    assert found == pytest.approx(sigmak_nm2(z, onset_eV, 50.0, voltage_kV, collection_mrad), rel=0.15)


def test_the_carbon_k_edge_has_the_size_that_is_published():
    """1e-21 … 1e-20 cm² at 200 kV within 10 mrad and 50 eV; both models lie near 3e-21."""
    nodes, strength = inelastic.core_strength("C")
    fine = np.linspace(284.0, 334.0, 1001)
    found = np.trapezoid(inelastic.loss_nm2_per_eV(np.interp(fine, nodes, strength), fine, 200.0, 10.0), fine) * 1e-14
    assert 2e-21 < found < 5e-21


def test_oscillators_of_the_cores_are_about_as_many_as_their_electrons():
    for element, electrons in (("C", 2), ("O", 2), ("Si", 10), ("Fe", 18), ("Sr", 36)):
        nodes, strength = inelastic.core_strength(element)
        assert np.trapezoid(strength, nodes) == pytest.approx(electrons, rel=0.3)
    assert inelastic.core_strength("H")[1].max() == 0


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ((float("nan"), 1.0, 10), "offset_eV = nan"),
        ((0.0, 0.0, 10), "step_eV = 0.0 was asked; give a width"),
        ((0.0, float("nan"), 10), "step_eV = nan"),
        ((0.0, 1.0, 1), "1 channels were asked; give from 2"),
        ((0.0, 1.0, 10**9), "channels were asked"),
    ],
)
def test_an_absurd_axis_is_refused(axis, words):
    with pytest.raises(ConfigError, match=words):
        EnergyAxis(*axis)
