"""The closed forms of probe and lattice, against sums that others make."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from instruments.aberrations import Aperture, transfer
from instruments.simulated.scattering import cross_section_nm2
from surveys.design_atom import ring_changes
from surveys.design_images import image_proposal
from surveys.design_optics import Probe, lattice_image, probe_in, sites_nm, spread
from surveys.design_question import InstrumentQuestion, Question, SpecimenQuestion

FILM = SpecimenQuestion(crystal="SrTiO3", thickness_nm=4.0)
RING = (70.0, 200.0)


@pytest.mark.parametrize("depth_nm", [0.0, 8.0])
def test_the_probe_is_that_of_a_sampled_aperture(depth_nm: float) -> None:
    probe = Probe(200.0, 21.4, depth_nm, 0.0)
    aperture = Aperture((256, 256), 0.03, 200.0, 21.4)
    depths = tuple(np.linspace(-depth_nm / 2, depth_nm / 2, 33)) if depth_nm else (0.0,)
    row = transfer(np.zeros(8), aperture, depths_nm=depths)[0, 0].real
    k = np.arange(len(row)) / (256 * 0.03)
    assert probe.transfer(k) == pytest.approx(row, abs=0.02)


def test_what_an_atom_scatters_is_all_there() -> None:
    radii = (np.arange(4000) + 0.5) * 1e-3
    density = spread(Probe(200.0, 21.4, 0.0, 0.05), radii)
    assert np.sum(density * 2 * math.pi * radii) * 1e-3 == pytest.approx(1.0, abs=0.03)


def test_a_lattice_scatters_what_its_atoms_do_and_shines_where_they_are() -> None:
    made = InstrumentQuestion()
    sections = {e: cross_section_nm2(e, *RING, 200.0, 21.4) for e in FILM.density_per_nm3()}
    cell = 0.3905 * np.stack(np.meshgrid(np.arange(16) / 16, np.arange(16) / 16), axis=-1)
    image = lattice_image(FILM, sections, probe_in(FILM, made), cell, left=RING, element="Sr")
    depth = 4.0 * sum(n * sections[e] for e, n in FILM.density_per_nm3().items())
    assert image.mean() == pytest.approx(depth, rel=1e-3)
    brightest = cell.reshape(-1, 2)[image.argmax()]
    assert brightest == pytest.approx(sites_nm(FILM, "Sr")[0], abs=1e-9)


def test_an_atom_alone_takes_from_the_middle_of_the_disc_what_it_gives_elsewhere() -> None:
    rings = ((0.0, 20.0), (20.0, 66.0))
    inner, outer = ring_changes("Au", rings, 200.0, 20.0, 0.0, (0.0, 0.3))
    assert inner[0] < 0 < outer[0]
    assert inner[0] == pytest.approx(-outer[0], rel=0.15), "what leaves the disc arrives beside it"
    assert abs(outer[1]) < 0.2 * outer[0], "far from the atom next to nothing happens"


def test_waves_of_strong_columns_are_not_foretold() -> None:
    thick = Question.model_validate(
        {
            "specimen": {"crystal": "SrTiO3", "thickness_nm": 20.0},
            "feature": {"kind": "dopant", "element": "Hf", "replaces": "Ti"},
        }
    )
    assert "no closed form" in getattr(image_proposal(thick, "BF"), "why", "")
