"""What a survey is to do: the targets, the looks it may take at them, and what it may spend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from envs.actions import Catalogue, Look
from envs.step import Purpose
from envs.targets import Floats, Ints, TargetTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.skills import Skill

Ratio: TypeAlias = float

ON_PLACE: Ratio = 0.01
"""An axis nearer to its target than this share of the target's size is left alone: moving would only add backlash."""

_ROUNDING: Ratio = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent on one specimen."""

    time_s: float
    electrons: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyTask:
    """Look at the sites worth looking at. Raises ValueError where looks and targets do not fit together."""

    tree: TargetTree
    looks: tuple[Look, ...]
    budget: Budget
    repeats: int = 1
    """How often one look may succeed at one target."""
    tries: int = 3
    """How often the looks at one target may fail before it is left alone."""
    stage_speed_nm_per_s: float = 5000.0
    """For planning: what a move costs."""
    settle_s: float = 0.5
    """For planning: what any move costs besides its distance."""

    def __post_init__(self) -> None:
        names = [look.name for look in self.looks]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a task needs looks with names of their own, got {names}")
        for look in self.looks:
            ids = self.tree.of_kind(look.level)
            width_nm, height_nm = self.tree.width_nm[ids].min(), self.tree.height_nm[ids].min()
            exposure = look.exposure
            if max(exposure.field_of_view_nm / width_nm, exposure.height_nm / height_nm) > 1 + _ROUNDING:
                raise ValueError(
                    f"look {look.name!r} sees {exposure.field_of_view_nm:g} × {exposure.height_nm:g} nm, more than a "
                    f"{look.level} of {width_nm:g} × {height_nm:g} nm: lower its field_of_view_nm or enlarge the target"
                )
        if not (self.budget.time_s > 0 and self.budget.electrons > 0):
            raise ValueError(f"{self.budget} pays for nothing: give it time_s and electrons above 0")
        if not (self.stage_speed_nm_per_s > 0 and self.settle_s >= 0 and self.repeats > 0 and self.tries > 0):
            raise ValueError("stage_speed_nm_per_s, repeats and tries must be above 0, and settle_s at least 0")

    def catalogue(self, skills: Sequence[Skill]) -> Catalogue:
        """The action space: slot == target id."""
        return Catalogue(
            slots=len(self.tree),
            looks=tuple(look.name for look in self.looks),
            skills=tuple(skill.name for skill in skills),
        )

    def look_number(self, name: str) -> int:
        """Raises ValueError for a look that the task does not have."""
        for number, look in enumerate(self.looks):
            if look.name == name:
                return number
        raise ValueError(f"this task has no look {name!r}, only {', '.join(look.name for look in self.looks)}")

    def detail_look(self, target_id: int) -> int:
        """Number of the first detail look for such a target. Raises ValueError where there is none."""
        kind = self.tree[target_id].kind
        for number, look in enumerate(self.looks):
            if look.level == kind and look.purpose is Purpose.DETAIL:
                return number
        raise ValueError(f"this task has no detail look for a {kind}, so target {target_id} cannot be a control")

    def travel_s(self, x_nm: float, y_nm: float) -> Floats:
        """(N,) expected seconds from a stage position to each target; 0 where it already is."""
        distance_nm = np.hypot(self.tree.x_nm - x_nm, self.tree.y_nm - y_nm)
        moving_s = self.settle_s + distance_nm / self.stage_speed_nm_per_s
        return np.where(distance_nm > ON_PLACE * self.tree.width_nm, moving_s, 0.0)

    def route_order(self, level: str) -> Ints:
        """(K,) target ids of a level in the order of a raster: row by row, every second row backwards."""
        ids = self.tree.of_kind(level)
        row, column = self.tree.row[ids], self.tree.column[ids]
        route: Ints = ids[np.lexsort((np.where(row % 2, -column, column), row))]
        return route
