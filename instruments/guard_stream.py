"""What the guard makes of a stream: one exposure, judged and booked whole before its first frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from instruments.powers import HasStream
from instruments.types import Exposure, Frame

if TYPE_CHECKING:
    from instruments.types import Pixels

Exposing: TypeAlias = Callable[[Exposure, Callable[[Exposure], Frame]], Frame]
"""Books, exposes by what is handed in, blanks: as ``Guard.acquire``."""


@dataclass(frozen=True, slots=True)
class GuardedStream:
    """Its frames are handed on while the beam is on; whatever is raised then, all of the dose counts as spent."""

    camera: HasStream
    exposing: Exposing

    def stream(self, exposure: Exposure, push: Callable[[Pixels], None]) -> Frame:
        return self.exposing(exposure, lambda asked: self.camera.stream(asked, push))
