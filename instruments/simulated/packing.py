"""A recipe as the rows of numbers that the compiled painter reads, for the signals that are asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.simulated import atoms, film, shapes
from instruments.simulated.crystals import CRYSTALS, Columns, columns
from instruments.simulated.scattering import cross_section_nm2

if TYPE_CHECKING:
    from instruments.simulated.recipe import Material, Population, Recipe

Array: TypeAlias = npt.NDArray[np.float64]
Annulus: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Packed:
    """The painter's arguments, but for view, seed and fineness; S signals."""

    film: Array
    lattices: Array
    """(L, atoms.FIELDS)"""
    sites: Array
    """(N, 2 + S) place in the cell and cross-section in nm² per nm of thickness."""
    doped: Array
    """(N, S)"""
    paths: Array
    """(M, S) 1 / mean free path, 1/nm."""
    populations: Array
    """(P, shapes.FIELDS)"""
    volumes: Array
    """(P, 2) nm³."""
    layers: Array
    """(S,) depth of the featureless layers."""

    def arguments(self) -> tuple[Array, ...]:
        return self.film, self.lattices, self.sites, self.doped, self.paths, self.populations, self.volumes


def composition(material: Material) -> dict[str, float]:
    """Atoms per nm³ by element."""
    if material.crystal is None:
        return dict(material.atoms_per_nm3)
    return columns(CRYSTALS[material.crystal], material.zone).density_per_nm3()


def pack(recipe: Recipe, weights: dict[str, Array]) -> Packed:
    """Pack for S signals: ``weights`` gives each element's (S,) cross-section in nm², or whatever is to be summed."""
    names, index = list(recipe.materials), _lattice_index(recipe)
    lattices: list[Array] = []
    sites: list[Array] = []
    doped: list[Array] = []
    for material in recipe.materials.values():
        if material.crystal is not None:
            seen = columns(CRYSTALS[material.crystal], material.zone)
            row = np.zeros(atoms.FIELDS)
            row[[atoms.AX, atoms.AY]], row[[atoms.BX, atoms.BY]] = seen.cell_nm
            row[[atoms.FIRST, atoms.LAST]] = len(sites), len(sites) + len(seen.elements)
            lattices.append(row)
            pure = _sites(seen, weights, None, None)
            full = _sites(seen, weights, material.doped, material.dopant)
            sites += pure
            doped += [
                bare[2:] + _share(recipe, count / seen.repeat_nm) * (row[2:] - bare[2:])
                for bare, row, count in zip(pure, full, seen.atoms, strict=True)
            ]
    signals = len(next(iter(weights.values())))
    paths = [sum(n * weights[element] for element, n in composition(m).items()) for m in recipe.materials.values()]
    rows = populations(recipe)
    return Packed(
        film=_film(recipe, names, index),
        lattices=np.array(lattices).reshape(-1, atoms.FIELDS),
        sites=np.array(sites).reshape(-1, 2 + signals),
        doped=np.array(doped).reshape(-1, signals),
        paths=np.array(paths).reshape(-1, signals),
        populations=np.array(rows).reshape(-1, shapes.FIELDS),
        layers=np.array(
            sum((paths[names.index(name)] * nm for name, nm in recipe.layers_nm.items()), np.zeros(signals))
        ),
        volumes=np.array([shapes.mean_volumes_nm3(row) for row in rows]).reshape(-1, 2),
    )


def populations(recipe: Recipe) -> list[Array]:
    """A row of ``shapes.FIELDS`` numbers for each population."""
    index = _lattice_index(recipe)
    materials = recipe.materials
    return [_population(made, n, materials, index) for n, made in enumerate(recipe.populations.values())]


def _lattice_index(recipe: Recipe) -> dict[str, int]:
    """Which lattice each material has, by name; −1 is none."""
    crystals = [name for name, material in recipe.materials.items() if material.crystal is not None]
    return {name: crystals.index(name) if name in crystals else -1 for name in recipe.materials}


def elements(recipe: Recipe) -> tuple[str, ...]:
    """All that a specimen is made of, in alphabetical order."""
    found = {element for material in recipe.materials.values() for element in composition(material)}
    found |= {material.dopant for material in recipe.materials.values() if material.dopant}
    return tuple(sorted(found))


def annular_weights(
    recipe: Recipe, annuli_mrad: tuple[Annulus, ...], voltage_kV: float, convergence_mrad: float = 0.0
) -> dict[str, Array]:
    """Each element's (S,) cross-sections in nm² for scattering out of a cone onto S annuli."""
    return {
        element: np.array([cross_section_nm2(element, *ring, voltage_kV, convergence_mrad) for ring in annuli_mrad])
        for element in elements(recipe)
    }


def _sites(seen: Columns, weights: dict[str, Array], doped: str | None, dopant: str | None) -> list[Array]:
    rows = []
    for element, place, count in zip(seen.elements, seen.places, seen.atoms, strict=True):
        weight = weights[dopant if dopant is not None and element == doped else element]
        rows.append(np.concatenate([place, count / seen.repeat_nm * weight]))
    return rows


def _share(recipe: Recipe, atoms_per_nm: float) -> float:
    """Of a doped column's atoms, how many are the dopant."""
    film = recipe.film
    if film is None or film.dopant_atoms is None:
        return 1.0
    return min(1.0, film.dopant_atoms / (atoms_per_nm * film.thickness_nm))


def _film(recipe: Recipe, names: list[str], index: dict[str, int]) -> Array:
    row = np.zeros(film.FIELDS)
    if (made := recipe.film) is None:
        row[film.LATTICE] = -1
        return row
    holes = made.holes
    row[film.THICK], row[film.VARIATION], row[film.WAVE_NM] = made.thickness_nm, made.variation, made.wave_nm
    row[film.GRAIN_NM], row[film.CONTRAST] = made.grain_nm, made.grain_contrast
    row[film.SPREAD_RAD], row[film.ANGLE_RAD] = math.radians(made.misorientation_deg), math.radians(made.angle_deg)
    row[film.VACANCY], row[film.DOPANT], row[film.TEXTURE] = made.vacancy, made.dopant, made.texture
    row[film.DISLOCATION_NM], row[film.BOUNDARY_NM] = made.dislocation_nm, made.antiphase_nm
    row[film.MATERIAL], row[film.LATTICE] = names.index(made.material), index[made.material]
    crystal = recipe.materials[made.material]
    row[film.ATOMS] = sum(composition(crystal).values())
    if crystal.crystal is not None:
        row[film.BURGERS_NM] = math.hypot(*columns(CRYSTALS[crystal.crystal], crystal.zone).cell_nm[0])
    if holes is not None:
        row[film.HOLES] = film.ROUND if holes.kind == "round" else film.LACEY
        row[film.HOLE_PITCH_NM], row[film.HOLE_NM] = holes.pitch_nm, holes.size_nm
    return row


def _population(made: Population, n: int, materials: dict[str, Material], index: dict[str, int]) -> Array:
    row, names = np.zeros(shapes.FIELDS), list(materials)
    per_nm2 = made.per_um2 * 1e-6
    # at most every other cell is taken, so that clumps have room to be denser
    row[shapes.CELL] = math.sqrt(0.5 / per_nm2)
    row[shapes.CHANCE] = 0.5
    row[shapes.RADIUS], row[shapes.SPREAD] = made.radius_nm, made.spread
    row[shapes.SHAPE], row[shapes.ASPECT] = shapes.SHAPES.index(made.shape), made.aspect
    row[shapes.HEIGHT], row[shapes.INNER] = made.height, made.inner
    row[shapes.MATERIAL], row[shapes.LATTICE] = names.index(made.material), index[made.material]
    row[shapes.CORE] = names.index(made.core) if made.core is not None else -1
    row[shapes.CORE_LATTICE] = index[made.core] if made.core is not None else -1
    row[shapes.ATOMS] = sum(composition(materials[made.material]).values())
    row[shapes.CORE_ATOMS] = sum(composition(materials[made.core]).values()) if made.core is not None else 0.0
    row[shapes.CLUMP], row[shapes.CLUMP_NM] = made.clump, made.clump_nm
    row[shapes.EMBEDDED], row[shapes.TWINNED], row[shapes.STREAM] = made.embedded, made.twinned, 1000 + 10 * n
    return row
