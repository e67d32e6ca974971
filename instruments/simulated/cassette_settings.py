"""What an autoloader of a simulated instrument holds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.load import Settings
from instruments.simulated.numbers import Positive


class CassetteSettings(Settings):
    """What an autoloader holds."""

    specimens: Annotated[tuple[str, ...], Field(min_length=1)]
    """Their names; the first lies on the stage when the world begins."""
    transfer_s: Positive = 60.0
    """That one takes, in or out."""

    @model_validator(mode="after")
    def _told_apart(self) -> CassetteSettings:
        if len(set(self.specimens)) < len(self.specimens):
            raise ValueError(f"specimens must have names of their own, got {', '.join(self.specimens)}")
        return self
