"""Single atoms: the eikonal amplitude against Born, its own theorem, multislice; rings under a cone."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("xraydb", reason="the extra 'simulate' is not installed")

from instruments.physics import wavelength_nm
from instruments.simulated.scattering import (
    MOTT_BETHE_NM,
    REST_KEV,
    amplitude_nm,
    atomic_number,
    cross_section_nm2,
    xray_factor,
)

MULTISLICE_NM2 = {"C": 1.593e-6, "Sr": 4.817e-5, "Au": 1.372e-4}
"""abTEM 1.0.11, Lobato's potentials: 60–130 mrad under a cone of 21.4 mrad, 200 kV, sampled by 2 pm."""


def born_nm(element: str, q_per_nm: np.ndarray, voltage_kV: float) -> np.ndarray:
    s_per_A = q_per_nm / 20
    factor = MOTT_BETHE_NM * (atomic_number(element) - xray_factor(element, s_per_A)) / s_per_A**2
    return (1 + voltage_kV / REST_KEV) * factor


@pytest.mark.parametrize("voltage_kV", [60.0, 200.0, 300.0])
@pytest.mark.parametrize(("element", "within"), [("H", 1e-3), ("C", 0.02), ("O", 0.03)])
def test_light_atoms_scatter_as_first_born_says(element, within, voltage_kV):
    q = np.linspace(20e-3, 0.25, 40) / wavelength_nm(voltage_kV)
    found = np.abs(amplitude_nm(element, q, voltage_kV)) ** 2
    assert found == pytest.approx(born_nm(element, q, voltage_kV) ** 2, rel=within)


def test_heavy_atoms_scatter_less_than_first_born_says_and_not_where_only_the_nucleus_counts():
    at = wavelength_nm(200.0)
    near, far = (np.array([q]) for q in (0.08 / at, 1.0 / at))
    ratio = [float(np.abs(amplitude_nm("Pb", q, 200.0)[0]) / born_nm("Pb", q, 200.0)[0]) for q in (near, far)]
    assert ratio[0] < 0.87
    assert ratio[1] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("element", ["C", "Sr", "Au"])
def test_what_is_scattered_is_missing_ahead(element):
    """Optical theorem: σ = 2 λ Im f(0)."""
    ahead = amplitude_nm(element, np.zeros(1), 200.0)[0]
    total = cross_section_nm2(element, 0.0, 1500.0, 200.0)
    assert total == pytest.approx(2 * wavelength_nm(200.0) * ahead.imag, rel=0.003)


@pytest.mark.parametrize("element", list(MULTISLICE_NM2))
def test_a_ring_under_a_cone_gets_what_multislice_says(element):
    assert cross_section_nm2(element, 60.0, 130.0, 200.0, 21.4) == pytest.approx(MULTISLICE_NM2[element], rel=0.015)


def test_the_power_of_z_is_that_of_multislice():
    def power(sections: dict[str, float]) -> float:
        z = [atomic_number(element) for element in sections]
        return float(np.polyfit(np.log(z), np.log(list(sections.values())), 1)[0])

    ours = {element: cross_section_nm2(element, 60.0, 130.0, 200.0, 21.4) for element in MULTISLICE_NM2}
    assert power(ours) == pytest.approx(power(MULTISLICE_NM2), abs=0.01)


def test_rings_beside_each_other_add_up_under_a_cone():
    parts = sum(cross_section_nm2("Ti", *ring, 200.0, 25.0) for ring in ((50.0, 80.0), (80.0, 150.0), (150.0, 1400.0)))
    assert parts == pytest.approx(cross_section_nm2("Ti", 50.0, 1400.0, 200.0, 25.0), rel=5e-3)


def test_a_cone_is_the_mean_of_its_rays():
    ray = np.linspace(-1, 1, 61)
    x, y = (grid[np.hypot(*np.meshgrid(ray, ray)) < 1] * 20.0 for grid in np.meshgrid(ray, ray))
    radius, turn = np.meshgrid(np.linspace(60, 130, 141), np.linspace(0, 2 * np.pi, 24, endpoint=False))
    seen = []
    for dx, dy in zip(x[::7], y[::7], strict=True):
        angle = np.hypot(radius * np.cos(turn) - dx, radius * np.sin(turn) - dy) * 1e-3
        size = np.abs(amplitude_nm("Sr", 2 * np.sin(angle / 2) / wavelength_nm(200.0), 200.0)) ** 2
        seen.append(np.trapezoid((size * radius).mean(0), radius[0]) * 2 * np.pi * 1e-6)
    assert cross_section_nm2("Sr", 60.0, 130.0, 200.0, 20.0) == pytest.approx(float(np.mean(seen)), rel=0.01)
