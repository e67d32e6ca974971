"""The truth of a named specimen: where its particles are, of which class, how large, for scoring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from instruments.simulated import shapes
from instruments.simulated.atoms import doped_cells
from instruments.simulated.crystals import CRYSTALS, columns
from instruments.simulated.packing import populations as rows_of

if TYPE_CHECKING:
    from instruments.simulated.recipe import Recipe

_INDEX = (1 << 29) - 1
_ATOMIC_NM = 20.0
"""A view of a crystalline film up to this width shows its atoms."""


@dataclass(frozen=True, slots=True)
class Particle:
    """One particle, exactly."""

    id: int
    """The same whenever it is asked for."""
    kind: str
    """The population's name."""
    x_nm: float
    y_nm: float
    size_nm: float
    """Diameter across, where it is narrowest."""
    length_nm: float
    turn_rad: float
    rare: bool


def particles(
    recipe: Recipe,
    seed: int,
    x_range_nm: tuple[float, float],
    y_range_nm: tuple[float, float],
    *,
    rare_only: bool = False,
) -> tuple[Particle, ...]:
    """All particles whose centres lie in a rectangle of places, population by population."""
    found = []
    rows = zip(recipe.populations.items(), rows_of(recipe), strict=True)
    for number, ((name, population), row) in enumerate(rows):
        if rare_only and not population.rare:
            continue
        cell = row[shapes.CELL]
        across = range(math.floor(x_range_nm[0] / cell), math.floor(x_range_nm[1] / cell) + 1)
        down = range(math.floor(y_range_nm[0] / cell), math.floor(y_range_nm[1] / cell) + 1)
        for i in across:
            for j in down:
                there, x, y, radius, turn, aspect = shapes.particle(seed, row, i, j)
                if there and x_range_nm[0] <= x < x_range_nm[1] and y_range_nm[0] <= y < y_range_nm[1]:
                    identity = number << 58 | (i & _INDEX) << 29 | j & _INDEX
                    found.append(Particle(identity, name, x, y, 2 * radius, 2 * radius * aspect, turn, population.rare))
    return tuple(found)


def dopants_nm(
    recipe: Recipe, seed: int, x_range_nm: tuple[float, float], y_range_nm: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Places of the columns that hold the dopant, in a rectangle, of a film that is one undisturbed crystal.

    Raises ValueError where the film is none: grains, dislocations and antiphase domains move columns about.
    """
    film = recipe.film
    if film is None or recipe.materials[film.material].crystal is None:
        raise ValueError(f"dopants of {recipe.title!r} were asked, and its film is no crystal")
    if film.grain_nm or film.dislocation_nm or film.antiphase_nm:
        raise ValueError(f"dopants of {recipe.title!r} were asked, and its film is not one undisturbed crystal")
    material = recipe.materials[film.material]
    seen = columns(CRYSTALS[str(material.crystal)], material.zone)
    turn = math.radians(film.angle_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    (ax, ay), (bx, by) = ((cos * x - sin * y, sin * x + cos * y) for x, y in seen.cell_nm)
    det = ax * by - ay * bx
    corners = [(x, y) for x in x_range_nm for y in y_range_nm]
    along = [(x * by - y * bx) / det for x, y in corners]
    across = [(y * ax - x * ay) / det for x, y in corners]
    cells = (
        math.floor(min(along)) - 1,
        math.ceil(max(along)) + 1,
        math.floor(min(across)) - 1,
        math.ceil(max(across)) + 1,
    )
    holds = np.array([element == material.doped for element in seen.elements])
    i, j, n = (found.astype(np.float64) for found in doped_cells(seed, *cells, holds, film.vacancy, film.dopant))
    u, v = np.array(seen.places)[n.astype(np.int64)].T
    x, y = (i + u) * ax + (j + v) * bx, (i + u) * ay + (j + v) * by
    inside = (x >= x_range_nm[0]) & (x < x_range_nm[1]) & (y >= y_range_nm[0]) & (y < y_range_nm[1])
    return tuple(zip(x[inside].tolist(), y[inside].tolist(), strict=True))


def nearest(recipe: Recipe, seed: int, width_nm: float) -> tuple[float, float]:
    """Where a view so wide shows something: (0, 0) on a crystal, else the nearest particle of the first population."""
    film = recipe.film
    is_crystal = film is not None and recipe.materials[film.material].crystal is not None
    if not recipe.populations or (is_crystal and width_nm < _ATOMIC_NM):
        return 0.0, 0.0
    kind, population = next(iter(recipe.populations.items()))
    half = 3e3 / math.sqrt(population.per_um2)
    found = [each for each in particles(recipe, seed, (-half, half), (-half, half)) if each.kind == kind]
    return min(((each.x_nm, each.y_nm) for each in found), key=lambda place: math.hypot(*place), default=(0.0, 0.0))
