"""What a browser sends; an unknown field is refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Told(BaseModel):
    """The base of every body that is taken in."""

    model_config = ConfigDict(extra="forbid", strict=True)
