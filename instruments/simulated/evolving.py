"""Particles that come, grow, go or change while a specimen by recipe is in the microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from instruments.simulated.hashing import uniform
from instruments.simulated.insitu_changes import Coarsening, Dissolution, Front, Transformation
from instruments.simulated.insitu_growth import Growth
from instruments.simulated.kinetics import cap_depth
from instruments.simulated.recipe import Population
from instruments.simulated.shapes import UNCHANGED

if TYPE_CHECKING:
    from instruments.simulated.conditions import Conditions
    from instruments.simulated.evolving_settings import EvolvingSettings
    from instruments.simulated.hashing import Doubles
    from instruments.simulated.insitu import Event, Process
    from instruments.simulated.numbers import Ratio
    from instruments.simulated.recipe import Recipe

Range: TypeAlias = tuple[float, float]
NAME = "evolving"
_TURN = 720
"""Stream of randomness."""
_REACH: Ratio = 1.5
"""How far a particle reaches from its centre, in radii: to the corner of a cube."""


def with_evolving(recipe: Recipe, settings: EvolvingSettings) -> Recipe:
    """The recipe with one population more, the last, of which the seed places none."""
    shape = Population(
        material=settings.material,
        per_um2=1e-9,
        radius_nm=1.0,
        spread=0.0,
        shape=settings.shape,
        height=settings.height,
    )
    changing = shape.model_copy(update={"core": settings.becomes})  # a core of no size: what has changed phase
    return recipe.model_copy(update={"populations": {**recipe.populations, NAME: changing}})


class Evolving:
    """The process of one world, and its particles as the painter takes them."""

    def __init__(self, settings: EvolvingSettings, conditions: Conditions, seed: int) -> None:
        self._seed = seed
        self.process: Process
        if settings.growth is not None:
            self.process = Growth(settings.growth, conditions, seed)
        elif settings.dissolution is not None:
            self.process = Dissolution(settings.dissolution, conditions, seed)
        elif settings.coarsening is not None:
            self.process = Coarsening(settings.coarsening, conditions, seed)
        elif settings.transformation is not None:
            self.process = Transformation(settings.transformation, conditions, seed)
        elif settings.front is not None:
            self.process = Front(settings.front, conditions, seed)
        else:
            raise ValueError("settings of something that evolves name no process")

    def guests(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Doubles:
        """(N, 6) x, y, radius in nm, turn in rad, aspect, boundary of the new phase in radii from the middle.

        Of all that may be seen in a rectangle of places at a time.
        """
        margin_nm = _REACH * self.process.largest_nm(t_s)
        wide = [(low - margin_nm, high + margin_nm) for low, high in (x_range_nm, y_range_nm)]
        found = self.process.particles(wide[0], wide[1], t_s)
        if isinstance(self.process, Front):  # the boundary in a particle moves as the front does
            turns = self.process.heading_rad(found.x_nm, found.y_nm) - np.pi / 2
        else:
            turns = 2 * np.pi * uniform(self._seed, _TURN, found.id).astype(np.float64)
        boundary = np.where(found.fraction > 0, 2 * cap_depth(found.fraction) - 1, UNCHANGED)
        return np.column_stack([found.x_nm, found.y_nm, found.radius_nm, turns, np.ones(len(turns)), boundary])

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        """What has happened there in t0 < t ≤ t1, exactly."""
        return self.process.events(x_range_nm, y_range_nm, t0_s, t1_s)
