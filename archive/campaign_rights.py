"""Whose a cell is: worked out from the entries and the time alone, by a rule that every laboratory computes equally.

The time since a campaign was opened is cut into terms. In each term every cell belongs to one laboratory: to its home
in the first, to the next one that has the specimen in the second, and so on. Within a term the laboratory that has a
cell may grant it to another. It measures under a claim, whose lease ends before the term does.

So no two laboratories ever have the right to one cell at one moment, whatever happens to their messages, as long as
their clocks agree within ``clock_error_s``. What no rule gives without a live link: a result that has not arrived when
a term ends is not known, and the next laboratory measures the cell again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from archive.campaign_entries import Entry, when

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the rule needs of a campaign."""

    opened: datetime
    cells: Mapping[str, tuple[str, ...]]
    """By cell, in the campaign's order: the laboratories that can measure it, its home first."""
    term_s: float
    lease_s: float
    clock_error_s: float

    def term(self, now: datetime) -> int:
        """Which term it is, from 0; before the campaign was opened, as clocks differ, the first."""
        return max(int((now - self.opened).total_seconds() // self.term_s), 0)

    def lease(self, now: datetime) -> datetime | None:
        """Until when a claim made now would hold; None where too little of the term is left, or it has just begun."""
        begins = self.opened + timedelta(seconds=self.term(now) * self.term_s)
        ends = begins + timedelta(seconds=self.term_s - self.clock_error_s)
        until = now + timedelta(seconds=self.lease_s)
        early = self.term(now) > 0 and now < begins + timedelta(seconds=self.clock_error_s)
        return None if early or until > ends else until


@dataclass(frozen=True, slots=True)
class Cell:
    """How it stands with one cell."""

    name: str
    right: str
    """The laboratory that may claim it now."""
    claim: Entry | None
    """The one that stands: of several live ones the earliest, then the first by name."""
    results: tuple[Entry, ...]
    """The first is the earliest; more than one is a cell done twice."""
    asks: tuple[Entry, ...]
    """Of others than the laboratory that has it, the earliest first."""

    @property
    def open(self) -> bool:
        """Neither measured nor claimed."""
        return not self.results and self.claim is None


def standing(rules: Rules, entries: Sequence[Entry], now: datetime) -> dict[str, Cell]:
    """By cell, in the campaign's order. What others told, or of other cells, is passed over."""
    by_cell: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=_order):
        if entry.cell is not None and entry.laboratory in rules.cells.get(entry.cell, ()):
            by_cell[entry.cell].append(entry)
    return {name: _cell(rules, name, by_cell[name], now) for name in rules.cells}


def _order(entry: Entry) -> tuple[datetime, str, int, str]:
    return entry.made, entry.laboratory, entry.number, entry.content


def _cell(rules: Rules, name: str, told: Sequence[Entry], now: datetime) -> Cell:
    right = _right(rules, name, told, now)
    results = tuple(entry for entry in told if entry.kind == "result")
    live = [entry for entry in told if entry.kind == "claim" and _live(rules, entry, told, now)]
    asks = tuple(
        entry
        for entry in told
        if entry.kind == "ask" and entry.laboratory != right and rules.term(entry.made) == rules.term(now)
    )
    return Cell(name, right, live[0] if live else None, results, asks)


def _right(rules: Rules, name: str, told: Sequence[Entry], now: datetime) -> str:
    """The home of this term, then along the grants: each by the laboratory that had the cell, in its own order."""
    able, term = rules.cells[name], rules.term(now)
    right = able[term % len(able)]
    grants = [e for e in told if e.kind == "grant" and rules.term(e.made) == term and e.to in able]
    after: dict[str, int] = {}
    while True:
        own = [entry for entry in grants if entry.laboratory == right and entry.number > after.get(right, 0)]
        if not own:
            return right
        first = min(own, key=lambda entry: entry.number)
        after[right] = first.number
        right = str(first.to)


def _live(rules: Rules, claim: Entry, told: Sequence[Entry], now: datetime) -> bool:
    """Its lease is not over, also by a clock that is behind, and the laboratory has not given the cell back since."""
    over = when(str(claim.until_utc)) + timedelta(seconds=rules.clock_error_s)
    back = any(
        entry.kind in ("release", "result") and entry.laboratory == claim.laboratory and entry.number > claim.number
        for entry in told
    )
    return now < over and not back
