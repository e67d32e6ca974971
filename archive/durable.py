"""Writes that a power cut does not undo. POSIX: a new name is durable only when its folder is synced too."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archive.errors import ArchiveError

_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def sync_file(path: Path) -> None:
    """Return when the file's bytes are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync_data(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Return when the folder's names are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents, durably. Raises FileExistsError for a file of that name."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file whole: a reader, or a crash, sees the old bytes or the new ones and nothing between."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    if durable:
        sync_file(partial)
    partial.replace(path)
    if durable:
        sync_folder(path.parent)


@contextmanager
def transaction(
    database: sqlite3.Connection, refused: Callable[[sqlite3.Error], ArchiveError]
) -> Iterator[sqlite3.Connection]:
    """All of it durable, or none of it. Raises what ``refused`` makes of SQLite's error."""
    try:
        database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise refused(error) from error
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")
