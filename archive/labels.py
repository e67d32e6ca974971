"""The journal of labels: what people said of a survey's places, one SQLite file beside its record.

It is a file of its own, so that a finished survey's journal is not touched, and so that the labels of a survey in a
folder that nobody may write to can be kept elsewhere. Events are added and never changed: an undo and a revision are
events too, and what stands is a fold over them.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from archive.durable import sync_folder, transaction
from archive.errors import JournalError
from archive.journal import utc_now
from archive.labels_schema import UPGRADES
from archive.sqlite_writing import make_durable, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

EventKind: TypeAlias = Literal["verdict", "undo", "note", "lock"]
Phase: TypeAlias = Literal["blind", "revealed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEvent:
    """One thing that a person said."""

    id: str
    batch: str
    item: str | None
    kind: EventKind
    verdict: int | None = None
    """1 (ordinary) … 5 (remarkable)."""
    text: str | None = None
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEvent:
    """As it stands in the journal."""

    seq: int
    id: str
    batch: str
    item: str | None
    kind: EventKind
    phase: Phase
    """``revealed`` from the moment the batch was locked: the person may have seen what the machine thinks."""
    verdict: int | None
    text: str | None
    shown: Mapping[str, Any]
    utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One place of a batch."""

    id: str
    batch: str
    position: int
    place: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Places that one person judges in one go, in an order of chance."""

    id: str
    reviewer: str
    seed: int
    created_utc: str
    items: tuple[Item, ...]


class LabelJournal:
    """Durable when a method returns (WAL, ``synchronous=FULL``). One connection, used by one thread at a time.

    ``id``: random, made with the file and kept in it; a browser keeps what it has still to send under this id.
    """

    def __init__(self, path: Path, *, now_utc: Callable[[], datetime] = utc_now) -> None:
        """Open it, or make it. Raises JournalError."""
        self.path = path
        self._now_utc = now_utc
        new = not path.exists()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, timeout=30.0, check_same_thread=False)
            self._database.row_factory = sqlite3.Row
            make_durable(self._database, path, JournalError)
            self._database.execute("PRAGMA foreign_keys=ON")
            upgrade(self._database, UPGRADES, self._newer)
            with self._transaction() as database:  # the probe: a write, before a person's first label
                database.execute("INSERT OR REPLACE INTO meta VALUES ('opened_utc', ?)", (self._utc(),))
                database.execute("INSERT OR IGNORE INTO meta VALUES ('id', ?)", (secrets.token_hex(16),))
            (self.id,) = self._database.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        except sqlite3.Error as error:
            raise JournalError(
                f"asked to keep labels in {path}, found: {error}; name a file that can be written by --labels"
            ) from error
        if new:
            sync_folder(path.parent)

    def _newer(self, version: int) -> JournalError:
        return JournalError(
            f"the labels in {self.path} have schema_version {version} and this adaptem knows up to {len(UPGRADES)}: "
            "install a newer adaptem; nothing was changed"
        )

    def close(self) -> None:
        """Safe twice."""
        self._database.close()

    def new_batch(
        self, batch: str, reviewer: str, seed: int, versions: Mapping[str, str], items: Sequence[Item]
    ) -> Batch:
        """Keep a batch and what stands behind each of its items."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?)",
                (batch, reviewer, seed, self._utc(), json.dumps(dict(versions))),
            )
            database.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                [(one.id, batch, one.position, one.place, json.dumps(dict(one.data))) for one in items],
            )
        return self.batch(batch)

    def batch(self, batch: str) -> Batch:
        """Raises KeyError for an id that was never given."""
        row = self._database.execute("SELECT * FROM batches WHERE id = ?", (batch,)).fetchone()
        if row is None:
            raise KeyError(batch)
        items = self._database.execute("SELECT * FROM items WHERE batch = ? ORDER BY position", (batch,))
        found = tuple(Item(**{**dict(one), "data": json.loads(one["data"])}) for one in items)
        return Batch(id=batch, reviewer=row["reviewer"], seed=row["seed"], created_utc=row["created_utc"], items=found)

    def batches(self, reviewer: str | None = None) -> tuple[Batch, ...]:
        """In the order in which they were drawn, of one reviewer or of all."""
        sql = "SELECT id FROM batches WHERE ?1 IS NULL OR reviewer = ?1 ORDER BY created_utc, id"
        return tuple(self.batch(row[0]) for row in self._database.execute(sql, (reviewer,)).fetchall())

    def item_ids(self, batch: str) -> tuple[str, ...]:
        """In the order of the batch, without what stands behind. Raises KeyError for an id that was never given."""
        rows = self._database.execute("SELECT id FROM items WHERE batch = ? ORDER BY position", (batch,)).fetchall()
        if not rows:
            raise KeyError(batch)
        return tuple(row[0] for row in rows)

    def open_batch(self, reviewer: str) -> str | None:
        """The first batch of a reviewer that is not locked."""
        row = self._database.execute(
            "SELECT id FROM batches WHERE reviewer = ? AND NOT EXISTS"
            " (SELECT 1 FROM events WHERE batch = batches.id AND kind = 'lock') ORDER BY created_utc, id",
            (reviewer,),
        ).fetchone()
        return None if row is None else str(row[0])

    def is_locked(self, batch: str) -> bool:
        """Whether what the machine thought may be shown."""
        row = self._database.execute("SELECT 1 FROM events WHERE batch = ? AND kind = 'lock'", (batch,)).fetchone()
        return row is not None

    def item(self, item: str) -> Item:
        """Raises KeyError for an id that was never given."""
        row = self._database.execute("SELECT * FROM items WHERE id = ?", (item,)).fetchone()
        if row is None:
            raise KeyError(item)
        return Item(**{**dict(row), "data": json.loads(row["data"])})

    def keep(self, events: Sequence[LabelEvent]) -> None:
        """Add what is not there yet, all of it or nothing; an id that is there already is kept as it was.

        The phase is ours to say: whatever comes after a batch's lock comes from someone who may have seen its reveal.
        Raises KeyError for a batch, or an item of it, that was never given.
        """
        with self._transaction() as database:
            for event in events:
                if not self.has_given(event.batch, event.item):
                    raise KeyError(event.item or event.batch)
                database.execute(
                    "INSERT INTO events (id, batch, item, kind, phase, verdict, text, shown, utc)"
                    " SELECT ?1, ?2, ?3, ?4, CASE WHEN EXISTS"
                    " (SELECT 1 FROM events WHERE batch = ?2 AND kind = 'lock') THEN 'revealed' ELSE 'blind' END,"
                    " ?5, ?6, ?7, ?8 ON CONFLICT (id) DO NOTHING",
                    (event.id, event.batch, event.item, event.kind, event.verdict, event.text,
                     json.dumps(dict(event.shown)), self._utc()),
                )  # fmt: skip

    def has_given(self, batch: str, item: str | None) -> bool:
        """Whether a batch, and an item of it (None: the batch as a whole), come from this journal."""
        if item is None:
            return self._database.execute("SELECT 1 FROM batches WHERE id = ?", (batch,)).fetchone() is not None
        sql = "SELECT 1 FROM items WHERE id = ? AND batch = ?"
        return self._database.execute(sql, (item, batch)).fetchone() is not None

    def events(self, batch: str | None = None) -> tuple[KeptEvent, ...]:
        """In the order in which they were kept, of one batch or of all."""
        rows = self._database.execute("SELECT * FROM events WHERE ?1 IS NULL OR batch = ?1 ORDER BY seq", (batch,))
        return tuple(KeptEvent(**{**dict(row), "shown": json.loads(row["shown"])}) for row in rows.fetchall())

    def want(self, wish: str, item: str, name: str) -> None:
        """Ask for more places like an item, under a name of the person's; an empty name takes it back.

        A ``wish`` that is there already is kept as it was. Raises KeyError for an item that was never given, ValueError
        for one of a batch that is not locked: what the machine thought is not known before.
        """
        if not self.is_locked(self.item(item).batch):
            raise ValueError("its batch is not locked yet")
        with self._transaction() as database:
            database.execute(
                "INSERT INTO wanted (id, item, name, utc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (wish, item, name.strip(), self._utc()),
            )

    def wanted(self) -> tuple[tuple[Item, str], ...]:
        """Each item that a person asked more of, with the name last given to it."""
        last = dict(self._database.execute("SELECT item, name FROM wanted ORDER BY rowid").fetchall())
        return tuple((self.item(item), name) for item, name in last.items() if name)

    def sow(self, rows: Sequence[tuple[str, Mapping[str, Any], bytes]]) -> None:
        """Keep seeded positives: place, what stands behind it, its pictures. One that is there is kept as it was."""
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO seeded VALUES (?, ?, ?, ?) ON CONFLICT (place) DO NOTHING",
                [(place, json.dumps(dict(data)), pictures, self._utc()) for place, data, pictures in rows],
            )

    def seeded(self) -> tuple[tuple[Mapping[str, Any], bytes], ...]:
        """Every seeded positive: what stands behind it, and its pictures."""
        rows = self._database.execute("SELECT data, pictures FROM seeded ORDER BY place").fetchall()
        return tuple((json.loads(row[0]), bytes(row[1])) for row in rows)

    def admit(self, digest: str) -> None:
        """Remember a session by the digest of its secret, so that an open page goes on after a restart."""
        with self._transaction() as database:
            database.execute("INSERT OR IGNORE INTO sessions VALUES (?, ?)", (digest, self._utc()))

    def sessions(self) -> dict[str, str]:
        """When each was admitted, by digest."""
        return {row[0]: row[1] for row in self._database.execute("SELECT digest, created_utc FROM sessions").fetchall()}

    def _utc(self) -> str:
        return self._now_utc().isoformat(timespec="microseconds")

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._database, self._refused)

    def _refused(self, error: sqlite3.Error) -> JournalError:
        return JournalError(
            f"asked to keep a label in {self.path}, found: {error}; nothing of it was kept, see if the disk is full"
        )
