"""The library of prior experiments: one SQLite file that several processes may read and add to, or a PostgreSQL server.

Durable when ``add`` returns, never on the way of an acquisition. What is known of it from
others comes by ``library_exchange``; the questions that are more than a look-up stand in ``library_search`` and
``library_recommend``.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from archive.journal import utc_now
from archive.library_campaigns import add_entry
from archive.library_engine import open_engine
from archive.library_overview import take_overview
from archive.library_records import (
    Experiment,
    Kept,
    LibraryError,
    Result,
    Source,
    canonical,
    checked,
    checked_result,
    experiment_of,
    result_of,
)
from archive.library_rows import embed, insert, revise
from archive.library_vectors import unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import numpy.typing as npt

    from archive.campaign_entries import Entry
    from archive.library_engine import Engine
    from archive.library_overview import Overview
    from archive.library_records import Added, Vector

_REPLACED = "replaced"
"""Rule of what was told before, beside the conflicts."""


class Library:
    """Opens or makes a library. Raises LibraryError where that fails, it is no library or one of a newer adaptem.

    ``where``: a file, or the address of a PostgreSQL database, ``postgresql://…``. ``create``: made where there is
    none. Without ``write`` it is only read, as where its folder may not be written; one of an older adaptem is then
    refused by OlderLibraryError.
    """

    def __init__(
        self, where: Path | str, *, create: bool = True, write: bool = True, now_utc: Callable[[], datetime] = utc_now
    ) -> None:
        self.where = where
        self._now_utc = now_utc
        self.database = open_engine(where, create=create, write=write)
        self.name = self.database.name
        """For messages."""

    @property
    def id(self) -> str:
        """Of this library, wherever its file is moved."""
        return str(self.database.execute("SELECT value FROM meta WHERE key = 'library'").fetchone()[0])

    def __len__(self) -> int:
        return int(self.database.execute("SELECT count(*) FROM experiments").fetchone()[0])

    def add(
        self,
        experiment: Experiment,
        embeddings: Mapping[str, npt.ArrayLike] | None = None,
        *,
        origin: str | None = None,
    ) -> Added:
        """Keep an experiment, durably. ``embeddings``: a vector a model. ``origin``: the library it comes from.

        new: it was not known. same: the same content is there, and nothing was done. revised: the same experiment, of
        the same origin, told later with at least as many frames, and replaced; what was told before is kept aside
        (``replaced``), and of a file what a person said stays (``Experiment.after``). conflict: told otherwise by
        another origin, no later, or with fewer frames; ours stays, theirs is kept aside. Raises LibraryError.
        """
        checked(experiment)
        with self.transaction() as database:
            return self._add(database, experiment, embeddings or {}, origin or self.id)

    def add_result(self, result: Result, *, origin: str | None = None) -> Added:
        """Keep what another technique says of a specimen: new, or the same as is there. Raises LibraryError."""
        checked_result(result)
        with self.transaction() as database:
            return self._add_result(database, result, origin or self.id)

    def add_all(
        self,
        experiments: Iterable[tuple[Experiment, Mapping[str, Vector], str]],
        results: Iterable[tuple[Result, str]] = (),
        entries: Iterable[tuple[Entry, str]] = (),
        *,
        overviews: Mapping[str, Overview] = MappingProxyType({}),
        source: Source | None = None,
    ) -> dict[str, int]:
        """Many at once, all or none, each with its origin; how many were new, same, revised, in conflict.

        ``overviews``: by the uid of their experiment; one of an experiment that is told otherwise here is left out.
        ``source``: the bundle or library that they come from. What claims to be of this library's origin revises
        nothing then.
        """
        counts = dict.fromkeys(("new", "same", "revised", "conflict"), 0)
        with self.transaction() as database:
            for experiment, vectors, origin in experiments:
                foreign = source is not None
                counts[self._add(database, checked(experiment), vectors, origin, foreign=foreign)] += 1
                if (overview := overviews.get(experiment.uid)) is not None:
                    take_overview(database, experiment.uid, experiment.content, overview, ours=self.id)
            for result, origin in results:
                counts[self._add_result(database, checked_result(result), origin)] += 1
            for entry, origin in entries:
                counts[add_entry(database, entry, origin, self._utc())] += 1
            if source is not None:
                database.execute(
                    "INSERT INTO imports (sha256, name, origin, author, licence, added_utc, counts)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (source.sha256, source.name, source.origin, source.author, source.licence, self._utc(),
                     json.dumps(counts)),
                )  # fmt: skip
        return counts

    def imports(self) -> list[tuple[str, Source, dict[str, int]]]:
        """(when, from where, what came of it) of every import, the first first."""
        rows = self.database.execute(
            "SELECT added_utc, sha256, name, origin, author, licence, counts FROM imports ORDER BY id"
        )
        return [(row[0], Source(*row[1:6]), json.loads(row[6])) for row in rows]

    def get(self, number: int) -> Kept:
        """By its number in this library. Raises LibraryError."""
        for kept in self.many((number,)):
            return kept
        raise LibraryError(f"asked for experiment {number}, found none of that number: see `adaptem library search`")

    def find(self, uid: str) -> Kept | None:
        """By what it is."""
        row = self.database.execute("SELECT id FROM experiments WHERE uid = ?", (uid,)).fetchone()
        return None if row is None else self.get(row[0])

    def many(self, numbers: Collection[int]) -> list[Kept]:
        """By their numbers, in the order asked; what is not there is left out."""
        rows = self.database.execute(
            "SELECT id, data, origin, added_utc FROM experiments WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(numbers)),),
        )
        found = {row[0]: Kept(row[0], experiment_of(row[1]), row[2], row[3]) for row in rows}
        return [found[number] for number in numbers if number in found]

    def all(self) -> Iterator[Kept]:
        """Every one by its number, a page at a time."""
        last = 0
        while rows := self.database.execute(
            "SELECT id, data, origin, added_utc FROM experiments WHERE id > ? ORDER BY id LIMIT 256", (last,)
        ).fetchall():
            yield from (Kept(row[0], experiment_of(row[1]), row[2], row[3]) for row in rows)
            last = rows[-1][0]

    def like(
        self, model: str, vector: npt.ArrayLike, count: int = 10, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        """(number, distance in spreads) of the nearest by an embedding, exactly; ``among``: only these."""
        return self.database.nearest(model, vector, count, among)

    def embeddings(self, number: int) -> dict[str, Vector]:
        """A vector a model."""
        rows = self.database.execute("SELECT model, vector FROM embeddings WHERE experiment = ?", (number,))
        return {model: unpacked(blob) for model, blob in rows}

    def results(self, specimen: str | None = None, quantity: str | None = None) -> list[tuple[Result, str]]:
        """(result, origin) of a specimen, of a quantity, of both or of all."""
        rows = self.database.execute(
            "SELECT data, origin FROM results WHERE lower(specimen) = lower(coalesce(?, specimen))"
            " AND lower(quantity) = lower(coalesce(?, quantity)) ORDER BY specimen, quantity, id",
            (specimen, quantity),
        )
        return [(result_of(data), origin) for data, origin in rows]

    def conflicts(self) -> list[tuple[str, Experiment, str]]:
        """(rule, theirs, origin) of what others told otherwise and was kept aside."""
        rows = self.database.execute(
            "SELECT rule, theirs, origin FROM conflicts WHERE rule <> ? ORDER BY id", (_REPLACED,)
        )
        return [(rule, experiment_of(theirs), origin) for rule, theirs, origin in rows]

    def replaced(self, uid: str) -> list[Experiment]:
        """What was told of an experiment before, the first telling first."""
        rows = self.database.execute(
            "SELECT theirs FROM conflicts WHERE uid = ? AND rule = ? ORDER BY id", (uid, _REPLACED)
        )
        return [experiment_of(row[0]) for row in rows]

    def transaction(self) -> AbstractContextManager[Engine]:
        """Nobody else writes meanwhile, and all of it is durable at its end, or nothing. Raises LibraryError."""
        return self.database.transaction()

    def close(self) -> None:
        """Safe twice."""
        self.database.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(
        self,
        database: Engine,
        experiment: Experiment,
        embeddings: Mapping[str, npt.ArrayLike],
        origin: str,
        *,
        foreign: bool = False,
    ) -> Added:
        row = database.execute("SELECT id, data, origin FROM experiments WHERE uid = ?", (experiment.uid,)).fetchone()
        if row is None:
            embed(database, insert(database, experiment, experiment.content, origin, self._utc()), embeddings)
            return "new"
        number, there, first_origin = row[0], experiment_of(row[1]), row[2]
        if not foreign and first_origin == origin:
            experiment = experiment.after(there)
        content = experiment.content
        if there.content == content or (foreign and content in self._earlier(database, experiment.uid)):
            return "same"
        if rule := self._against(experiment, origin, there, first_origin, foreign=foreign):
            self._aside(database, experiment, origin, rule)
            return "conflict"
        self._aside(database, there, first_origin, _REPLACED)
        revise(database, number, experiment, content, self._utc())
        embed(database, number, embeddings)
        return "revised"

    def _against(
        self, experiment: Experiment, origin: str, there: Experiment, first_origin: str, *, foreign: bool
    ) -> str | None:
        """The rule by which an experiment does not take the place of the one that is there; None where it does."""
        if foreign and origin == self.id:
            return "ours, told otherwise"
        if first_origin != origin:
            return "another origin"
        frames, known = experiment.outcome.frames or 0, there.outcome.frames or 0
        if frames < known:
            return "fewer frames"
        later = (experiment.revision or 0, frames) > (there.revision or 0, known)
        return None if later else "told no later"

    def _aside(self, database: Engine, experiment: Experiment, origin: str, rule: str) -> None:
        database.execute(
            "INSERT INTO conflicts (uid, theirs, origin, added_utc, rule) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (experiment.uid, canonical(experiment).decode(), origin, self._utc(), rule),
        )

    def _earlier(self, database: Engine, uid: str) -> set[str]:
        """Contents that were replaced."""
        rows = database.execute("SELECT theirs FROM conflicts WHERE uid = ? AND rule = ?", (uid, _REPLACED))
        return {experiment_of(row[0]).content for row in rows}

    def _add_result(self, database: Engine, result: Result, origin: str) -> Added:
        changed = database.execute(
            "INSERT INTO results (content, origin, added_utc, specimen, quantity, technique, unit, value,"
            " uncertainty, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (result.content, origin, self._utc(), result.specimen, result.quantity, result.technique, result.unit,
             result.value, result.uncertainty, canonical(result).decode()),
        )  # fmt: skip
        return "new" if changed.rowcount == 1 else "same"

    def _utc(self) -> str:
        return self._now_utc().isoformat(timespec="seconds")
