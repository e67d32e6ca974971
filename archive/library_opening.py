"""A library's file: whether it is one, of which version, and how it is opened, for questions or for writing.

Another SQLite file is only read here: a survey's journal that was named by mistake stays as it is.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

from archive.durable import sync_folder
from archive.library_records import LibraryError, OlderLibraryError
from archive.library_schema import UPGRADES
from archive.sqlite_reading import has_log, read_only, reading
from archive.sqlite_writing import make_durable, run_scripts, schema_version

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x61644C62
"""In the file's header ("adLb"), by ``PRAGMA application_id``: libraries of before it had none."""
_TIMEOUT_S = 30.0


def open_library(path: Path, *, create: bool, write: bool) -> sqlite3.Connection:
    """``create``: made where there is none. ``write``: brought to the newest version; else the file is only read.

    Raises LibraryError: no library, of a newer adaptem, or it cannot be opened; OlderLibraryError without ``write``.
    """
    if not create and not path.is_file():
        raise LibraryError(f"asked for the library {path}, found none: `adaptem library add` makes one")
    try:
        version = _version_at(path) if path.exists() else 0
        if version == 0 and not create:
            raise LibraryError(f"asked for the library {path}, found an empty file: `adaptem library add` makes one")
        return _writable(path) if write else _only_read(path, version)
    except sqlite3.Error as error:
        raise LibraryError(
            f"asked to open {path} as a library, found: {error}; name another with --library, or restore a copy"
        ) from error
    except OSError as error:
        raise LibraryError(f"asked to open the library {path}, found: {error}; name another with --library") from error


def _version_at(path: Path) -> int:
    """The schema_version, 0 of an empty file; nothing is written, not even beside it where that can be helped."""
    try:
        with closing(reading(path, still=not has_log(path))) as database:
            return _checked_version(database, path)
    except sqlite3.DatabaseError:  # another process wrote meanwhile, and the file was read without its locks
        with closing(reading(path, still=False)) as database:
            return _checked_version(database, path)


def _only_read(path: Path, version: int) -> sqlite3.Connection:
    if version < len(UPGRADES):
        raise OlderLibraryError(
            f"the library {path} has schema_version {version}, this adaptem asks {len(UPGRADES)}: whoever may write it "
            "brings it there by `adaptem library add` or `import`; it was only read"
        )
    return read_only(path)


def _writable(path: Path) -> sqlite3.Connection:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, isolation_level=None, timeout=_TIMEOUT_S)
    try:
        make_durable(database, path, LibraryError)
        if _checked_version(database, path) < len(UPGRADES) or _mark(database) != APPLICATION_ID:
            _bring_up(database, path)
    except BaseException:
        database.close()
        raise
    if new:
        sync_folder(path.parent)
    return database


def _bring_up(database: sqlite3.Connection, path: Path) -> None:
    """Whole or not at all; looked at again, because another process may have made it since."""
    database.execute("BEGIN IMMEDIATE")
    try:
        _checked_version(database, path)
        run_scripts(database, UPGRADES)
        database.execute("INSERT OR IGNORE INTO meta VALUES ('library', ?)", (uuid.uuid4().hex,))
        database.execute("INSERT OR IGNORE INTO meta VALUES ('replaced', '0')")
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _checked_version(database: sqlite3.Connection, path: Path) -> int:
    """0 of an empty file. Raises LibraryError where it is no library, or a newer one."""
    version, mark = schema_version(database), _mark(database)
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    if not tables and not version and not mark:
        return 0
    known = mark == APPLICATION_ID or (mark == 0 and {"meta", "experiments", "words"} <= tables)
    named = known and database.execute("SELECT 1 FROM meta WHERE key = 'library'").fetchone()
    if not named:
        raise LibraryError(
            f"asked to open {path} as a library, found a database of another kind: name the library with --library; "
            "nothing was changed"
        )
    if version > len(UPGRADES):
        raise LibraryError(
            f"the library {path} has schema_version {version} and this adaptem knows up to {len(UPGRADES)}: install a "
            "newer adaptem; nothing was changed"
        )
    return version


def _mark(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA application_id").fetchone()[0])
