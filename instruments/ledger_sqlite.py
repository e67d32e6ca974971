"""The durable ledger: one SQLite file that outlives the process and the power cut."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from instruments.dose import fluence_of
from instruments.errors import BudgetError, LimitError, NoRoom
from instruments.ledger import Ticket, duration_of, name_of, on_its_way, taken_of, twice
from instruments.overlap import box, deepest
from instruments.types import Exposure, Footprint, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from pathlib import Path

SCHEMA_VERSION = 1

LEAST_FREE_BYTES = 4 << 20
"""Less, and nothing more is exposed: a dose that cannot be written down is not given."""

_FLUSH_TIME_S = 10.0
"""Time spent is written with the next reservation, or when this much has gathered."""

_SCHEMA = """
CREATE TABLE meta (schema_version INTEGER NOT NULL, time_used_s REAL NOT NULL);
CREATE TABLE reservations (
    key INTEGER PRIMARY KEY, exposure_id INTEGER UNIQUE, settled INTEGER NOT NULL DEFAULT 0,
    electrons REAL NOT NULL, fluence_e_per_A2 REAL NOT NULL,
    x_nm REAL NOT NULL, y_nm REAL NOT NULL, width_nm REAL NOT NULL, height_nm REAL NOT NULL,
    rotation_deg REAL NOT NULL);
CREATE VIRTUAL TABLE boxes USING rtree(key, x_low, x_high, y_low, y_high);
CREATE TABLE tilt (alpha_deg REAL, beta_deg REAL);
CREATE TABLE latches (key INTEGER PRIMARY KEY, reason TEXT NOT NULL, cleared_by TEXT);
"""


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write where the folder lies."""
    return shutil.disk_usage(folder).free


class SqliteLedger:
    """WAL with ``synchronous=FULL``: what ``reserve`` and ``latch`` returned from survives a power cut.

    Raises BudgetError where the file cannot be opened, read or written: without a ledger there is no beam.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._time_used_s = self._pending_s = 0.0
        self._unwritten_latch: str | None = None
        self._transfer: int | None = None
        """Key of the latch that stands for the specimen that is on its way."""
        self._alone = threading.RLock()  # one transaction at a time; a signal handler may come into its own thread's
        with self._trouble("opened"):
            # Whoever blanks may latch from another thread.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._create()
            version, time_used_s = self._db.execute("SELECT schema_version, time_used_s FROM meta").fetchone()
            (electrons,) = self._db.execute("SELECT total(electrons) FROM reservations").fetchone()
        self._time_used_s, self._electrons = float(time_used_s), float(electrons)
        if version != SCHEMA_VERSION:
            raise BudgetError(
                f"{path} has schema version {version}, this adaptem reads {SCHEMA_VERSION}: "
                "use the version that wrote it, or start a new survey"
            )

    def _create(self) -> None:
        """Make the tables where there are none; writes in any case, as some mounts only then say that they cannot."""
        with self._writing():
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES (?, 0)", (SCHEMA_VERSION,))
            self._db.execute("CREATE TABLE IF NOT EXISTS has_read (name TEXT PRIMARY KEY)")  # older files lack it

    def reserve(self, exposure: Exposure, place: Footprint, electrons: float) -> Ticket:
        fluence = fluence_of(exposure, place, electrons)
        if exposure.id is not None and self.booked(exposure.id):
            raise LimitError(twice(exposure.id))
        self._require_room()
        values = (exposure.id, electrons, fluence, place.x_nm, place.y_nm, place.width_nm, place.height_nm)
        with self._trouble("written"), self._writing():
            key = self._db.execute(
                "INSERT INTO reservations (exposure_id, electrons, fluence_e_per_A2, x_nm, y_nm, width_nm, height_nm,"
                " rotation_deg) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, place.rotation_deg),
            ).lastrowid
            self._db.execute("INSERT INTO boxes VALUES (?, ?, ?, ?, ?)", (key, *box(place)))
        self._electrons += electrons
        return Ticket(int(key or 0), exposure.id, electrons, place)

    def _require_room(self) -> None:
        if (found := free_bytes(self._path.parent)) < LEAST_FREE_BYTES:
            raise NoRoom(
                f"the dose ledger {self._path} has {found / 2**20:.1f} MiB left on its disk, an exposure needs "
                f"{LEAST_FREE_BYTES / 2**20:g} MiB at least: free some"
            )

    def settle(self, ticket: Ticket, electrons: float) -> None:
        values = (electrons, taken_of(ticket, electrons), ticket.key)
        with self._trouble("written"), self._writing():
            first = self._db.execute(
                "UPDATE reservations SET settled = 1, electrons = ?, fluence_e_per_A2 = fluence_e_per_A2 * ?"
                " WHERE key = ? AND NOT settled",
                values,
            ).rowcount
        self._electrons += first * (electrons - ticket.electrons)

    def booked(self, exposure_id: int) -> bool:
        with self._trouble("read"):
            return bool(self._db.execute("SELECT 1 FROM reservations WHERE exposure_id = ?", (exposure_id,)).fetchone())

    def electrons(self) -> float:
        return self._electrons

    def fluence_e_per_A2(self, place: Footprint) -> float:
        left, right, low, high = box(place)
        with self._trouble("read"):
            rows = self._db.execute(
                "SELECT x_nm, y_nm, width_nm, height_nm, rotation_deg, fluence_e_per_A2 FROM boxes"
                " JOIN reservations USING (key) WHERE x_low < ? AND x_high > ? AND y_low < ? AND y_high > ?",
                (right, left, high, low),
            ).fetchall()
        stack = [
            (Footprint(x_nm=x, y_nm=y, width_nm=width, height_nm=height, rotation_deg=rotation), fluence)
            for x, y, width, height, rotation, fluence in rows
        ]
        return deepest(place, stack)

    def time_used_s(self) -> float:
        return self._time_used_s + self._pending_s

    def spend_time(self, duration_s: float) -> None:
        self._pending_s += duration_of(duration_s)
        if self._pending_s >= _FLUSH_TIME_S:
            with self._trouble("written"), self._writing():
                pass

    def intend_tilt(self, tilt: StagePosition) -> None:
        with self._trouble("written"), self._writing():
            self._db.execute("DELETE FROM tilt")
            self._db.execute("INSERT INTO tilt VALUES (?, ?)", (tilt.alpha_deg, tilt.beta_deg))

    def intended_tilt(self) -> StagePosition | None:
        with self._trouble("read"):
            row = self._db.execute("SELECT alpha_deg, beta_deg FROM tilt").fetchone()
        return StagePosition(alpha_deg=row[0], beta_deg=row[1]) if row else None

    def tell_read(self, names: Set[str]) -> None:
        with self._trouble("written"), self._writing():
            self._db.executemany("INSERT OR IGNORE INTO has_read VALUES (?)", [(name,) for name in sorted(names)])

    def has_read(self) -> Set[str]:
        with self._trouble("read"):
            return frozenset(name for (name,) in self._db.execute("SELECT name FROM has_read"))

    def latch(self, reason: str) -> None:
        self._unwritten_latch = self._unwritten_latch or reason
        with self._trouble("written"), self._writing():
            self._db.execute("INSERT INTO latches (reason) VALUES (?)", (reason,))
        self._unwritten_latch = None

    def begin_transfer(self, what: str) -> None:
        with self._trouble("written"), self._writing():
            self._db.execute("INSERT INTO latches (reason) VALUES (?)", (on_its_way(what),))
            (self._transfer,) = self._db.execute("SELECT max(key) FROM latches").fetchone()

    def end_transfer(self) -> None:
        with self._trouble("written"), self._writing():
            self._db.execute("UPDATE latches SET cleared_by = 'its end' WHERE key = ?", (self._transfer,))

    def latched(self) -> str | None:
        with self._trouble("read"):
            row = self._db.execute("SELECT reason FROM latches WHERE cleared_by IS NULL ORDER BY key").fetchone()
        return row[0] if row else self._unwritten_latch

    def clear_latch(self, person: str) -> None:
        name = name_of(person)
        with self._trouble("written"), self._writing():
            self._db.execute("UPDATE latches SET cleared_by = ? WHERE cleared_by IS NULL", (name,))
            self._db.execute("DELETE FROM tilt")
            self._db.execute("DELETE FROM has_read")
        self._unwritten_latch = None

    def close(self) -> None:
        """Write the time still pending and let go of the file. Safe twice."""
        try:
            if self._pending_s:
                with self._trouble("written"), self._writing():
                    pass
        finally:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One durable transaction, which also writes the time spent since the last one."""
        with self._alone:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("UPDATE meta SET time_used_s = time_used_s + ?", (self._pending_s,))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._time_used_s, self._pending_s = self._time_used_s + self._pending_s, 0.0

    @contextmanager
    def _trouble(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BudgetError(
                f"the dose ledger {self._path} could not be {verb} ({error}), and without it there is no beam: "
                "see that the disk has room and that no other survey uses this folder"
            ) from error
