"""SQLite files that we write: durable when a transaction ends, and brought to the version that this program knows.

A file's schema_version is its ``PRAGMA user_version``; 0 is the empty file. Script i brings it from version i to i + 1.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from archive.errors import ArchiveError

_PATIENCE_S = 30.0


def make_durable(database: sqlite3.Connection, path: Path, refused: Callable[[str], ArchiveError]) -> None:
    """What is committed is on disk, and readers do not wait. Raises what ``refused`` makes of a disk that cannot."""
    mode = _with_a_log(database)
    if mode != "wal":
        raise refused(f"{path} cannot use SQLite's write-ahead log (found {mode}): put it on a local disk")
    database.execute("PRAGMA synchronous=FULL")


def _with_a_log(database: sqlite3.Connection) -> str:
    """The mode that was reached. Who changes it needs the file alone, and SQLite waits for nobody here."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return str(database.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)


def schema_version(database: sqlite3.Connection) -> int:
    """0 is an empty file."""
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def upgrade(database: sqlite3.Connection, scripts: Sequence[str], newer: Callable[[int], ArchiveError]) -> None:
    """Bring a file to the newest version, whole or not at all.

    Raises what ``newer`` makes of the version of a file that a newer program wrote; it is left as it is.
    """
    if schema_version(database) == len(scripts):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        version = schema_version(database)  # another process may have brought it there before the lock was ours
        if version > len(scripts):
            raise newer(version)
        run_scripts(database, scripts)
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def run_scripts(database: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """Those that a file lacks, inside the transaction that is open."""
    for script in scripts[schema_version(database) :]:
        for statement in _statements(script):
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {len(scripts)}")


def _statements(script: str) -> Iterator[str]:
    """One at a time: ``executescript`` would end the transaction."""
    begun = ""
    for part in script.split(";"):
        begun += part + ";"
        if sqlite3.complete_statement(begun):  # not within a comment or a trigger
            yield begun
            begun = ""
