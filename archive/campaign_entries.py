"""What laboratories tell one another of a campaign: entries that are only ever added, never changed.

Each laboratory numbers its own entries and names the checksum of the one before, so that what is missing, changed or
told twice in two ways is seen. Which cell is whose follows from the set of entries alone (``campaign_rights``): it does
not matter in which order, how late or how often they arrive.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import TypeAdapter, ValidationError

from archive.library_records import LibraryError, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind: TypeAlias = Literal["opened", "claim", "ask", "grant", "release", "result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaValue:
    """What one of a cell's areas gave."""

    value: float
    std: float
    """Standard error within the area."""
    n: int
    """Places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that one laboratory told of one campaign."""

    campaign: str
    """SHA-256 of the campaign's text."""
    laboratory: str
    number: int
    """1, 2, … of this laboratory in this campaign."""
    previous: str | None = None
    """Checksum of this laboratory's entry before; None for its first."""
    kind: Kind
    """opened: here is the campaign. claim: we measure this cell, until then. ask: may we have this cell? grant: it is
    yours. release: we do not measure it after all. result: measured."""
    made_utc: str
    """By the laboratory's own clock."""
    cell: str | None = None
    until_utc: str | None = None
    """Of a claim: its lease."""
    to: str | None = None
    """Of a grant: which laboratory has the cell now."""
    value: float | None = None
    """Of a result, in the campaign's measure."""
    std: float | None = None
    """Standard uncertainty, without that of the laboratory's calibration."""
    n: int | None = None
    """Places that the value comes of."""
    areas: tuple[AreaValue, ...] | None = None
    """One by one, where there are several."""
    hours: float | None = None
    """Of the instrument."""
    electrons: float | None = None
    survey: str | None = None
    """The survey that measured it, as its folder is called there."""
    text: str | None = None
    """Of opened: the campaign. Of release: why."""

    @property
    def content(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(entry_json(self)).hexdigest()

    @property
    def made(self) -> datetime:
        return when(self.made_utc)


_LARGEST = 1e30
_ENTRY = TypeAdapter(Entry)
_NEEDS: dict[Kind, tuple[str, ...]] = {
    "opened": ("text",),
    "claim": ("cell", "until_utc"),
    "ask": ("cell",),
    "grant": ("cell", "to"),
    "release": ("cell", "text"),
    "result": ("cell", "value", "std", "n", "hours"),
}


def entry_json(entry: Entry) -> bytes:
    """Equal for equal entries, in every version that knows them."""
    return canonical_json(_ENTRY, entry)


def entry_of(data: str | bytes) -> Entry:
    """From its JSON. Raises LibraryError for what is none, or makes no sense."""
    try:
        return checked_entry(_ENTRY.validate_json(data))
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise LibraryError(f"no entry of a campaign can be read from {str(data[:80])!r}: {said}") from error


def checked_entry(entry: Entry) -> Entry:
    """As it is, where it makes sense. Raises LibraryError."""
    where = f"entry {entry.number} of {entry.laboratory!r} ({entry.kind})"
    if lacking := [name for name in _NEEDS[entry.kind] if getattr(entry, name) in (None, "")]:
        raise LibraryError(f"{where} lacks {', '.join(lacking)}: it was not written by adaptem")
    if not entry.campaign or not entry.laboratory or entry.number < 1 or (entry.number > 1) != bool(entry.previous):
        raise LibraryError(f"{where} does not say whose it is, or which entry went before")
    for name in ("made_utc", "until_utc"):
        if (told := getattr(entry, name)) is not None:
            try:
                when(told)
            except ValueError as error:
                raise LibraryError(f"{where}: {name} {told!r} is no time in UTC") from error
    for name in ("value", "std", "hours", "electrons"):
        number = getattr(entry, name)
        if number is not None and not (math.isfinite(number) and (name == "value" or number >= 0)):
            raise LibraryError(f"{where}: {name} is {number}; give a finite number, and none below 0 but a value")
    told = [(entry.value or 0.0, entry.std), *((area.value, area.std) for area in entry.areas or ())]
    for value, std in told:
        if not abs(value) <= _LARGEST:
            raise LibraryError(f"{where}: value is {value}: no measure of ours is so large")
        if entry.kind == "result" and not (std and 0 < std < math.inf):
            raise LibraryError(f"{where}: std is {std}; no measurement is without uncertainty")
    if entry.areas is not None and not (entry.areas and all(area.n > 0 for area in entry.areas)):
        raise LibraryError(f"{where} tells of an area without places: it was not written by adaptem")
    if entry.kind == "opened" and hashlib.sha256((entry.text or "").encode()).hexdigest() != entry.campaign:
        raise LibraryError(f"{where} tells a campaign whose checksum is another one than it says")
    return entry


def when(utc: str) -> datetime:
    """Raises ValueError for what is no time, or one without its zone."""
    told = datetime.fromisoformat(utc)
    if told.tzinfo is None:
        raise ValueError("without a time zone")
    return told.astimezone(UTC)


def gaps_and_forks(entries: Iterable[Entry]) -> list[str]:
    """In words: what is missing of a laboratory's entries, and which numbers it told in two ways."""
    by_laboratory: dict[str, dict[int, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        by_laboratory[entry.laboratory][entry.number].append(entry)
    found = []
    for laboratory, told in sorted(by_laboratory.items()):
        missing = sorted(set(range(1, max(told) + 1)) - set(told))
        if missing:
            found.append(f"{laboratory}: entries {', '.join(map(str, missing))} have not arrived")
        for number, same in sorted(told.items()):
            before = {entry.content for entry in told.get(number - 1, ())}
            if len(same) > 1:
                found.append(
                    f"{laboratory}: entry {number} is told in {len(same)} ways: two computers write in its name"
                )
            elif before and same[0].previous not in before:
                found.append(
                    f"{laboratory}: entry {number} follows another entry {number - 1} than the one that is here"
                )
    return found
