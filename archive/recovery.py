"""What a survey's folder needs before it is written again: the same at every start, after a crash or not."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.errors import DamagedFrame

if TYPE_CHECKING:
    from pathlib import Path

    from archive.journal import Journal
    from archive.store import FrameStore

NEWEST = 128
"""Signals that are read and compared at every start; of the older ones it is asked whether they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What was found and mended."""

    lost: tuple[int, ...]
    """Exposures that were intended and not committed: their dose is spent, they are never made again."""
    damaged: tuple[str, ...]
    """Committed signals that are missing or changed, in words."""
    debris: int
    """Half-written files removed."""


def recover(journal: Journal, store: FrameStore, folder: Path) -> Recovery:
    """Bring journal and frames to a state in which every row is true. Raises JournalError for a damaged journal."""
    journal.check()
    debris = _remove_debris(folder)
    lost = journal.rows.intents()
    for exposure_id in lost:
        journal.fail(exposure_id, "the survey ended before the frame was kept; its dose counts as spent", spent=True)
    return Recovery(lost=lost, damaged=damages(journal, store), debris=debris)


def damages(journal: Journal, store: FrameStore, *, newest: int | None = NEWEST) -> tuple[str, ...]:
    """Committed signals that are missing or changed; ``newest=None`` reads and compares them all."""
    found, read = [], set()
    for stored in journal.rows.newest_signals(newest):
        read.add((stored.stream, stored.first))
        try:
            store.read(stored)
        except DamagedFrame as damage:
            found.append(str(damage))
    older: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for signal, stream, first, count in journal.rows.places():
        if (stream, first) not in read:
            older.setdefault((signal, stream), []).append((first, count))
    for (signal, stream), places in older.items():
        gone = store.missing(stream, places)
        found += [f"{signal} at {first} of frames/{stream}.zarr is missing" for first in gone]
    return tuple(found)


def _remove_debris(folder: Path) -> int:
    """Partial files of the writer that died: ours, and those zarr renames into place."""
    partial = [*folder.glob("*.partial"), *(folder / "frames").rglob("*.partial")]
    for path in partial:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return len(partial)
