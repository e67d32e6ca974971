"""Where a survey's environment writes what it does, in the order that loses nothing.

intent (durable) → guard reserves dose (durable) → expose → commit (durable) → … → step (durable).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import Purpose, Step, Tag
    from instruments.types import Exposure, Footprint, Frame


class Recorder(Protocol):
    """The archive implements it; training uses ``NullRecorder``."""

    def intent(
        self, exposure: Exposure, *, purpose: Purpose, tags: tuple[Tag, ...], footprint: Footprint, specimen: str
    ) -> int:
        """Make the intention durable and return the exposure's id. Raises NoRoom without room on disk."""
        ...

    def commit(self, exposure_id: int, frame: Frame) -> None:
        """Make the frame durable, then say so."""
        ...

    def fail(self, exposure_id: int, reason: str, *, spent: bool) -> None:
        """No frame came of the intent; ``spent``: the beam may have been on."""
        ...

    def step(self, step: Step) -> None:
        """Make the step durable."""
        ...

    def event(self, kind: str, message: str, *, time_s: float, data: Mapping[str, object] | None = None) -> None:
        """Make a remark of the runner durable: fault, reply, pause, request, advice, …."""
        ...


class NullRecorder:
    """Counts exposures and keeps nothing: for training."""

    def __init__(self) -> None:
        self._next_id = 0

    def intent(
        self, exposure: Exposure, *, purpose: Purpose, tags: tuple[Tag, ...], footprint: Footprint, specimen: str
    ) -> int:
        self._next_id += 1
        return self._next_id

    def commit(self, exposure_id: int, frame: Frame) -> None:
        """Keep nothing."""

    def fail(self, exposure_id: int, reason: str, *, spent: bool) -> None:
        """Keep nothing."""

    def step(self, step: Step) -> None:
        """Keep nothing."""

    def event(self, kind: str, message: str, *, time_s: float, data: Mapping[str, object] | None = None) -> None:
        """Keep nothing."""
