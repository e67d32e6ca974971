"""The truth of a named specimen: where its particles are, of which class, how large, for scoring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.simulated import shapes
from instruments.simulated.packing import populations as rows_of

if TYPE_CHECKING:
    from instruments.simulated.recipe import Recipe

_INDEX = (1 << 29) - 1


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
