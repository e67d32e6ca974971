"""What the specimen has had: dose is booked before the beam, and stays booked whatever happens after.

The guard asks and books; nobody else writes. Two forms: in memory here, durable in ``instruments.ledger_sqlite``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from instruments.dose import fluence_of
from instruments.errors import LimitError
from instruments.overlap import box, deepest
from instruments.types import Exposure, Footprint, StagePosition

if TYPE_CHECKING:
    from collections.abc import Set

Ratio: TypeAlias = float


@dataclass(frozen=True, slots=True)
class Ticket:
    """One reservation."""

    key: int
    """The ledger's own number of it."""
    exposure_id: int | None
    electrons: float
    place: Footprint
    """As booked: dilated by what is not known about the stage."""


class Spent(Protocol):
    """What may be asked of a ledger by those who do not write to it."""

    def booked(self, exposure_id: int) -> bool:
        """Whether this exposure was ever reserved: then the beam may have been on, and it is never made again."""
        ...

    def electrons(self) -> float:
        """Sum of all reservations."""
        ...

    def fluence_e_per_A2(self, place: Footprint) -> float:
        """Fluence of the most exposed point inside ``place``."""
        ...

    def time_used_s(self) -> float: ...

    def latched(self) -> str | None:
        """The first reason that nobody has cleared."""
        ...

    def clear_latch(self, person: str) -> None:
        """A person has looked at the instrument. Raises LimitError without a name, or where it is not kept here."""
        ...


class Ledger(Spent, Protocol):
    """Dose, time and the latch of one specimen in one microscope."""

    def reserve(self, exposure: Exposure, place: Footprint, electrons: float) -> Ticket:
        """Book an exposure before its beam; durable on return where the ledger is.

        ``place`` gets the exposure's mean fluence everywhere, so dilating it only adds. Raises LimitError where
        the exposure's id has been booked before or a number is not finite, BudgetError where it cannot be written.
        """
        ...

    def settle(self, ticket: Ticket, electrons: float) -> None:
        """The exposure ended as planned, and this is what it took of what was reserved: the rest is free again.

        A reservation that is never settled is spent as it was booked. Raises LimitError for more than that.
        """
        ...

    def spend_time(self, duration_s: float) -> None: ...

    def intend_tilt(self, tilt: StagePosition) -> None:
        """Where the tilts will be; durable before they move, so that who comes after a crash knows a pole touch."""
        ...

    def intended_tilt(self) -> StagePosition | None:
        """The last intention; None before the first, and after a person has looked."""
        ...

    def latch(self, reason: str) -> None:
        """Forbid motion and exposure until a person clears it; outlives the process where the ledger does."""
        ...

    def tell_read(self, names: Set[str]) -> None:
        """What has read once is lacking when it does not, also for who comes after; forgotten with ``clear_latch``."""
        ...

    def has_read(self) -> Set[str]:
        """All of what ``tell_read`` was told."""
        ...

    def begin_transfer(self, what: str) -> None:
        """A specimen is on its way: latched until ``end_transfer``, so that who comes after a crash does not go on."""
        ...

    def end_transfer(self) -> None:
        """It is where it should be, or nothing was moved."""
        ...


class MemoryLedger:
    """For simulation and training. Footprints lie in square grids, one grid per size (next power of two)."""

    def __init__(self) -> None:
        self._booked: list[tuple[Footprint, float]] = []
        self._settled: set[int] = set()
        self._ids: set[int] = set()
        self._grids: dict[int, _Grid] = {}
        self._electrons = 0.0
        self._time_used_s = 0.0
        self._tilt: StagePosition | None = None
        self._latched: str | None = None
        self._transfer: str | None = None
        self._read: set[str] = set()

    def reserve(self, exposure: Exposure, place: Footprint, electrons: float) -> Ticket:
        fluence = fluence_of(exposure, place, electrons)
        if exposure.id is not None:
            if self.booked(exposure.id):
                raise LimitError(twice(exposure.id))
            self._ids.add(exposure.id)
        key = len(self._booked)
        self._booked.append((place, fluence))
        self._electrons += electrons
        bounds = box(place)
        level = math.ceil(math.log2(max(bounds[1] - bounds[0], bounds[3] - bounds[2])))
        self._grids.setdefault(level, _Grid(2.0**level)).add(key, bounds)
        return Ticket(key, exposure.id, electrons, place)

    def settle(self, ticket: Ticket, electrons: float) -> None:
        taken = taken_of(ticket, electrons)
        if ticket.key not in self._settled:
            self._settled.add(ticket.key)
            place, fluence = self._booked[ticket.key]
            self._booked[ticket.key] = (place, fluence * taken)
            self._electrons += electrons - ticket.electrons

    def booked(self, exposure_id: int) -> bool:
        return exposure_id in self._ids

    def electrons(self) -> float:
        return self._electrons

    def fluence_e_per_A2(self, place: Footprint) -> float:
        bounds = box(place)
        near = [self._booked[key] for grid in self._grids.values() for key in grid.near(bounds)]
        return deepest(place, near)

    def time_used_s(self) -> float:
        return self._time_used_s

    def spend_time(self, duration_s: float) -> None:
        self._time_used_s += duration_of(duration_s)

    def intend_tilt(self, tilt: StagePosition) -> None:
        self._tilt = StagePosition(alpha_deg=tilt.alpha_deg, beta_deg=tilt.beta_deg)

    def intended_tilt(self) -> StagePosition | None:
        return self._tilt

    def latch(self, reason: str) -> None:
        self._latched = self._latched or reason

    def tell_read(self, names: Set[str]) -> None:
        self._read |= names

    def has_read(self) -> Set[str]:
        return frozenset(self._read)

    def begin_transfer(self, what: str) -> None:
        self._transfer = on_its_way(what)

    def end_transfer(self) -> None:
        self._transfer = None

    def latched(self) -> str | None:
        return self._latched or self._transfer

    def clear_latch(self, person: str) -> None:
        name_of(person)
        self._latched = self._tilt = self._transfer = None
        self._read.clear()


class _Grid:
    """Keys of boxes no larger than a cell, by the up to four cells each touches."""

    def __init__(self, cell_nm: float) -> None:
        self._cell_nm = cell_nm
        self._cells: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        self._bounds: dict[int, tuple[float, float, float, float]] = {}

    def add(self, key: int, bounds: tuple[float, float, float, float]) -> None:
        columns, rows = self._covered(bounds)
        self._bounds[key] = bounds
        for column in columns:
            for row in rows:
                self._cells[column, row].append(key)

    def near(self, bounds: tuple[float, float, float, float]) -> list[int]:
        """Keys of the boxes that overlap ``bounds``, in the order they came."""
        columns, rows = self._covered(bounds)
        keys: set[int] | dict[int, tuple[float, float, float, float]] = self._bounds
        if len(columns) * len(rows) < len(self._bounds):
            keys = {key for column in columns for row in rows for key in self._cells.get((column, row), ())}
        left, right, low, high = bounds
        found = []
        for key in sorted(keys):
            left1, right1, low1, high1 = self._bounds[key]
            if left1 < right and left < right1 and low1 < high and low < high1:
                found.append(key)
        return found

    def _covered(self, bounds: tuple[float, float, float, float]) -> tuple[range, range]:
        left, right, low, high = (math.floor(side / self._cell_nm) for side in bounds)
        return range(left, right + 1), range(low, high + 1)


def taken_of(ticket: Ticket, electrons: float) -> Ratio:
    """Which part of a reservation was spent. Raises LimitError for more than all of it, or less than nothing."""
    if not 0 <= electrons <= ticket.electrons:
        raise LimitError(f"{electrons} electrons cannot settle {ticket.electrons}: book what is beyond, on top")
    return electrons / ticket.electrons if ticket.electrons else 1.0


def duration_of(duration_s: float) -> float:
    """The duration, checked: ValueError where it is negative or not finite."""
    if not 0 <= duration_s < math.inf:
        raise ValueError(f"cannot spend {duration_s} s: time spent is finite, 0 or more")
    return duration_s


def name_of(person: str) -> str:
    """The person's name, checked: LimitError where it is empty."""
    if not person.strip():
        raise LimitError("a latch is cleared by a person: give the name of who looked at the instrument")
    return person.strip()


def on_its_way(what: str) -> str:
    """Why nothing moves and nothing is exposed while a specimen is on its way."""
    return f"{what} was begun, and nobody has seen it end: see where the specimen is"


def twice(exposure_id: int) -> str:
    """Why an exposure is not booked again."""
    return (
        f"exposure {exposure_id} was booked before, so its beam may have been on: it is never made twice; "
        "ask the recorder for a new intent"
    )
