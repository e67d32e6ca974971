"""What an instrument can answer instead of doing what it was asked.

Every message says what was asked, what was found and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instruments.types import Optics, StagePosition


class InstrumentError(Exception):
    """Anything that kept an instrument from doing what it was asked."""


class LimitError(InstrumentError):
    """The request lies outside what is allowed, or is not a finite number. Nothing moved."""


class ReachError(InstrumentError):
    """The target was not reached within tolerance."""

    def __init__(
        self,
        message: str,
        *,
        target: StagePosition | Optics | None = None,
        readback: StagePosition | Optics | None = None,
    ) -> None:
        super().__init__(message)
        self.target = target
        self.readback = readback


class BudgetError(InstrumentError):
    """The exposure would exceed a dose, time or disk budget. The beam stayed blanked."""


class NoRoom(BudgetError):
    """No room on disk for what an exposure would give."""


class BusyError(InstrumentError):
    """The instrument cannot do this now (dewar refill, closed valve, moving stage), but may later."""

    def __init__(self, message: str, *, until_s: float | None = None) -> None:
        super().__init__(message)
        self.until_s = until_s


class Held(InstrumentError):
    """Somebody said stop: the beam stays off until this survey is begun anew."""


class NotSupported(InstrumentError):
    """This instrument, or this holder, has no such control."""


class NotCalibrated(InstrumentError):
    """The control exists, but its units are not known yet."""


class Timeout(InstrumentError):
    """No answer within the time allowed. Whether it was done is unknown: dose counts as spent."""


class Disconnected(InstrumentError):
    """The connection to the instrument is gone. Read every state again after reconnecting."""


class HardwareFault(InstrumentError):
    """The instrument reports, or behaves as if, something is broken.

    A latching fault forbids further motion and exposure until a person clears it.
    """

    def __init__(self, message: str, *, latching: bool) -> None:
        super().__init__(message)
        self.latching = latching


REFUSALS = (LimitError, BusyError, NotSupported, NotCalibrated)
"""From a driver, these promise that nothing was done; after any other, something may have been."""
