"""All surveys of a parent folder in one SQLite file: a convenience that can be made again from the folders."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archive.errors import JournalError
from archive.folder import read_meta
from archive.rows import Rows, open_read_only
from archive.schema import dump

if TYPE_CHECKING:
    from types import TracebackType

_SCHEMA = """
CREATE TABLE IF NOT EXISTS surveys (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, created_utc TEXT NOT NULL,
    steps INTEGER NOT NULL, flags INTEGER NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One survey as it was when it was last registered."""

    path: Path
    created_utc: str
    steps: int
    flags: int


class Catalogue:
    """``catalogue.sqlite`` of a parent folder. Nothing on the way of an acquisition waits for it."""

    def __init__(self, parent: Path) -> None:
        """Open or make it. Raises JournalError."""
        self._parent = parent.resolve()
        path = self._parent / "catalogue.sqlite"
        try:
            self._database = sqlite3.connect(path, timeout=30.0)
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise JournalError(f"asked to open {path}, found: {error}; delete it, it can be made again") from error

    def register(self, survey: Path) -> None:
        """Add a survey's folder, or bring its entry up to date. Raises FolderError or JournalError."""
        meta = read_meta(survey)
        with closing(open_read_only(survey / "journal.sqlite")) as journal:
            rows = Rows(journal)
            steps, flags = rows.step_count(), rows.flags()
        path = str(survey.resolve())
        with self._database as database:
            (number,) = database.execute(
                "INSERT INTO surveys (path, created_utc, steps, flags) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET steps = excluded.steps, flags = excluded.flags RETURNING id",
                (path, meta.created_utc, steps, len(flags)),
            ).fetchone()
            database.execute("DELETE FROM words WHERE rowid = ?", (number,))
            text = f"{path} {dump(meta)} {dump(flags)}"
            database.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))

    def refresh(self) -> None:
        """Register every survey directly inside the parent folder."""
        for file in sorted(self._parent.glob("*/journal.sqlite")):
            self.register(file.parent)

    def surveys(self) -> tuple[Entry, ...]:
        """All of them, the newest first."""
        return self._entries("SELECT path, created_utc, steps, flags FROM surveys ORDER BY created_utc DESC, id DESC")

    def search(self, words: str) -> tuple[Entry, ...]:
        """Those whose configuration, people, sample or flags contain all the words, the best match first."""
        query = " ".join(f'"{word}"' for word in words.replace('"', " ").split())
        return self._entries(
            "SELECT path, created_utc, steps, flags FROM words JOIN surveys ON surveys.id = words.rowid"
            " WHERE words MATCH ? ORDER BY rank",
            query,
        )

    def close(self) -> None:
        """Safe twice."""
        self._database.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entries(self, sql: str, *values: str) -> tuple[Entry, ...]:
        return tuple(
            Entry(path=Path(path), created_utc=created, steps=steps, flags=flags)
            for path, created, steps, flags in self._database.execute(sql, values)
        )
