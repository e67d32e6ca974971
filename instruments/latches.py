"""Latches belong to an instrument, not to a survey: a new survey's folder does not make a broken stage whole."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from configs.load import ConfigError
from instruments.errors import LimitError
from instruments.ledger_sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from instruments.ledger import Ticket
    from instruments.limits import Interlock
    from instruments.types import Exposure, Footprint, StagePosition

_SUFFIX = ".latches.sqlite"
_WAIVED = ".waived.json"


def state_folder() -> Path:
    """Where instruments' latches are kept: ``ADAPTEM_STATE``, else the place the system has for a user's state."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(os.environ.get("ADAPTEM_STATE") or Path(base) / "adaptem")


def latch_file(instrument: str, folder: Path | None = None) -> Path:
    """The file of one instrument's latches; its folder is made. Raises ConfigError for a name that is no file's."""
    if not re.fullmatch(r"[\w.-]+", instrument):
        raise ConfigError(f"an instrument named {instrument!r}: use letters, digits, dot, dash and underscore")
    folder = folder or state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{instrument}{_SUFFIX}"


def latched_instruments(folder: Path | None = None) -> dict[str, str | None]:
    """Every instrument that a guard process has had, and what it is latched for."""
    found = {}
    for path in sorted((folder or state_folder()).glob(f"*{_SUFFIX}")):
        latches = SqliteLedger(path)
        found[path.name.removesuffix(_SUFFIX)] = latches.latched()
        latches.close()
    return found


def tell_waived(instrument: str, reasons: Mapping[Interlock, str], folder: Path | None = None) -> None:
    """Keep which interlocks the latest guard process of an instrument does without, and why, for who asks."""
    (latch_file(instrument, folder).parent / f"{instrument}{_WAIVED}").write_text(json.dumps(dict(reasons)), "utf-8")


def waived_of(instrument: str, folder: Path | None = None) -> dict[str, str]:
    """What ``tell_waived`` has kept."""
    path = (folder or state_folder()) / f"{instrument}{_WAIVED}"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def clear_latches(instrument: str, person: str, reason: str, folder: Path | None = None) -> str | None:
    """A person has looked at the instrument; returns what it was latched for. Raises LimitError without a reason."""
    if not reason.strip():
        raise LimitError("a latch is cleared for a reason: say what was found at the instrument, and what was done")
    latches = SqliteLedger(latch_file(instrument, folder))
    try:
        was = latches.latched()
        latches.clear_latch(f"{person}: {reason.strip()}")
    finally:
        latches.close()
    return was


class InstrumentLedger:
    """Dose and time of a survey's specimen in one file, latches and intended tilts of the instrument in another."""

    def __init__(self, dose: SqliteLedger, latches: SqliteLedger) -> None:
        self._dose = dose
        self._latches = latches

    def reserve(self, exposure: Exposure, place: Footprint, electrons: float) -> Ticket:
        return self._dose.reserve(exposure, place, electrons)

    def settle(self, ticket: Ticket, electrons: float) -> None:
        self._dose.settle(ticket, electrons)

    def booked(self, exposure_id: int) -> bool:
        return self._dose.booked(exposure_id)

    def electrons(self) -> float:
        return self._dose.electrons()

    def fluence_e_per_A2(self, place: Footprint) -> float:
        return self._dose.fluence_e_per_A2(place)

    def time_used_s(self) -> float:
        return self._dose.time_used_s()

    def spend_time(self, duration_s: float) -> None:
        self._dose.spend_time(duration_s)

    def intend_tilt(self, tilt: StagePosition) -> None:
        self._latches.intend_tilt(tilt)

    def intended_tilt(self) -> StagePosition | None:
        return self._latches.intended_tilt()

    def latch(self, reason: str) -> None:
        self._latches.latch(reason)

    def tell_read(self, names: Set[str]) -> None:
        self._latches.tell_read(names)

    def has_read(self) -> Set[str]:
        return self._latches.has_read()

    def begin_transfer(self, what: str) -> None:
        self._latches.begin_transfer(what)

    def end_transfer(self) -> None:
        self._latches.end_transfer()

    def latched(self) -> str | None:
        return self._latches.latched() or self._dose.latched()

    def clear_latch(self, person: str) -> None:
        raise LimitError(f"{person} is to clear a latch from a survey: `adaptem guard clear --reason TEXT` does")

    def close(self) -> None:
        """Let go of both files. Safe twice."""
        for part in (self._dose, self._latches):
            part.close()
