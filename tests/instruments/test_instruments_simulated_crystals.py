"""Structures along a zone axis, and how strongly their atoms scatter."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("xraydb", reason="the extra 'simulate' is not installed")

from instruments.simulated.crystals import CRYSTALS, columns
from instruments.simulated.scattering import cross_section_nm2

ZONES = ((0, 0, 1), (1, 1, 0), (1, 1, 1), (2, -1, 0))


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_projection_keeps_every_atom(name, zone):
    crystal = CRYSTALS[name]
    volume = abs(np.linalg.det(crystal.vectors_nm()))
    density = columns(crystal, zone).density_per_nm3()
    for element in {atom[0] for atom in crystal.atoms}:
        assert density[element] == pytest.approx(sum(atom[0] == element for atom in crystal.atoms) / volume, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "grams_per_cm3", "grams_per_mol"),
    [("Au", 19.3, {"Au": 196.97}), ("SrTiO3", 5.12, {"Sr": 87.62, "Ti": 47.87, "O": 16.0}), ("Fe", 7.87, {"Fe": 55.85}),
     ("MoS2", 5.06, {"Mo": 95.95, "S": 32.06}), ("CeO2", 7.22, {"Ce": 140.1, "O": 16.0}), ("Ti", 4.5, {"Ti": 47.87}),
     ("LiCoO2", 5.05, {"Li": 6.94, "Co": 58.93, "O": 16.0}), ("NbC", 7.8, {"Nb": 92.9, "C": 12.0})],
)  # fmt: skip
def test_densities_are_those_of_the_handbook(name, grams_per_cm3, grams_per_mol):
    density = columns(CRYSTALS[name], (0, 0, 1)).density_per_nm3()
    assert sum(n * grams_per_mol[element] / 602.2 for element, n in density.items()) == pytest.approx(
        grams_per_cm3, rel=0.03
    )


def test_germanium_along_110_shows_dumbbells():
    seen = columns(CRYSTALS["Ge"], (1, 1, 0))
    (ax, ay), (bx, by) = seen.cell_nm
    places = [(u * ax + v * bx, u * ay + v * by) for u, v in seen.places]
    nearest = min(np.hypot(p[0] - q[0], p[1] - q[1]) for p in places for q in places if p != q)
    assert nearest == pytest.approx(0.5658 / 4, abs=1e-3)


def test_the_zone_of_no_direction_is_refused():
    with pytest.raises(ValueError, match="not all zero"):
        columns(CRYSTALS["Au"], (0, 0, 0))


def test_high_angle_scattering_approaches_rutherford():
    # (2 γ Z / (a₀ q²))² integrated over 150…200 mrad at 200 kV, against a light atom, whose cloud hides little there
    wave_number = 2 * np.pi / 2.5079e-3
    angle = np.linspace(0.15, 0.2, 500)
    q = 2 * wave_number * np.sin(angle / 2)
    bare = (2 * 1.39139 * 6 / (0.0529177 * q**2)) ** 2
    rutherford = np.trapezoid(2 * np.pi * np.sin(angle) * bare, angle)
    assert cross_section_nm2("C", 150.0, 200.0, 200.0) == pytest.approx(rutherford, rel=0.06)


def test_heavier_atoms_scatter_by_their_atomic_number_to_almost_the_square():
    carbon, gold = (cross_section_nm2(element, 60.0, 130.0, 200.0) for element in ("C", "Au"))
    assert 1.6 < np.log(gold / carbon) / np.log(79 / 6) < 1.9


def test_what_scatters_nothing_is_refused():
    with pytest.raises(ValueError, match="0 ≤ inner < outer"):
        cross_section_nm2("Au", 200.0, 70.0, 200.0)
    with pytest.raises(ValueError, match="no chemical element"):
        cross_section_nm2("Xx", 70.0, 200.0, 200.0)
