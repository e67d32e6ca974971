"""The journal's tables, one text a version, and the JSON form of the records kept in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter
from pydantic_core import to_json

from envs.step import Step, Tag
from instruments.types import Axis, Exposure, Footprint, Frame, Optics, Reading, StagePosition

T = TypeVar("T")

UPGRADES: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE steps (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        specimen TEXT NOT NULL,
        number INTEGER NOT NULL,
        kind TEXT NOT NULL,
        start_s REAL,
        end_s REAL,
        utc TEXT NOT NULL,
        data TEXT NOT NULL,              -- envs.step.Step
        UNIQUE (specimen, number)
    );

    CREATE TABLE exposures (
        id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, also after a restart
        state TEXT NOT NULL CHECK (state IN ('intent', 'committed', 'failed', 'lost')),
        specimen TEXT NOT NULL,
        purpose TEXT NOT NULL,
        tags TEXT NOT NULL,              -- [envs.step.Tag]
        exposure TEXT NOT NULL,          -- instruments.types.Exposure, as intended
        footprint TEXT NOT NULL,         -- instruments.types.Footprint
        intent_utc TEXT NOT NULL,
        frame TEXT,                      -- FrameRecord, as done
        end_utc TEXT,                    -- of commit, failure or loss
        error TEXT,
        step INTEGER REFERENCES steps (seq)
    );
    CREATE INDEX exposures_by_state ON exposures (state);
    CREATE INDEX exposures_by_step ON exposures (step);

    CREATE TABLE frames (
        exposure INTEGER NOT NULL REFERENCES exposures (id),
        signal TEXT NOT NULL,
        stream TEXT NOT NULL,            -- frames/<stream>.zarr
        first INTEGER NOT NULL,          -- index along the stream's first axis
        count INTEGER NOT NULL,          -- 1, or the frames of a burst
        shape TEXT NOT NULL,             -- of the signal's array
        sha256 TEXT NOT NULL,            -- of its bytes, C order, little endian
        axes TEXT NOT NULL,              -- [instruments.types.Axis]
        unit TEXT NOT NULL,
        calibration TEXT NOT NULL,
        minimum REAL, maximum REAL, mean REAL,
        PRIMARY KEY (exposure, signal)
    );
    CREATE INDEX frames_by_stream ON frames (stream, first);

    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, message TEXT NOT NULL, time_s REAL, utc TEXT NOT NULL, data TEXT NOT NULL
    );

    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL, data TEXT NOT NULL, person TEXT NOT NULL, created_utc TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'new', reply TEXT, answered_utc TEXT
    );
    CREATE INDEX requests_by_state ON requests (state);

    CREATE TABLE flags (rank INTEGER PRIMARY KEY, data TEXT NOT NULL);
    """,
)
"""As ``archive.sqlite_writing`` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """A ``Frame`` without its arrays."""

    exposure: Exposure
    """As done."""
    stage: StagePosition
    optics: Optics
    start_s: float
    end_s: float
    electrons: float
    holder: Mapping[str, Reading]
    doubts: tuple[str, ...] = ()

    @classmethod
    def of(cls, frame: Frame) -> FrameRecord:
        return cls(
            exposure=frame.exposure,
            stage=frame.stage,
            optics=frame.optics,
            start_s=frame.start_s,
            end_s=frame.end_s,
            electrons=frame.electrons,
            holder=frame.holder,
            doubts=frame.doubts,
        )


STEP = TypeAdapter(Step)
TAGS = TypeAdapter(tuple[Tag, ...])
EXPOSURE = TypeAdapter(Exposure)
FOOTPRINT = TypeAdapter(Footprint)
FRAME = TypeAdapter(FrameRecord)
AXES = TypeAdapter(tuple[Axis, ...])
SHAPE = TypeAdapter(tuple[int, ...])
NUMBERS = TypeAdapter(dict[str, float])
OBJECT: TypeAdapter[Mapping[str, Any]] = TypeAdapter(dict[str, Any])


def dump(value: object) -> str:
    """JSON of a record; NaN and infinities are kept, as Python's own json does. Raises ValueError for anything odd.

    >>> dump(Tag(stream="policy", inclusion_probability=float("nan")))
    '{"stream":"policy","inclusion_probability":NaN}'
    """
    return to_json(value, inf_nan_mode="constants", fallback=_plain).decode()


def parse(adapter: TypeAdapter[T], text: str) -> T:
    """The record that ``dump`` wrote. Raises pydantic.ValidationError (a ValueError) for anything else."""
    return adapter.validate_json(text)


def _plain(value: object) -> object:
    """What pydantic does not know by itself: read-only mappings, numpy's scalars, arrays of descriptors."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot record a {type(value).__name__} as JSON: give numbers, text, lists, dicts or dataclasses")
