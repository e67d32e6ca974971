"""The journal of a survey: one SQLite file, written a transaction a row, durable when the call returns."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archive.durable import sync_folder, transaction
from archive.errors import JournalError, JournalFull
from archive.rows import Rows
from archive.schema import UPGRADES, FrameRecord, dump
from archive.sqlite_writing import make_durable, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from archive.rows import StoredSignal
    from envs.step import Purpose, Step, Tag
    from instruments.types import Exposure, Footprint, Frame


def utc_now() -> datetime:
    """The computer's wall clock, for records only: nothing is ever computed from it."""
    return datetime.now(UTC)


class Journal:
    """Tables meta, exposures, frames, steps, events, requests and flags (``archive.schema``).

    WAL with ``synchronous=FULL``, so that a row survives a power cut once its method has returned. Several processes
    may have it open: the survey writes, a person's command adds requests, anybody reads.
    """

    def __init__(self, path: Path, *, now_utc: Callable[[], datetime] = utc_now, create: bool = False) -> None:
        """Open, or with ``create`` make, the journal, and prove that it can be written.

        Raises JournalError where that fails.
        """
        self.path = path
        self._now_utc = now_utc
        mode = "rwc" if create else "rw"
        try:
            self._database = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=30.0
            )
        except sqlite3.Error as error:
            raise _cannot_open(path, error) from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._database.close()
            raise _cannot_open(path, error) from error
        except JournalError:
            self._database.close()
            raise
        if create:
            sync_folder(path.parent)
        self.rows = Rows(self._database)

    def _open(self) -> None:
        make_durable(self._database, self.path, JournalError)
        self._database.execute("PRAGMA foreign_keys=ON")
        upgrade(self._database, UPGRADES, self._newer)
        self.set_meta("opened_utc", self._utc())  # the probe: a write through the log, before any beam

    def _newer(self, version: int) -> JournalError:
        return JournalError(
            f"{self.path} has schema_version {version} and this adaptem knows up to {len(UPGRADES)}: install a newer "
            "adaptem; nothing was changed"
        )

    def close(self) -> None:
        """Fold the log back and close. Safe twice."""
        self._database.close()

    def check(self) -> None:
        """Raises JournalError when SQLite finds its own file damaged."""
        try:
            (verdict,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise _cannot_open(self.path, error) from error
        if verdict != "ok":
            raise JournalError(f"{self.path} is damaged ({verdict}): restore it from a copy; the frames are untouched")

    def intent(
        self, exposure: Exposure, *, purpose: Purpose, tags: tuple[Tag, ...], footprint: Footprint, specimen: str
    ) -> int:
        """Keep the intention and return the exposure's id: 1, 2, …, never used twice."""
        with self._transaction() as database:
            row = database.execute(
                "INSERT INTO exposures (state, specimen, purpose, tags, exposure, footprint, intent_utc)"
                " VALUES ('intent', ?, ?, ?, ?, ?, ?) RETURNING id",
                (specimen, str(purpose), dump(tags), dump(exposure), dump(footprint), self._utc()),
            ).fetchone()
        return int(row[0])

    def commit(self, exposure_id: int, frame: Frame, signals: Sequence[StoredSignal]) -> None:
        """Say that the frame is on disk. Raises JournalError unless the exposure is an open intent."""
        with self._transaction() as database:
            self._end(exposure_id, "committed", None, frame=dump(FrameRecord.of(frame)))
            database.executemany(
                "INSERT INTO frames VALUES (:exposure, :signal, :stream, :first, :count, :shape, :sha256, :axes, :unit,"
                " :calibration, :minimum, :maximum, :mean)",
                [{"exposure": exposure_id, **stored.columns()} for stored in signals],
            )

    def fail(self, exposure_id: int, reason: str, *, spent: bool) -> None:
        """No frame came; ``spent``: the beam may have been on. Raises JournalError unless it is an open intent."""
        with self._transaction():
            self._end(exposure_id, "lost" if spent else "failed", reason)

    def _end(self, exposure_id: int, state: str, error: str | None, frame: str | None = None) -> None:
        changed = self._database.execute(
            "UPDATE exposures SET state = ?, error = ?, frame = ?, end_utc = ? WHERE id = ? AND state = 'intent'",
            (state, error, frame, self._utc(), exposure_id),
        )
        if changed.rowcount != 1:
            raise JournalError(
                f"asked to end exposure {exposure_id} as {state}, found no open intent of that id: "
                "every intent ends once, by commit or by fail"
            )

    def step(self, step: Step) -> None:
        """Keep the step, link its exposures to it and add its later tags to earlier ones.

        Raises JournalError for a step number that this specimen already has.
        """
        with self._transaction() as database:
            cursor = database.execute(
                "INSERT INTO steps (specimen, number, kind, start_s, end_s, utc, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (step.specimen, step.number, str(step.kind), step.start_s, step.end_s, self._utc(), dump(step)),
            )
            made = [(cursor.lastrowid, record.exposure.id) for record in step.exposures]
            database.executemany("UPDATE exposures SET step = ? WHERE id = ?", made)
            for exposure_id, tag in step.retagged:
                tags = self.rows.exposure(exposure_id).tags
                if tag not in tags:
                    database.execute("UPDATE exposures SET tags = ? WHERE id = ?", (dump((*tags, tag)), exposure_id))

    def event(self, kind: str, message: str, *, time_s: float, data: Mapping[str, object] | None = None) -> None:
        """Keep a remark."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO events (kind, message, time_s, utc, data) VALUES (?, ?, ?, ?, ?)",
                (kind, message, time_s, self._utc(), dump(data or {})),
            )

    def request(self, kind: str, data: Mapping[str, object] | None = None, *, person: str) -> int:
        """Ask something of the running survey; return the request's id."""
        with self._transaction() as database:
            row = database.execute(
                "INSERT INTO requests (kind, data, person, created_utc) VALUES (?, ?, ?, ?) RETURNING id",
                (kind, dump(data or {}), person, self._utc()),
            ).fetchone()
        return int(row[0])

    def answer(self, request_id: int, state: str, reply: str = "") -> None:
        """Answer a request. Raises JournalError for an unknown id."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE requests SET state = ?, reply = ?, answered_utc = ? WHERE id = ?",
                (state, reply, self._utc(), request_id),
            )
            if changed.rowcount != 1:
                raise JournalError(f"asked to answer request {request_id}, found none of that id: see requests()")

    def flags(self, flags: Sequence[object]) -> None:
        """Replace the flagged regions, best first: dataclasses or mappings."""
        with self._transaction() as database:
            database.execute("DELETE FROM flags")
            database.executemany("INSERT INTO flags (rank, data) VALUES (?, ?)", enumerate(map(dump, flags), start=1))

    def set_meta(self, key: str, value: str) -> None:
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def _utc(self) -> str:
        return self._now_utc().isoformat(timespec="microseconds")

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._database, self._refused)

    def _refused(self, error: sqlite3.Error) -> JournalError:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        kind, advice = (JournalFull, "free some room and resume") if full else (JournalError, "run 'adaptem doctor'")
        return kind(f"asked to write {self.path}, found: {error}; nothing of this row was kept, {advice}")


def _cannot_open(path: Path, error: sqlite3.Error) -> JournalError:
    return JournalError(f"asked to open {path} as a journal, found: {error}; give a survey's folder, or restore a copy")
