"""SQLite files that are only read: beside a process that writes them, and where nobody may write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 30.0


def read_only(path: Path) -> sqlite3.Connection:
    """Open for reading, also where the folder may not be written. Raises sqlite3.Error."""
    database = reading(path, still=False)
    try:
        database.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        database.close()
        if not isinstance(error, sqlite3.OperationalError) or has_log(path):
            raise
    else:
        return database
    # the write-ahead log needs files beside the database; without one nothing stands outside the file
    database = reading(path, still=True)
    try:
        database.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def reading(path: Path, *, still: bool) -> sqlite3.Connection:
    """``still``: as it lies, without locks and without files beside it: right where nobody writes meanwhile."""
    where = f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(where, uri=True, isolation_level=None, timeout=_TIMEOUT_S)


def has_log(path: Path) -> bool:
    """Whether something stands in the write-ahead log that is not in the file yet."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def snapshot(path: Path, target: Path) -> None:
    """A copy of what is committed by now, as one file without a log beside it. Raises sqlite3.Error, OSError."""
    with closing(read_only(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
