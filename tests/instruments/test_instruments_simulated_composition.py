"""Atoms of each element and thickness of each material under every pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

import torch

from configs.errors import ConfigError
from instruments.simulated.composition import Composition, Matter
from instruments.simulated.features import dopants_nm, particles
from instruments.simulated.library import SPECIMENS, named
from instruments.simulated.packing import composition
from instruments.simulated.recipe import Film, Material, Population, Recipe
from instruments.simulated.renderer import Camera, Views

CELL_NM = 0.3905


def views(n: int = 1, **changes: object) -> Views:
    made = Views(
        seeds=np.arange(n) + 3,
        places_nm=np.linspace(-500.0, 700.0, 2 * n).reshape(n, 2),
        coefficients_nm=torch.zeros(n, 8),
        electrons=torch.ones(n),
        frames=np.arange(n),
    )
    return replace(made, **changes)


def titanate(**film: object) -> Recipe:
    settings = {"material": "titanate", "thickness_nm": 4.0, "variation": 0.0, **film}
    return Recipe(
        title="a film",
        materials={
            "titanate": Material(crystal="SrTiO3", doped="Sr", dopant="La"),
            "gold": Material(crystal="Au"),
            "carbon": Material(atoms_per_nm3={"C": 100.0}),
        },
        film=Film(**settings),
    )


def atoms(matter: Matter, element: str) -> torch.Tensor:
    return matter.atoms_per_nm2[:, matter.elements.index(element)]


def thickness(matter: Matter, material: str) -> torch.Tensor:
    return matter.thickness_nm[:, matter.materials.index(material)]


@pytest.mark.parametrize("pixel_nm", [CELL_NM / 16, 0.11, 0.16, 0.5, 3.0])
def test_a_film_holds_its_density_times_its_thickness(pixel_nm):
    matter = Composition(titanate(), Camera(shape=(128, 128), pixel_nm=pixel_nm)).matter(views(2))
    cells_per_nm2 = 4.0 / CELL_NM**3
    for element, count in (("Sr", 1), ("Ti", 1), ("O", 3)):
        mean = atoms(matter, element).mean(dim=(1, 2)).tolist()
        assert mean == pytest.approx([count * cells_per_nm2] * 2, rel=0.02)
    assert float(atoms(matter, "La").abs().max()) == 0
    assert thickness(matter, "titanate").mean(dim=(1, 2)).tolist() == pytest.approx([4.0, 4.0], rel=0.02)
    assert matter.passed.unique().tolist() == [1.0]


def test_columns_of_the_elements_stand_where_the_crystal_has_them():
    """SrTiO₃ along [001]: strontium at the corners, titanium with oxygen in the middle, oxygen on the sides."""
    camera = Camera(shape=(64, 64), pixel_nm=CELL_NM / 16)
    matter = Composition(titanate(), camera).matter(views())
    strontium, titanium = atoms(matter, "Sr")[0].numpy(), atoms(matter, "Ti")[0].numpy()
    assert strontium.max() > 5 * strontium.mean()
    shifted = np.roll(strontium, (8, 8), axis=(0, 1))[16:48, 16:48]
    assert np.corrcoef(shifted.ravel(), titanium[16:48, 16:48].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("pixel_nm", [0.05, 1.0])
def test_a_particle_adds_to_a_film(pixel_nm):
    ball = {"dot": Population(material="gold", per_um2=2000.0, radius_nm=3.0)}
    with_film = titanate().model_copy(update={"populations": ball})
    alone = with_film.model_copy(update={"film": None})
    here = particles(with_film, 3, (0.0, 200.0), (0.0, 200.0))[0]
    seen, camera = views(places_nm=np.array([[here.x_nm, here.y_nm]])), Camera(shape=(64, 64), pixel_nm=pixel_nm)
    both, film, dots = (Composition(made, camera).matter(seen) for made in (with_film, titanate(), alone))
    assert float(atoms(both, "Au").max()) > 100
    # the probe is averaged over the depth of what a recipe is about, which is not the same
    for element in ("Sr", "Au"):
        parts = atoms(film, element).mean() + atoms(dots, element).mean()
        assert float(atoms(both, element).mean()) == pytest.approx(float(parts), rel=2e-3)


@pytest.mark.parametrize("pixel_nm", [0.05, 0.5])
def test_an_embedded_particle_takes_the_place_of_film(pixel_nm):
    ball = {"dot": Population(material="gold", per_um2=2000.0, radius_nm=1.5, embedded=True)}
    made = titanate(thickness_nm=20.0).model_copy(update={"populations": ball})
    here = particles(made, 3, (0.0, 200.0), (0.0, 200.0))[0]
    seen = views(places_nm=np.array([[here.x_nm, here.y_nm]]))
    matter = Composition(made, Camera(shape=(64, 64), pixel_nm=pixel_nm)).matter(seen)
    whole = (thickness(matter, "titanate") + thickness(matter, "gold")).mean()
    assert float(thickness(matter, "gold").max()) > 2
    assert float(whole) == pytest.approx(20.0, rel=0.02)


def test_dopants_and_vacancies_are_counted_also_where_no_column_shows():
    made = titanate(dopant=0.1, vacancy=0.04)
    fine = Composition(made, Camera(shape=(512, 512), pixel_nm=0.14)).matter(views())
    coarse = Composition(made, Camera(shape=(64, 64), pixel_nm=1.12)).matter(views())
    cells_per_nm2 = 4.0 / CELL_NM**3
    assert float(atoms(coarse, "La").mean()) == pytest.approx(0.1 * cells_per_nm2, rel=1e-3)
    assert float(atoms(coarse, "O").mean()) == pytest.approx(3 * (1 - 0.02) * cells_per_nm2, rel=1e-3)
    for element, rel in (("La", 0.08), ("Sr", 0.02), ("Ti", 0.02), ("O", 0.02)):
        assert float(atoms(fine, element).mean()) == pytest.approx(float(atoms(coarse, element).mean()), rel=rel)


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("pixel_nm", [0.05, 2.0])
def test_every_specimen_is_made_of_its_materials(name, pixel_nm):
    recipe = named(name)
    mapper = Composition(recipe, Camera(shape=(64, 64), pixel_nm=pixel_nm))
    matter = mapper.matter(views(2))
    assert matter.elements == mapper.elements
    assert matter.atoms_per_nm2.min() >= 0
    expected = torch.zeros_like(matter.atoms_per_nm2)
    for n, material in enumerate(recipe.materials.values()):
        for element, per_nm3 in composition(material).items():
            expected[:, matter.elements.index(element)] += per_nm3 * matter.thickness_nm[:, n]
    # dopants and elements that sit on columns of their own change single pixels, not all the atoms of a frame
    total = float(matter.atoms_per_nm2.sum())
    assert total == pytest.approx(float(expected.sum()), rel=2e-3, abs=1e-9)
    if recipe.film is None or recipe.film.dopant == 0:
        means = matter.atoms_per_nm2.mean(dim=(0, 2, 3))
        assert means.tolist() == pytest.approx(
            expected.mean(dim=(0, 2, 3)).tolist(), rel=0.02, abs=1e-3 * total / 2**13
        )


def test_layers_lie_under_every_pixel():
    matter = Composition(named("battery_liquid_cell"), Camera(shape=(32, 32), pixel_nm=0.1)).matter(views())
    assert float(thickness(matter, "water").min()) == pytest.approx(150.0)
    assert float(atoms(matter, "N").max()) == pytest.approx(60 * 58.7, rel=1e-5)


def test_grains_that_channel_hold_no_more_atoms():
    steel, camera = named("steel_lamella"), Camera(shape=(64, 64), pixel_nm=20.0)
    assert steel.film.grain_contrast > 0
    plain = steel.model_copy(update={"film": steel.film.model_copy(update={"grain_contrast": 0.0})})
    both = [Composition(made, camera).matter(views()).atoms_per_nm2 for made in (steel, plain)]
    assert torch.equal(*both)


def test_bars_stop_the_beam():
    made = named("au_on_carbon")
    on_bar = views(places_nm=np.array([[made.bars.pitch_um * 500.0, 0.0]]))
    matter = Composition(made, Camera(shape=(32, 32), pixel_nm=20.0)).matter(on_bar)
    assert float(matter.passed.max()) == pytest.approx(0, abs=1e-6)
    assert float(matter.atoms_per_nm2.max()) == pytest.approx(0, abs=1e-6)


def test_defocus_blurs_and_keeps_the_atoms():
    mapper = Composition(titanate(), Camera(shape=(128, 128), pixel_nm=CELL_NM / 16))
    blurred = torch.zeros(1, 8)
    blurred[0, 0] = 30.0
    sharp, soft = (atoms(mapper.matter(views(coefficients_nm=c)), "Sr") for c in (torch.zeros(1, 8), blurred))
    assert float(soft.std()) < 0.3 * float(sharp.std())
    assert float(soft.mean()) == pytest.approx(float(sharp.mean()), rel=0.005)


def test_a_turned_scan_sees_the_same_matter_turned():
    mapper = Composition(named("pt_on_ceria"), Camera(shape=(64, 64), pixel_nm=1.0))
    place = np.array([[30.0, 10.0]])
    straight = mapper.matter(views(places_nm=place)).atoms_per_nm2[0].numpy()
    turned = mapper.matter(views(places_nm=place, rotations_rad=np.array([np.pi / 2]))).atoms_per_nm2[0].numpy()
    assert straight.max() > 50
    assert any(np.allclose(turned, np.rot90(straight, k, axes=(1, 2)), atol=0.1) for k in (1, -1))


def test_one_view_is_the_same_alone_and_in_a_batch():
    mapper = Composition(named("pt_on_ceria"), Camera(shape=(48, 48), pixel_nm=0.1))
    both, again = mapper.matter(views(2)), mapper.matter(views(2))
    assert torch.equal(both.atoms_per_nm2, again.atoms_per_nm2)
    pair = views(2)
    alone = replace(
        views(), seeds=pair.seeds[1:], places_nm=pair.places_nm[1:], coefficients_nm=pair.coefficients_nm[1:]
    )
    assert torch.equal(both.atoms_per_nm2[1:], mapper.matter(alone).atoms_per_nm2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coefficients_nm": torch.full((1, 8), float("nan"))}, "coefficients_nm holds"),
        ({"places_nm": np.full((1, 2), np.inf)}, "places_nm holds"),
        ({"rotations_rad": np.array([np.nan])}, "rotations_rad holds"),
        ({"coefficients_nm": torch.zeros(3, 8)}, "coefficients_nm has 3 rows"),
    ],
)
def test_bad_views_are_refused(changes, words):
    mapper = Composition(titanate(), Camera(shape=(16, 16), pixel_nm=0.1))
    with pytest.raises(ConfigError, match=words):
        mapper.matter(views(**changes))


def test_matter_that_is_none_is_refused():
    good = {"elements": ("C",), "materials": ("carbon",), "passed": torch.ones(1, 2, 2),
            "atoms_per_nm2": torch.ones(1, 1, 2, 2), "thickness_nm": torch.ones(1, 1, 2, 2)}  # fmt: skip
    Matter(**good)
    for name, bad in (
        ("atoms_per_nm2", torch.full((1, 1, 2, 2), float("nan"))),
        ("atoms_per_nm2", torch.full((1, 1, 2, 2), -1.0)),
        ("thickness_nm", torch.full((1, 1, 2, 2), float("inf"))),
    ):
        with pytest.raises(ConfigError, match=f"{name} holds NaN, infinity or less than 0"):
            Matter(**{**good, name: bad})
    with pytest.raises(ConfigError, match="give float32 of"):
        Matter(**{**good, "thickness_nm": torch.ones(1, 2, 2, 2)})
    with pytest.raises(ConfigError, match="give float32 of"):
        Matter(**{**good, "atoms_per_nm2": torch.ones(1, 1, 2, 2, dtype=torch.float64)})


def test_dopants_lie_where_the_truth_says_and_are_as_many_as_asked() -> None:
    """One La in a column of ten Sr: the matter that is exchanged, and where."""
    recipe = titanate(dopant=0.08, dopant_atoms=1)
    camera = Camera(shape=(96, 96), pixel_nm=0.05, source_size_nm=0.0)
    seen = replace(views(), places_nm=np.zeros((1, 2)))
    known = dopants_nm(recipe, 3, (-2.0, 2.0), (-2.0, 2.0))
    found = atoms(Composition(recipe, camera).matter(seen), "La")[0].numpy()
    total = found.sum() * 0.05**2
    everywhere = len(dopants_nm(recipe, 3, (-2.4, 2.4), (-2.4, 2.4)))
    assert len(known) >= 2
    assert total == pytest.approx(everywhere, abs=0.8), "one atom a column; some lie across the border"
    for x, y in known:
        column, row = round(47.5 - x / 0.05), round(47.5 - y / 0.05)
        near = found[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4].sum() * 0.05**2
        assert near == pytest.approx(1.0, abs=0.35)
    with pytest.raises(ValueError, match="not one undisturbed crystal"):
        dopants_nm(titanate(dopant=0.02, grain_nm=50.0), 3, (0.0, 1.0), (0.0, 1.0))
