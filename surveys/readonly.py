"""A microscope that can be read and nothing else, and the guard over it: what an adviser holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

from instruments.errors import NotSupported
from instruments.guard import Guard

if TYPE_CHECKING:
    from instruments.column import Column
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Optics, StagePosition, State

P = TypeVar("P")


class ReadOnly:
    """Implements ``Microscope``; what would write to the driver is refused, blanking is left to the operator."""

    def __init__(self, microscope: Microscope, held: Column) -> None:
        self._microscope, self._column = microscope, held

    def state(self) -> State:
        return self._microscope.state()

    def move(self, target: StagePosition) -> NoReturn:
        raise _refusal(f"a move to {target}")

    def tune(self, target: Optics) -> NoReturn:
        raise _refusal(f"a change of the optics to {target}")

    def acquire(self, exposure: Exposure) -> NoReturn:
        raise _refusal(f"exposure {exposure.id}")

    def blank(self) -> None:
        """Nothing: the beam is the operator's."""

    def close(self) -> None:
        """Let go of the column, and no more: closing the driver would blank."""
        self._column.release()

    def power(self, kind: type[P]) -> P | None:
        """None: powers write."""
        return None


class HandsOff(Guard):
    """A guard that leaves the beam to the operator, who may well have it on."""

    def _shut(self) -> None:
        """Nothing."""


def _refusal(what: str) -> NotSupported:
    return NotSupported(f"{what} was asked for, but autonomy 'advise' moves nothing: set it to confirm or auto")
