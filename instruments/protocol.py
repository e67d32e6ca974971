"""What everything that is, or acts as, a microscope can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from instruments.ledger import Spent
    from instruments.limits import Limits
    from instruments.types import Exposure, Frame, Optics, Outcome, StagePosition, State

P = TypeVar("P")


class Microscope(Protocol):
    """Synchronous, because vendors' calls block and are bound to a thread.

    Every method may raise the errors of ``instruments.errors``. Out of range, NaN and unknown are refused before
    anything moves; nothing is ever clamped.
    """

    def state(self) -> State:
        """Read back the instrument: never the cached set-point."""
        ...

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """Move the axes that are not None; return when stopped and within tolerance."""
        ...

    def tune(self, target: Optics) -> Outcome[Optics]:
        """Set the controls that are not None; return when settled."""
        ...

    def acquire(self, exposure: Exposure) -> Frame:
        """Unblank, expose once (a frame or a burst), blank; return what every detector gave."""
        ...

    def blank(self) -> None:
        """Blank the beam: at any time, twice, after a fault."""
        ...

    def close(self) -> None:
        """Blank and let go of the instrument. Safe twice."""
        ...

    def power(self, kind: type[P]) -> P | None:
        """An optional power (``instruments.powers``), or None where this instrument or holder lacks it."""
        ...


class Guarded(Microscope, Protocol):
    """A guard, in this process (``Guard``) or in its own (``GuardClient``): all that stands between runner and beam."""

    denials: int
    """Requests that the guard itself has refused."""
    last_denial: str | None

    @property
    def limits(self) -> Limits:
        """What it refuses by."""
        ...

    @property
    def ledger(self) -> Spent:
        """What it has booked."""
        ...

    def hold(self, reason: str) -> None:
        """Blank, and refuse every exposure from now on; safe in a signal handler."""
        ...
