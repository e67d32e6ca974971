"""The library in one SQLite file: words by FTS5, settings by an R*Tree, embeddings by a matrix in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archive.durable import transaction
from archive.library_opening import open_library
from archive.library_records import LibraryError
from archive.library_rows import SETTINGS, tree_place
from archive.library_vectors import Matrix, packed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from archive.library_records import Conditions

_FEW = 2_000
"""Of more finds by words than this the newest come first, not the best match; fewer by settings are all looked at."""
_FAR = 1e8
_SLACK = 1e-5
"""Of the tree, which keeps 32 bits; the exact numbers are compared afterwards."""
_NOWHERE = 1e9
"""In the tree of settings: what nobody told lies in no range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked question, as engines take it."""

    words: tuple[tuple[str, bool], ...]
    """(word, whether it is only the beginning of one); all of them."""
    facets: tuple[str, ...]
    """All of them."""
    where: str
    """A condition on ``experiments e`` in words of ours, with ``values``."""
    values: tuple[Any, ...]
    ranges: Mapping[str, tuple[float | None, float | None]]
    """What of ``where`` is a range of one of ``SETTINGS``."""


class Sqlite:
    """Opens or makes the file. Raises LibraryError, OlderLibraryError as ``library_opening``."""

    def __init__(self, path: Path, *, create: bool, write: bool) -> None:
        self.path = path
        self._matrices: dict[str, Matrix] = {}
        self._database = open_library(path, create=create, write=write)

    @property
    def name(self) -> str:
        return str(self.path)

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> sqlite3.Cursor:
        return self._database.execute(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[Sqlite]:
        with transaction(self._database, self._refused):
            yield self

    def _refused(self, error: sqlite3.Error) -> LibraryError:
        return LibraryError(f"asked to write {self.path}, found: {error}; nothing of this was kept")

    def index(self, number: int, text: str, facets: Sequence[str], how: Conditions) -> None:
        self.execute("INSERT INTO words (rowid, text, facets) VALUES (?, ?, ?)", (number, text, " ".join(facets)))
        box: list[float] = []
        for name in SETTINGS:
            value = getattr(how, name)
            box += [_NOWHERE if value is None else tree_place(value)] * 2
        self.execute("INSERT INTO settings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *box))

    def unindex(self, number: int) -> None:
        self.execute("DELETE FROM words WHERE rowid = ?", (number,))
        self.execute("DELETE FROM settings WHERE id = ?", (number,))
        self.execute("DELETE FROM embeddings WHERE experiment = ?", (number,))

    def embed(self, number: int, model: str, vector: npt.ArrayLike) -> None:
        self.execute("INSERT INTO embeddings VALUES (?, ?, ?)", (number, model, packed(vector)))

    def matching(self, asked: Asked, count: int) -> list[int]:
        """Settings that few have lead: the tree gives them, and the words are looked for among them.

        Otherwise the words lead, and each of theirs is looked up until ``count`` fit.
        """
        ask, match, where, values = self.execute, _match(asked), asked.where, asked.values
        tree, corners = _tree(asked)
        if tree:
            few = [
                row[0]
                for row in ask(" ".join(["SELECT id FROM settings WHERE", tree, "LIMIT ?"]), (*corners, _FEW + 1))
            ]
            if len(few) <= _FEW:
                fit = " ".join(
                    ["SELECT e.id FROM experiments e WHERE e.id IN (SELECT value FROM json_each(?)) AND", where]
                )
                found = {row[0] for row in ask(fit, (json.dumps(few), *values))}
                if match and found:
                    found &= {row[0] for row in ask("SELECT rowid FROM words WHERE words MATCH ?", (match,))}
                return sorted(found, reverse=True)[:count]
        if not match:
            parts = ["SELECT e.id FROM experiments e WHERE", where, "ORDER BY e.id DESC LIMIT ?"]
            return [row[0] for row in ask(" ".join(parts), (*values, count))]
        (hits,) = ask(
            "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", (match, _FEW)
        ).fetchone()
        order = "ORDER BY w.rank LIMIT ?" if asked.words and hits < _FEW else "ORDER BY w.rowid DESC LIMIT ?"
        joined = "SELECT e.id FROM words w CROSS JOIN experiments e WHERE w.words MATCH ? AND e.id = w.rowid AND"
        return [row[0] for row in ask(" ".join([joined, where, order]), (match, *values, count))]

    def facet_counts(self, beginning: str) -> list[tuple[str, int]]:
        return list(
            self.execute(
                "SELECT term, doc FROM terms WHERE col = 'facets' AND term GLOB ? ORDER BY doc DESC", (f"{beginning}*",)
            )
        )

    def nearest(
        self, model: str, vector: npt.ArrayLike, count: int, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        matrix = self._matrices.setdefault(model, Matrix(model))
        return matrix.nearest(self._database, vector, count, among)

    def close(self) -> None:
        self._database.close()


def _match(asked: Asked) -> str:
    """In FTS5's own language; every word quoted, so that no person's text is taken for an operator."""
    parts = [f'text : "{word}"{"*" if beginning else ""}' for word, beginning in asked.words]
    return " AND ".join([*parts, *(f'facets : "{word}"' for word in asked.facets)])


def _tree(asked: Asked) -> tuple[str, list[float]]:
    """The ranges for the tree of settings, a little wider; empty where no setting of the tree is asked for."""
    where, corners = [], []
    for name in SETTINGS:
        least, largest = asked.ranges.get(name, (None, None))
        if least is not None or largest is not None:
            column = name.split("_")[0]
            where.append(f"{column}_low >= ? AND {column}_high <= ?")
            corners += [
                -_FAR if least is None else tree_place(least) - _SLACK,
                _FAR if largest is None else tree_place(largest) + _SLACK,
            ]
    return " AND ".join(where), corners
