"""A specimen of the library, or one that a person wrote down, in the microscope."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from configs.load import ConfigError, Settings, load
from instruments.simulated.evolving_settings import EvolvingSettings
from instruments.simulated.library import named
from instruments.simulated.numbers import NotNegative
from instruments.simulated.recipe import Recipe


def _recipe(value: Any) -> Any:
    """A name in the library, that of one's own, the path of a YAML file, or the recipe itself."""
    if not isinstance(value, str):
        return value
    try:
        return load(value, Recipe) if Path(value).suffix in (".yaml", ".yml") else named(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class SampleSettings(Settings):
    """A specimen by its recipe, and how it lies in the microscope."""

    recipe: Annotated[Recipe, BeforeValidator(_recipe)]
    """A name in the library (`adaptem simulate --list`), one's own (FILE.py:NAME, or an entry point of
    ``adaptem.specimens``), a YAML file, or the recipe written here."""
    slope_nm_per_um: NotNegative = 25.0
    """Tilt of the specimen plane, in a direction that the seed draws."""
    waviness_nm: NotNegative = 15.0
    """Amplitude of the film's waves, a few µm long."""
    contamination_nm: NotNegative = 1.5
    """Carbon that long exposure deposits."""

    evolves: EvolvingSettings | None = None
    """What grows, dissolves or ripens on it as the holder's conditions are; None: it stays as it is."""

    @model_validator(mode="after")
    def _of_its_materials(self) -> SampleSettings:
        named = () if self.evolves is None else (self.evolves.material, self.evolves.becomes)
        for material in named:
            if material is not None and material not in self.recipe.materials:
                raise ValueError(
                    f"what evolves is of {material!r}; the materials are {', '.join(self.recipe.materials)}"
                )
        return self

    @property
    def critical_fluence_e_per_A2(self) -> float:
        return self.recipe.critical_fluence_e_per_A2
