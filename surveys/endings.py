"""How a night may end, and what the shell is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from instruments.errors import HardwareFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archive.rows import EventRow
    from instruments.errors import InstrumentError


class Reason(StrEnum):
    """Why it ended."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    """A person asked for it."""
    INTERRUPTED = "interrupted"
    """By a signal."""
    INCOMPLETE = "incomplete"
    """No room on disk, or no success for hours."""
    SAFETY = "safety"
    """A latch: a person must look before anything moves again."""
    HARDWARE = "hardware"


EXIT_CODES = {
    Reason.COMPLETE: 0,
    Reason.SAFETY: 3,
    Reason.HARDWARE: 4,
    Reason.STOPPED: 5,
    Reason.INCOMPLETE: 5,
    Reason.INTERRUPTED: 130,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a specimen's survey ended, in a word and in a sentence."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What ``run_survey`` returns."""

    reason: Reason
    message: str
    folder: Path
    flags: int

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.reason]


def last_word(events: Iterable[EventRow]) -> EventRow | None:
    """The end of a survey, in order the last of its events that begins or ends one; flags come with it.

    None while it runs, or after it was cut off.
    """
    said = [event for event in events if event.kind in ("start", "resume", "end")]
    return said[-1] if said and said[-1].kind == "end" else None


def reason_of(error: InstrumentError) -> Reason:
    """What an error of the instrument means for the night, where nothing can be tried."""
    return Reason.SAFETY if isinstance(error, HardwareFault) and error.latching else Reason.HARDWARE
