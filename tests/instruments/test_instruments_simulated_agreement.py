"""The simulator says of which crystals, how thick and how far from focus, its images are not to be trusted."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments.simulated.agreement import electrons_per_nm3
from instruments.simulated.darkroom import Darkroom
from instruments.simulated.picture import take
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera

HAADF, BF, ABF, WIDE = (60.0, 130.0), (0.0, 10.0), (11.0, 22.0), None
FINE = Camera(shape=(64, 64), pixel_nm=0.02)


def told(name: str, thick_nm: float, off_nm: float, ring: tuple[float, float] | None, camera: Camera = FINE) -> str:
    """What is said with the probe so far from the crystal's middle."""
    found = Darkroom(crystal(name, thick_nm)).beyond_range(camera, off_nm - thick_nm / 2, ring)
    return found or ""


def crystal(name: str, thick_nm: float) -> Recipe:
    return Recipe(
        title=name,
        materials={name: Material(crystal=name)},
        film=Film(material=name, thickness_nm=thick_nm, variation=0.0),
    )


@pytest.mark.parametrize(
    ("name", "thick_nm", "off_nm", "ring"),
    [
        ("SrTiO3", 4.0, 15.0, HAADF),
        ("SrTiO3", 7.0, 0.0, HAADF),
        ("Au", 1.0, -15.0, HAADF),
        ("Au", 2.0, 3.0, HAADF),
        ("graphene", 0.335, -19.0, HAADF),
        ("SrTiO3", 8.0, -15.0, BF),
        ("Au", 4.0, 15.0, WIDE),
        ("Au", 4.0, 4.0, ABF),
    ],
)
def test_what_agrees_with_multislice_is_not_doubted(name, thick_nm, off_nm, ring):
    assert told(name, thick_nm, off_nm, ring) == ""


@pytest.mark.parametrize(
    ("name", "thick_nm", "off_nm", "ring", "word"),
    [
        ("SrTiO3", 8.0, 9.0, HAADF, "9 nm out of focus"),
        ("SrTiO3", 12.0, 0.0, HAADF, "up to 7.1 nm"),
        ("Au", 4.0, 0.0, HAADF, "in focus"),
        ("Au", 2.0, -9.0, HAADF, "up to 1.3 nm"),
        ("Au", 6.0, 0.0, WIDE, "up to 4.3 nm"),
        ("SrTiO3", 2.0, 12.0, ABF, "next to nothing"),
        ("graphene", 0.335, 12.0, BF, "next to nothing"),
        ("SrTiO3", 4.0, 30.0, HAADF, "compared with multislice up to ± 20 nm"),
    ],
)
def test_what_does_not_agree_says_so_and_why(name, thick_nm, off_nm, ring, word):
    assert word in told(name, thick_nm, off_nm, ring)


@pytest.mark.parametrize(
    ("ring", "changes", "word"),
    [
        ((25.0, 50.0), {}, "a ring of 25–50 mrad was never compared"),
        (BF, {"voltage_kV": 300.0}, "300 kV with 21.4 mrad was never compared"),
        (WIDE, {"voltage_kV": 30.0}, "30 kV"),
        (HAADF, {"convergence_mrad": 1.5}, "1.5 mrad"),
    ],
)
def test_what_was_never_compared_is_doubted(ring, changes, word):
    assert word in told("Au", 1.0, 0.0, ring, replace(FINE, **changes))
    assert told("Au", 1.0, 0.0, ring if word[0] != "a" else HAADF) == ""


def test_a_film_off_its_zone_axis_is_doubted():
    lean = crystal("SrTiO3", 4.0)
    assert lean.film is not None
    lean = lean.model_copy(update={"film": lean.film.model_copy(update={"mistilt_deg": 0.5})})
    assert "leans by up to 0.5°" in str(Darkroom(lean).beyond_range(FINE, -2.0, HAADF))


def test_columns_that_no_pixel_shows_and_glass_are_not_doubted():
    assert told("Au", 30.0, 0.0, HAADF, Camera(shape=(64, 64), pixel_nm=1.0)) == ""
    glass = Recipe(
        title="carbon",
        materials={"c": Material(atoms_per_nm3={"C": 100.0})},
        film=Film(material="c", thickness_nm=50.0),
    )
    assert Darkroom(glass).beyond_range(FINE, 0.0, HAADF) is None


def test_electrons_are_those_of_the_cell():
    assert electrons_per_nm3(Material(crystal="Au")) == pytest.approx(4 * 79 / 0.40782**3, rel=0.01)


def test_a_picture_carries_the_doubt_of_its_own_focus():
    film = crystal("SrTiO3", 7.0)
    assert take(film, field_of_view_nm=1.0, pixels=64).doubt is None
    assert "out of focus" in str(take(film, field_of_view_nm=1.0, pixels=64, defocus_nm=-15.0).doubt)


def test_a_picture_carries_the_doubt_of_its_own_voltage_and_cone():
    film = crystal("SrTiO3", 4.0)
    assert take(film, field_of_view_nm=1.0, pixels=64).doubt is None
    assert "300 kV" in str(take(film, field_of_view_nm=1.0, pixels=64, voltage_kV=300.0).doubt)
    assert "10 mrad" in str(take(film, field_of_view_nm=1.0, pixels=64, convergence_mrad=10.0).doubt)
