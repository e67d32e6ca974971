"""A laboratory's part in a campaign: what it may claim, what the others ask of it, and what the posterior proposes.

    entries of all laboratories ─► rights ─► cells that may be claimed ─┐
                          └─► results ─► posterior ─► gain per hour ────┴─► claim ─► survey ─► result

Everything is read out of the library anew each time, and what is told is decided and written in one transaction:
several computers of one laboratory may share a library.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.campaign_entries import AreaValue, Entry
from archive.journal import utc_now
from archive.library_campaigns import add_entry
from archive.library_records import LibraryError
from configs.settings import unknown
from surveys.campaign_standing import known, standing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from archive.campaign_entries import Kind
    from archive.library import Library
    from archive.library_engine import Engine
    from surveys.campaign_settings import CampaignSettings
    from surveys.campaign_standing import Standing

_AHEAD = 1
"""A laboratory asks others for a cell when it has so few left."""
_MOST_ASKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a cell gave."""

    value: float
    """Mean over the areas."""
    std: float
    """By the areas' scatter or by their own standard errors, whichever says more."""
    n: int
    """Places."""
    areas: tuple[AreaValue, ...] | None = None
    """One by one, where there are several."""
    hours: float
    electrons: float
    survey: str | None = None


class Member:
    """One laboratory in one campaign. Raises LibraryError where the library does not know the campaign or it."""

    def __init__(
        self, library: Library, campaign: str, laboratory: str, now_utc: Callable[[], datetime] = utc_now
    ) -> None:
        self.library = library
        self.campaign = campaign
        self.laboratory = laboratory
        self._now_utc = now_utc
        _check_part(self.standing().campaign, laboratory)

    def standing(self) -> Standing:
        """As the library knows it now."""
        return standing_of(self.library.database, self.campaign, self._now_utc())

    def proposals(self) -> list[tuple[str, float]]:
        """(cell, expected fall of the summed variance per hour) of what may be claimed here, the best first."""
        now = self.standing()
        return self._ranked(now, self._claimable(now))

    def claim(self, cell: str | None = None) -> Entry:
        """Claim a cell, by itself the one proposed first; only then is it measured.

        Raises LibraryError where it is not this laboratory's to claim.
        """
        with self.library.transaction() as database:
            now = standing_of(database, self.campaign, self._now_utc())
            if (why := now.ended()) is not None:
                raise LibraryError(f"campaign {now.campaign.name} has ended: {why}")
            open_ = self._claimable(now)
            if cell is not None and cell not in now.cells:
                raise LibraryError(f"cell {cell!r}: {unknown(cell, now.cells, 'cell')}")
            if cell is not None and cell not in open_:
                raise LibraryError(f"cell {cell} cannot be claimed by {self.laboratory}: {self._why_not(now, cell)}")
            if not open_:
                raise LibraryError(f"{self.laboratory} has no cell to claim: {self._why_none(now)}")
            chosen = cell or self._ranked(now, open_)[0][0]
            until = now.campaign.rules().lease(now.now)
            told = None if until is None else until.isoformat(timespec="seconds")
            return self._tell(database, now, "claim", cell=chosen, until_utc=told)

    def taken(self, cell: str | None = None) -> Entry:
        """The standing claim of this laboratory on the cell, or on any; else a new one, as ``claim``."""
        for name, each in self.standing().cells.items():
            if cell in (None, name) and each.claim is not None and each.claim.laboratory == self.laboratory:
                return each.claim
        return self.claim(cell)

    def measured(self, cell: str, found: Measured) -> Entry:
        """Tell a cell's result."""
        with self.library.transaction() as database:
            now = standing_of(database, self.campaign, self._now_utc())
            return self._tell(
                database, now, "result", cell=cell, value=found.value, std=found.std, n=found.n, areas=found.areas,
                hours=found.hours, electrons=found.electrons, survey=found.survey,
            )  # fmt: skip

    def holds(self, cell: str) -> bool:
        """Whether this laboratory's claim on a cell stands."""
        claim = self.standing().cells[cell].claim
        return claim is not None and claim.laboratory == self.laboratory

    def release(self, cell: str, why: str) -> Entry:
        """Give a claimed cell back. Raises LibraryError where this laboratory has not claimed it."""
        with self.library.transaction() as database:
            now = standing_of(database, self.campaign, self._now_utc())
            claim = now.cells[cell].claim if cell in now.cells else None
            if claim is None or claim.laboratory != self.laboratory:
                raise LibraryError(f"cell {cell} is not claimed by {self.laboratory}: nothing to give back")
            return self._tell(database, now, "release", cell=cell, text=why)

    def answer(self) -> list[Entry]:
        """Before a bundle is written: grant cells that others ask for and that can be spared, and ask for some."""
        with self.library.transaction() as database:
            now = standing_of(database, self.campaign, self._now_utc())
            if now.ended() is not None or now.campaign.rules().lease(now.now) is None:
                return []
            told: list[Entry] = []
            for kind, cell, to in (*self._grants(now), *self._asks(now)):
                entry = self._tell(database, now, kind, cell=cell, to=to)
                told.append(entry)
                now = replace(now, entries=(*now.entries, entry))
            return told

    def _grants(self, now: Standing) -> list[tuple[Kind, str, str | None]]:
        """Half of what is left, rounded up while a cell is being measured here."""
        own = [name for name, cell in now.cells.items() if cell.open and cell.right == self.laboratory]
        busy = any(cell.claim and cell.claim.laboratory == self.laboratory for cell in now.cells.values())
        spare = (len(own) + busy) // 2
        asks = sorted((ask for name in own for ask in now.cells[name].asks), key=lambda ask: (ask.made, ask.laboratory))
        given: dict[str, tuple[Kind, str, str | None]] = {}
        for ask in asks:
            if ask.cell is not None and ask.cell not in given and len(given) < spare:
                given[ask.cell] = ("grant", ask.cell, ask.laboratory)
        return list(given.values())

    def _asks(self, now: Standing) -> list[tuple[Kind, str, str | None]]:
        """For the cell that would teach the most, of those that others have and nobody measures."""
        if len(self._claimable(now)) > _AHEAD:
            return []
        others = [
            name
            for name, cell in now.cells.items()
            if cell.open and cell.right != self.laboratory and self.laboratory in now.campaign.able(name)
        ]
        asked = [name for name in others if any(ask.laboratory == self.laboratory for ask in now.cells[name].asks)]
        left = self._ranked(now, [name for name in others if name not in asked])
        return [("ask", name, None) for name, _ in left[: max(_MOST_ASKS - len(asked), 0)]]

    def _claimable(self, now: Standing) -> list[str]:
        if now.campaign.rules().lease(now.now) is None:
            return []
        return [name for name, cell in now.cells.items() if cell.open and cell.right == self.laboratory]

    def _ranked(self, now: Standing, cells: Sequence[str]) -> list[tuple[str, float]]:
        posterior, grid = now.posterior(), now.campaign.grid
        place, me = list(grid), [each.name for each in now.campaign.laboratories].index(self.laboratory)
        gains = [(name, posterior.gain(place.index(name), me) / self._hours(now, grid[name][1])) for name in cells]
        return sorted(gains, key=lambda each: -each[1])

    @staticmethod
    def _hours(now: Standing, condition: int) -> float:
        """Expected of a cell: what the measured ones of its condition took, else of all, else what is allowed."""
        grid = now.campaign.grid
        told = [(grid[name][1], e.hours) for name, each in now.results.items() for e in each if e.hours]
        like = [hours for column, hours in told if column == condition] or [hours for _, hours in told]
        return float(np.median(like)) if like else now.campaign.budget.hours

    def _why_not(self, now: Standing, name: str) -> str:
        cell = now.cells[name]
        if cell.results:
            return f"{cell.results[0].laboratory} has measured it"
        if cell.claim is not None:
            return f"{cell.claim.laboratory} has claimed it until {cell.claim.until_utc}"
        if cell.right != self.laboratory:
            return f"it is {cell.right}'s in this term; `adaptem campaign export` asks for cells, and takes the answer"
        return "the term is about to end, or has just begun: try again later"

    def _why_none(self, now: Standing) -> str:
        left = [cell for cell in now.cells.values() if not cell.results]
        if all(cell.claim is not None for cell in left):
            return "all that are left are being measured"
        return "exchange bundles with the others: `adaptem campaign export` asks them for some"

    def _tell(self, database: Engine, now: Standing, kind: Kind, **told: Any) -> Entry:
        own = [entry for entry in now.entries if entry.laboratory == self.laboratory]
        last = max(own, key=lambda entry: entry.number, default=None)
        utc = now.now.isoformat(timespec="milliseconds")
        return _write(self.library, database, last, campaign=self.campaign, laboratory=self.laboratory, kind=kind,
                      made_utc=utc, **told)  # fmt: skip


def start(library: Library, campaign: CampaignSettings, laboratory: str, now: datetime) -> Entry:
    """Open a campaign. Raises LibraryError where it is open, or the laboratory has no part in it."""
    _check_part(campaign, laboratory)
    opened = campaign.opened(now)
    with library.transaction() as database:
        names = [each.name for each in known(database)[0].values()]
        if campaign.name in names:
            raise LibraryError(f"campaign {campaign.name} is open: `adaptem campaign status {campaign.name}`")
        return _write(library, database, None, campaign=opened.id, laboratory=laboratory, kind="opened",
                      made_utc=now.isoformat(timespec="milliseconds"), text=opened.text)  # fmt: skip


def _check_part(campaign: CampaignSettings, laboratory: str) -> None:
    names = [each.name for each in campaign.laboratories]
    if laboratory not in names:
        raise LibraryError(f"laboratory {laboratory!r} of {campaign.name}: {unknown(laboratory, names, 'laboratory')}")


def _write(library: Library, database: Engine, last: Entry | None, **told: Any) -> Entry:
    number, previous = (1, None) if last is None else (last.number + 1, last.content)
    entry = Entry(number=number, previous=previous, **told)
    add_entry(database, entry, library.id, entry.made_utc)
    return entry
