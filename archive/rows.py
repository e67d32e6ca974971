"""Reading the journal: rows in, records out. Safe beside a running survey."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archive.errors import JournalError
from archive.schema import (
    AXES,
    EXPOSURE,
    FOOTPRINT,
    FRAME,
    NUMBERS,
    OBJECT,
    SHAPE,
    STEP,
    TAGS,
    UPGRADES,
    FrameRecord,
    dump,
    parse,
)
from archive.sqlite_reading import read_only
from archive.sqlite_writing import schema_version
from envs.step import Purpose, Step, Tag
from instruments.types import Axis, Exposure, Footprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGE = 256
"""Rows fetched at a time: a long read would keep the writer from folding its WAL back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSignal:
    """Where one signal of a committed exposure lies, and how to know it again."""

    signal: str
    stream: str
    """``frames/<stream>.zarr``."""
    first: int
    """Index along the stream's first axis."""
    count: int
    """1, or the frames of a burst."""
    shape: tuple[int, ...]
    """Of the signal's array."""
    sha256: str
    """Of the array's bytes, C order, little endian."""
    axes: tuple[Axis, ...]
    unit: str
    calibration: Mapping[str, float]
    minimum: float | None
    """In the signal's unit, as are maximum and mean; None for an array without a finite number."""
    maximum: float | None
    mean: float | None

    def columns(self) -> dict[str, object]:
        """By column of the table ``frames``."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return values | {name: dump(values[name]) for name in ("shape", "axes", "calibration")}

    @classmethod
    def of(cls, row: sqlite3.Row) -> StoredSignal:
        """From a row of the table ``frames``."""
        values = {name: row[name] for name in cls.__slots__}
        values["shape"] = parse(SHAPE, row["shape"])
        values["axes"] = parse(AXES, row["axes"])
        values["calibration"] = parse(NUMBERS, row["calibration"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRow:
    """One exposure, from intent to its end."""

    id: int
    state: str
    """intent, committed, failed (the beam stayed blanked) or lost (its dose is spent, its frame is not there)."""
    specimen: str
    purpose: Purpose
    tags: tuple[Tag, ...]
    exposure: Exposure
    """As intended."""
    footprint: Footprint
    intent_utc: str
    frame: FrameRecord | None
    """As done; None unless committed."""
    end_utc: str | None
    error: str | None
    step: int | None
    """``seq`` of the step that reports it; None when a crash came in between."""
    signals: tuple[StoredSignal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A remark of the runner."""

    id: int
    kind: str
    message: str
    time_s: float
    """Instrument clock."""
    utc: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """What a person asks of a running survey."""

    id: int
    kind: str
    data: Mapping[str, Any]
    person: str
    created_utc: str
    state: str
    """new, then what the runner answered: done, refused, …"""
    reply: str | None
    answered_utc: str | None


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a journal for reading, also while it is written and also on a read-only medium. Raises JournalError."""
    if not path.is_file():
        raise JournalError(f"asked to read {path}, found no such file: give the folder of a survey")
    try:
        database = read_only(path)
    except sqlite3.Error as error:
        raise JournalError(
            f"asked to read {path}, found: {error}; make the folder readable or restore it from a copy"
        ) from error
    version = schema_version(database)
    if version == len(UPGRADES):
        return database
    database.close()
    raise JournalError(
        f"{path} has schema_version {version}, this adaptem reads {len(UPGRADES)}: "
        + ("open it once with 'adaptem resume'" if version < len(UPGRADES) else "install a newer adaptem")
    )


class Rows:
    """Typed queries over an open journal."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def steps(self, specimen: str | None = None) -> Iterator[Step]:
        """Every step in the order it was taken, of one specimen or of all."""
        for row in self._pages(
            "SELECT seq, data FROM steps WHERE seq > ?1 AND (?2 IS NULL OR specimen = ?2) ORDER BY seq LIMIT ?3",
            specimen,
        ):
            yield parse(STEP, row["data"])

    def steps_after(self, seq: int, count: int) -> list[tuple[int, Step]]:
        """The next steps after a row's number, each with its own: 1, 2, … over all specimens."""
        rows = self._query("SELECT seq, data FROM steps WHERE seq > ? ORDER BY seq LIMIT ?", seq, count)
        return [(row["seq"], parse(STEP, row["data"])) for row in rows]

    def step_count(self, specimen: str | None = None) -> int:
        return int(self._query("SELECT count(*) FROM steps WHERE ?1 IS NULL OR specimen = ?1", specimen)[0][0])

    def extent(self) -> tuple[int, int, int]:
        """Number of the last step, of the last remark, and how many flags: another one says that there is more."""
        sql = "SELECT (SELECT max(seq) FROM steps), (SELECT max(id) FROM events), (SELECT count(*) FROM flags)"
        step, event, flags = self._query(sql)[0]
        return step or 0, event or 0, flags

    def last_s(self) -> float:
        """The instrument's time of the last step or remark; 0 before the first."""
        rows = self._query("SELECT max(end_s) FROM steps UNION ALL SELECT max(time_s) FROM events")
        return max((float(row[0]) for row in rows if row[0] is not None), default=0.0)

    def exposures(self, specimen: str | None = None) -> Iterator[ExposureRow]:
        """Every exposure by id."""
        for row in self._pages(
            "SELECT * FROM exposures WHERE id > ?1 AND (?2 IS NULL OR specimen = ?2) ORDER BY id LIMIT ?3", specimen
        ):
            yield self._exposure(row)

    def exposure(self, exposure_id: int) -> ExposureRow:
        """Raises JournalError for an id that was never given."""
        rows = self._query("SELECT * FROM exposures WHERE id = ?", exposure_id)
        if not rows:
            raise JournalError(f"asked for exposure {exposure_id}, found none of that id: see exposures()")
        return self._exposure(rows[0])

    def unreported(self) -> tuple[ExposureRow, ...]:
        """Exposures that no step reports: a crash came between them and their step."""
        return tuple(map(self._exposure, self._query("SELECT * FROM exposures WHERE step IS NULL ORDER BY id")))

    def intents(self) -> tuple[int, ...]:
        """Ids of the exposures that have neither a frame nor an end."""
        return tuple(row[0] for row in self._query("SELECT id FROM exposures WHERE state = 'intent' ORDER BY id"))

    def signals(self, exposure_id: int) -> tuple[StoredSignal, ...]:
        """What is stored of one exposure, in the order in which the instrument gave it."""
        rows = self._query("SELECT * FROM frames WHERE exposure = ? ORDER BY rowid", exposure_id)
        return tuple(map(StoredSignal.of, rows))

    def newest_signals(self, count: int | None = None) -> tuple[StoredSignal, ...]:
        """What is stored of the newest exposures, ``count`` signals at most; None = of all. The newest first."""
        sql = "SELECT * FROM frames ORDER BY exposure DESC, rowid LIMIT ?"
        return tuple(map(StoredSignal.of, self._query(sql, -1 if count is None else count)))

    def doubted(self) -> tuple[int, str | None]:
        """How many frames the instrument itself doubts, and what it says of the latest."""
        number, frame = self._query(
            """SELECT count(*), (SELECT frame FROM exposures WHERE frame LIKE ?1 ORDER BY id DESC LIMIT 1)
               FROM exposures WHERE frame LIKE ?1""",
            '%"doubts":["%',
        )[0]
        return number, None if frame is None else parse(FRAME, frame).doubts[0]

    def places(self) -> Iterator[tuple[str, str, int, int]]:
        """(signal, stream, first, count) of everything that is stored: where it lies, and no more."""
        for row in self._query("SELECT signal, stream, first, count FROM frames ORDER BY exposure DESC, rowid"):
            yield row["signal"], row["stream"], row["first"], row["count"]

    def used(self) -> dict[str, int]:
        """Length of the committed part of each stream."""
        rows = self._query("SELECT stream, max(first + count) AS used FROM frames GROUP BY stream")
        return {row["stream"]: row["used"] for row in rows}

    def events(self, kind: str | None = None) -> tuple[EventRow, ...]:
        """Every remark, or those of one kind, in order."""
        rows = self._query("SELECT * FROM events WHERE ?1 IS NULL OR kind = ?1 ORDER BY id", kind)
        return tuple(map(_event, rows))

    def last_event(self, kind: str) -> EventRow | None:
        """The latest remark of a kind, found from the end: however long the night is."""
        rows = self._query("SELECT * FROM events WHERE kind = ? ORDER BY id DESC LIMIT 1", kind)
        return _event(rows[0]) if rows else None

    def open_proposal(self) -> EventRow | None:
        """What waits for a person's agreement."""
        last = self.last_event("proposal")
        if last is None:
            return None
        said = self._query("SELECT data FROM events WHERE kind = 'answered' AND id > ?", last.id)
        answered = any(parse(OBJECT, row[0]).get("proposal") == last.data.get("proposal") for row in said)
        return None if answered else last

    def requests(self, state: str | None = None) -> tuple[RequestRow, ...]:
        """What was asked, or what of it is in this state, in order."""
        rows = self._query("SELECT * FROM requests WHERE ?1 IS NULL OR state = ?1 ORDER BY id", state)
        return tuple(RequestRow(**{**dict(row), "data": parse(OBJECT, row["data"])}) for row in rows)

    def flags(self) -> tuple[Mapping[str, Any], ...]:
        """The flagged regions by rank, as they were handed to ``SurveyRecorder.flags``."""
        return tuple(parse(OBJECT, row[0]) for row in self._query("SELECT data FROM flags ORDER BY rank"))

    def meta(self, key: str) -> str | None:
        rows = self._query("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None

    def _exposure(self, row: sqlite3.Row) -> ExposureRow:
        return ExposureRow(
            id=row["id"],
            state=row["state"],
            specimen=row["specimen"],
            purpose=Purpose(row["purpose"]),
            tags=parse(TAGS, row["tags"]),
            exposure=parse(EXPOSURE, row["exposure"]),
            footprint=parse(FOOTPRINT, row["footprint"]),
            intent_utc=row["intent_utc"],
            frame=None if row["frame"] is None else parse(FRAME, row["frame"]),
            end_utc=row["end_utc"],
            error=row["error"],
            step=row["step"],
            signals=self.signals(row["id"]) if row["state"] == "committed" else (),
        )

    def _query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        cursor = self._database.cursor()
        cursor.row_factory = sqlite3.Row
        return cursor.execute(sql, values).fetchall()

    def _pages(self, sql: str, specimen: str | None) -> Iterator[sqlite3.Row]:
        last = 0
        while rows := self._query(sql, last, specimen, _PAGE):
            yield from rows
            last = rows[-1][0]


def _event(row: sqlite3.Row) -> EventRow:
    return EventRow(**{**dict(row), "time_s": _number(row["time_s"]), "data": parse(OBJECT, row["data"])})


def _number(value: float | None) -> float:
    return math.nan if value is None else value  # SQLite keeps NaN as NULL
