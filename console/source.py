"""From what a person typed (a config, or any image) to the settings of a survey."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from configs.load import ConfigError, load
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG_ENDINGS = (".yaml", ".yml")


def settings_of(source: Path, sets: Sequence[str] = ()) -> SurveySettings:
    """The settings of a config, or those of the packaged replay survey with this image. Raises ConfigError."""
    if source.suffix.lower() in CONFIG_ENDINGS:
        return load(source, SurveySettings, sets)
    if not source.exists():
        raise ConfigError(f"{source}: there is no such file; give a config (.yaml) or an image")
    return load(packaged("survey_replay.yaml"), SurveySettings, (f"instrument.image={json.dumps(str(source))}", *sets))


def packaged(name: str) -> Path:
    """A config that comes with adaptem."""
    return Path(str(resources.files("configs").joinpath(name)))
