"""The library on a PostgreSQL server with pgvector: one for many laboratories, with many writers.

Words are a ``tsvector`` made of the same tokens as SQLite's (letters and digits, without case and accents), facets an
array, likeness a distance of pgvector. Writers wait for one another (an advisory lock), as they do in SQLite, so that
the rules of the library need no second form. psycopg is under the LGPL and comes with the extra ``postgres``.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString

import numpy as np
import psycopg
from psycopg.conninfo import conninfo_to_dict

from archive.library_postgres_schema import UPGRADES
from archive.library_records import LibraryError, OlderLibraryError
from archive.library_vectors import RESCALE, packed, scale_of, scaled, unpacked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    from archive.library_records import Conditions
    from archive.library_sqlite import Asked
    from archive.library_vectors import Floats

_LOCK = 0x61646170
"""Of writers: "adap"."""
_FEW = 2_000
"""As in SQLite: of more finds by words than this the newest come first."""
_MARGIN = 32
_SAMPLE = 4_096
"""Vectors by which the scale of likeness is learned."""
_MOST_POSITION = 16_383
_LONGEST = 500
"""Signs of a word by which it is known; the server takes 2,046 bytes."""


class Postgres:
    """Opens or makes a library in a database of a server. Raises LibraryError."""

    def __init__(self, url: str, *, create: bool, write: bool) -> None:
        self.name = _without_password(url)
        self._scales: dict[str, tuple[Floats, Floats, int, str]] = {}
        with self._told("open"):
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=20)
        try:
            self.execute("SET synchronous_commit = on")
            if write:
                with self.transaction():
                    self._upgrade(self._version(), create=create)
            else:
                self.execute("SET default_transaction_read_only = on")
                if (found := self._version()) is None or found < len(UPGRADES):
                    raise OlderLibraryError(
                        f"the library {self.name} has schema_version {found or 0}, this adaptem asks {len(UPGRADES)}: "
                        "whoever may write it brings it there; it was only read"
                    )
        except BaseException:
            self._connection.close()
            raise

    def _version(self) -> int | None:
        """None where there is no library yet. Raises LibraryError for a newer one, or another program's tables."""
        if self.execute("SELECT 1 WHERE to_regclass('meta') IS NULL").fetchone():
            return None
        try:
            row = self.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
            version = int(row[0]) if row else -1
        except (LibraryError, ValueError):
            version = -1
        if version < 0:
            raise LibraryError(
                f"{self.name} has a table 'meta' of another program: give the library a place of its own"
            )
        if version > len(UPGRADES):
            raise LibraryError(
                f"the library {self.name} has schema_version {version} and this adaptem knows up to {len(UPGRADES)}: "
                "install a newer adaptem; nothing was changed"
            )
        return version

    def _upgrade(self, version: int | None, *, create: bool) -> None:
        if version is None:
            if not create:
                raise LibraryError(f"asked for the library {self.name}, found none: `adaptem library add` makes one")
            self.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
            rows = (("schema_version", "0"), ("library", uuid.uuid4().hex), ("replaced", "0"))
            for row in rows:
                self.execute("INSERT INTO meta VALUES (?, ?)", row)
        for script in UPGRADES[version or 0 :]:
            with self._told("upgrade"):
                self._connection.execute(script)
        self.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(len(UPGRADES)),))

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        with self._told("use"):
            return self._connection.execute(_translated(sql), values)

    @contextmanager
    def transaction(self) -> Iterator[Postgres]:
        with self._told("write"), self._connection.transaction():
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield self

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            said = " ".join(str(error).split())
            kept = "; nothing of this was kept" if what == "write" else ""
            raise LibraryError(f"asked to {what} the library {self.name}, found: {said}{kept}") from error

    def index(self, number: int, text: str, facets: Sequence[str], how: Conditions) -> None:
        """``how`` is found by the columns that the experiment has anyhow."""
        words = " ".join(f"'{word}':{min(place, _MOST_POSITION)}" for place, word in enumerate(_tokens(text), start=1))
        self.execute(
            "UPDATE experiments SET words = CAST(? AS tsvector), facets = CAST(? AS text[]) WHERE id = ?",
            (words, list(facets), number),
        )

    def unindex(self, number: int) -> None:
        """Words and facets stand in its row, and are written anew."""
        self.execute("DELETE FROM embeddings WHERE experiment = ?", (number,))

    def embed(self, number: int, model: str, vector: npt.ArrayLike) -> None:
        raw = np.asarray(vector, dtype=np.float32)
        known = np.isfinite(raw)
        filled = np.where(known, raw, 0.0)
        self.execute(
            "INSERT INTO embeddings (experiment, model, vector, filled, known)"
            " VALUES (?, ?, ?, CAST(? AS vector), CAST(? AS vector))",
            (number, model, packed(raw), _text(filled), _text(known)),
        )

    def matching(self, asked: Asked, count: int) -> list[int]:
        where, values = ["SELECT e.id FROM experiments e WHERE", asked.where], list(asked.values)
        if asked.facets:
            where.append("AND e.facets @> CAST(? AS text[])")
            values.append(list(asked.facets))
        order, last = "ORDER BY e.id DESC LIMIT ?", [count]
        if asked.words:
            phrases = [_phrase(word, beginning=beginning) for word, beginning in asked.words]
            if not all(phrases):
                return []  # a word without a letter or digit
            words = " & ".join(phrases)
            where.append("AND e.words @@ CAST(? AS tsquery)")
            values.append(words)
            counted = " ".join(["SELECT count(*) FROM (", *where, "LIMIT ?) AS few"])
            (hits,) = self.execute(counted, (*values, _FEW)).fetchone() or (0,)
            if hits < _FEW:
                order = "ORDER BY ts_rank(e.words, CAST(? AS tsquery)) DESC, e.id DESC LIMIT ?"
                last = [words, count]  # type: ignore[list-item]
        return [row[0] for row in self.execute(" ".join([*where, order]), (*values, *last))]

    def facet_counts(self, beginning: str) -> list[tuple[str, int]]:
        rows = self.execute(
            "SELECT facet, count(*) AS n FROM experiments, unnest(facets) AS facet WHERE starts_with(facet, ?)"
            " GROUP BY facet ORDER BY n DESC, facet",
            (beginning,),
        )
        return list(rows)

    def nearest(
        self, model: str, vector: npt.ArrayLike, count: int, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        """Pgvector orders by the distance in spreads; the first of them are measured again as SQLite's matrix does.

        That clips what is more than 20 spreads off, which the server does not: an experiment that is so far off in one
        number may stand lower here.
        """
        query = np.asarray(vector, dtype=np.float32)
        found = self._scale(model, len(query))
        if found is None:
            return []
        median, spread = found
        only, chosen = ("", []) if among is None else ("AND experiment = ANY(?)", [list(among)])
        sql = " ".join([
            "SELECT experiment, vector FROM embeddings WHERE model = ? AND vector_dims(filled) = ?", only,
            "ORDER BY (filled - known * CAST(? AS vector)) * CAST(? AS vector) <-> CAST(? AS vector), experiment",
            "LIMIT ?",
        ])  # fmt: skip
        target = scaled(query[None], median, spread)[0]
        asked = (_text(median), _text(1.0 / spread), _text(target), count + _MARGIN)
        rows = self.execute(sql, (model, len(query), *chosen, *asked)).fetchall()
        if not rows:
            return []
        near = scaled(np.stack([unpacked(row[1]) for row in rows]), median, spread).astype(np.float64)
        far = np.sqrt(((near - target) ** 2).mean(axis=1))
        return [(int(rows[n][0]), float(far[n])) for n in np.argsort(far, kind="stable")[:count]]

    def _scale(self, model: str, size: int) -> tuple[Floats, Floats] | None:
        """Median and spread of each number over the library; None where no such vector is there."""
        (total,) = self.execute("SELECT count(*) FROM embeddings WHERE model = ?", (model,)).fetchone() or (0,)
        (version,) = self.execute("SELECT value FROM meta WHERE key = 'replaced'").fetchone() or ("",)
        held = self._scales.get(model)
        if held is None or total > RESCALE * held[2] or version != held[3] or len(held[0]) != size:
            rows = self.execute(
                "SELECT vector FROM embeddings WHERE model = ? AND vector_dims(filled) = ?"
                " ORDER BY md5(CAST(experiment AS text)) LIMIT ?",
                (model, size, _SAMPLE),
            ).fetchall()
            if not rows:
                return None
            median, spread = scale_of(np.stack([unpacked(row[0]) for row in rows]))
            held = self._scales[model] = (median, spread, total, version)
        return held[0], held[1]

    def close(self) -> None:
        self._connection.close()


@cache
def _translated(sql: str) -> LiteralString:
    """From the library's SQL; it is ours, and holds no person's words."""
    numbers = "(SELECT CAST(jsonb_array_elements_text(CAST(%s AS jsonb)) AS bigint))"
    return sql.replace("(SELECT value FROM json_each(?))", numbers).replace("?", "%s")


def _tokens(text: str) -> list[str]:
    """As SQLite's unicode61 does: runs of letters and digits, without case and accents."""
    plain = unicodedata.normalize("NFD", text.lower())
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return [token[:_LONGEST] for token in re.findall(r"[^\W_]+", letters)]


def _phrase(word: str, *, beginning: bool) -> str:
    """Of one word that was typed: its tokens one after the other."""
    tokens = [f"'{token}'" for token in _tokens(word)]
    return " <-> ".join(tokens) + (":*" if beginning and tokens else "")


def _text(vector: npt.ArrayLike) -> str:
    return "[" + ",".join(repr(float(value)) for value in np.asarray(vector, dtype=np.float32)) + "]"


def _without_password(url: str) -> str:
    try:
        told = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise LibraryError(f"asked to open a library by an address that is none: {error}") from error
    user = f"{told['user']}@" if told.get("user") else ""
    return f"postgresql://{user}{told.get('host') or 'localhost'}/{told.get('dbname') or ''}"
