"""Random control sites: what an honest audit of the night is made from.

The runner draws them before the first exposure and the agent never learns of them: k of N sites, each with the same
known probability k/N. They are taken in the order drawn, at spread-out moments, so that a night that ends early still
leaves a random sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from pydantic import Field, NonNegativeInt

from configs.load import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

Ratio: TypeAlias = float


class ControlSettings(Settings):
    """How many random control sites are taken on each specimen."""

    count: NonNegativeInt | None = None
    """Sites; None = by ``fraction``."""
    fraction: Annotated[Ratio, Field(ge=0, le=1)] = 0.01
    """Of all sites; at least one unless 0."""
    seed: NonNegativeInt = 0
    """Mixed with the survey's own seed."""


@dataclass(frozen=True, slots=True)
class ControlPlan:
    """The sites drawn, in the order in which they are taken."""

    sites: tuple[int, ...]
    inclusion_probability: Ratio

    def due(self, taken: int, progress: Ratio) -> int | None:
        """The next site if its moment has come; ``progress``: share of the survey done, 0 … 1.

        >>> plan = ControlPlan((7, 3), 0.1)
        >>> plan.due(0, 0.1), plan.due(0, 0.3), plan.due(1, 0.3), plan.due(1, 0.8), plan.due(2, 1.0)
        (None, 7, None, 3, None)
        """
        if taken < len(self.sites) and progress >= (taken + 0.5) / len(self.sites):
            return self.sites[taken]
        return None


def draw(sites: Sequence[int], settings: ControlSettings, seed: int, specimen: int = 0) -> ControlPlan:
    """Draw without replacement. Raises ValueError when more controls are asked for than there are sites."""
    wanted = settings.count
    if wanted is None:
        wanted = max(round(settings.fraction * len(sites)), 1) if settings.fraction > 0 else 0
    if wanted > len(sites):
        raise ValueError(f"{wanted} controls were asked for, but there are {len(sites)} sites: lower controls.count")
    generator = np.random.default_rng((seed, settings.seed, specimen, 0xC0))
    chosen = generator.choice(np.asarray(sites), size=wanted, replace=False)
    return ControlPlan(tuple(int(site) for site in chosen), wanted / len(sites) if len(sites) else 0.0)
