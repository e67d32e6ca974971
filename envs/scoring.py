"""Which scorer a config asks for: the classical one, or one of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PositiveInt

from configs.errors import ConfigError
from configs.load import Settings
from configs.named import own
from envs.novelty import NoveltyScorer, NoveltySettings
from envs.property import PropertySettings

if TYPE_CHECKING:
    from envs.scorers import Scorer

MEMBERS = ("names", "describe", "observe", "interest", "state", "restore")


class OwnScorerSettings(Settings):
    """A scorer of the user's own."""

    kind: Literal["plugin"] = "plugin"
    name: str
    """FILE.py:NAME, or an entry point of ``adaptem.scorers``: ``(options) -> Scorer``."""
    options: dict[str, Any] = Field(default_factory=dict)
    signal: str | None = None
    """Detector that it reads; None = the first of a frame that is an image."""
    first_cells: PositiveInt = 24
    """Cells of a look to be seen before it calls anything unusual: only training on readings asks."""
    property: PropertySettings | None = None
    """What it reads from spectra, if it does, for an agent of kind bayesian and for the report."""


def _scorer(value: Any) -> Any:
    """By its kind; the classical one where none is named."""
    if not isinstance(value, dict):
        return value
    return (OwnScorerSettings if value.get("kind") == "plugin" else NoveltySettings).model_validate(value)


ScorerSettings: TypeAlias = Annotated[NoveltySettings | OwnScorerSettings, BeforeValidator(_scorer)]


def make_scorer(settings: NoveltySettings | OwnScorerSettings) -> Scorer:
    """A scorer that has seen nothing. Raises ConfigError for one that is not there, or is none."""
    if isinstance(settings, NoveltySettings):
        return NoveltyScorer(settings)
    made: Scorer = own(settings.name, "adaptem.scorers", (settings.options,), "scorer", MEMBERS)
    return made


def scorer_problems(settings: NoveltySettings | OwnScorerSettings) -> list[str]:
    """Why it cannot be made; empty where it can."""
    try:
        make_scorer(settings)
    except ConfigError as error:
        return [f"scorer: {error}"]
    return []
