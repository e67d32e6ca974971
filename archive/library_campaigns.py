"""Entries of campaigns in the library: added once, never changed, read in the order that their laboratories gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from archive.campaign_entries import checked_entry, entry_json, entry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.campaign_entries import Entry
    from archive.library_engine import Engine
    from archive.library_records import Added


def add_entry(database: Engine, entry: Entry, origin: str, utc: str) -> Added:
    """Within a transaction. conflict: its laboratory told the entry of that number otherwise; both are kept."""
    checked_entry(entry)
    place = (entry.campaign, entry.laboratory, entry.number)
    there = database.execute(
        "SELECT content FROM campaigns WHERE campaign = ? AND laboratory = ? AND number = ?", place
    ).fetchall()
    if (entry.content,) in there:
        return "same"
    database.execute(
        "INSERT INTO campaigns (content, campaign, laboratory, number, origin, added_utc, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.content, *place, origin, utc, entry_json(entry).decode()),
    )
    return "conflict" if there else "new"


class Askable(Protocol):
    """An open database: the library's, or a file that is only read."""

    def execute(self, sql: str, values: Sequence[Any], /) -> Any:
        """Rows."""


def entries_of(database: Askable, campaign: str | None = None) -> list[tuple[Entry, str]]:
    """(entry, origin) of one campaign, by its checksum, or of all."""
    rows = database.execute(
        "SELECT data, origin FROM campaigns WHERE campaign = coalesce(?, campaign)"
        " ORDER BY campaign, laboratory, number, content",
        (campaign,),
    )
    return [(entry_of(data), origin) for data, origin in rows]
