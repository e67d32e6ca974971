"""What evolves on a specimen by recipe, and by which law."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.load import Settings
from instruments.simulated.insitu_changes import CoarseningSettings, DissolutionSettings
from instruments.simulated.insitu_growth import GrowthSettings
from instruments.simulated.numbers import Ratio
from instruments.simulated.recipe import Shape


class EvolvingSettings(Settings):
    """Particles of one material, and the one process that makes or unmakes them."""

    material: str
    """One of the recipe's."""
    shape: Shape = "facetted"
    height: Annotated[Ratio, Field(gt=0, le=2)] = 1.0
    """Along the beam, over the width."""
    growth: GrowthSettings | None = None
    dissolution: DissolutionSettings | None = None
    coarsening: CoarseningSettings | None = None

    @model_validator(mode="after")
    def _one(self) -> EvolvingSettings:
        named = [name for name in ("growth", "dissolution", "coarsening") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"give one of growth, dissolution, coarsening; found {', '.join(named) or 'none'}")
        return self
