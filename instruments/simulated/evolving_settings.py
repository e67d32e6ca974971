"""What evolves on a specimen by recipe, and by which law."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.load import Settings
from instruments.simulated.insitu_changes import (
    CoarseningSettings,
    DissolutionSettings,
    FrontSettings,
    TransformationSettings,
)
from instruments.simulated.insitu_growth import GrowthSettings
from instruments.simulated.numbers import Ratio
from instruments.simulated.recipe import Shape

PROCESSES = "growth", "dissolution", "coarsening", "transformation", "front"


class EvolvingSettings(Settings):
    """Particles of one material, and the one process that makes, unmakes or changes them."""

    material: str
    """One of the recipe's."""
    becomes: str | None = None
    """The material of the new phase, where they change phase; one of the recipe's."""
    shape: Shape = "facetted"
    height: Annotated[Ratio, Field(gt=0, le=2)] = 1.0
    """Along the beam, over the width."""
    growth: GrowthSettings | None = None
    dissolution: DissolutionSettings | None = None
    coarsening: CoarseningSettings | None = None
    transformation: TransformationSettings | None = None
    """Particle after particle changes phase by itself."""
    front: FrontSettings | None = None
    """Particles change phase while a front passes over them."""

    @model_validator(mode="after")
    def _one(self) -> EvolvingSettings:
        named = [name for name in PROCESSES if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"give one of {', '.join(PROCESSES)}; found {', '.join(named) or 'none'}")
        if (named[0] in ("transformation", "front")) != (self.becomes is not None):
            raise ValueError(
                f"{named[0]} with becomes: {self.becomes}; give becomes where the phase changes, and only there"
            )
        return self
