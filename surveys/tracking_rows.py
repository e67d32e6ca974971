"""What following keeps of each tick, line by line, and how it is learned again after a stop or a crash."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from archive.errors import FolderError
from envs.particles import Measured
from envs.tracking_task import SoFar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from agent.tracking import Tracker
    from agent.tracking_mission import Mission
    from models.kinetics_nuisance import Reading

Row: TypeAlias = dict[str, Any]
Passed: TypeAlias = "tuple[float, Mapping[str, float]]"
"""(duration in s, what the holder held meanwhile)."""

ROWS, SUMMARY = "tracking.jsonl", "tracking.json"
_NEEDED = ("passed", "failed", "asides", "orders", "ended_s", "clock_s", "held", "x_nm")
"""What going on is made from."""
RUNNER = "runner"
"""Who decides of looks at control places."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A look that told nothing."""

    look: int
    place: int
    electrons: float
    """Spent all the same."""
    lasting: bool


class RowsFile:
    """Rows, each durable before the next tick begins."""

    def __init__(self, path: Path, begun: Sequence[Row]) -> None:
        """``begun``: what it holds already; what a crash has cut off after these is dropped."""
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(sum(len(_line(row)) for row in begun))
        self._file.seek(0, os.SEEK_END)

    def add(self, row: Mapping[str, Any]) -> None:
        self._file.write(_line(row))
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def is_followed(folder: Path) -> bool:
    """Whether a specimen was followed here, or is."""
    return (folder / ROWS).is_file()


def ended(folder: Path) -> bool:
    """Whether it was followed to its end, not only to a stop."""
    summary = folder / SUMMARY
    return summary.is_file() and not json.loads(summary.read_text(encoding="utf-8")).get("stopped", False)


def read_rows(folder: Path) -> list[Row]:
    """What was kept so far, without a last line that a crash cut off. Raises FolderError for one in the middle."""
    path, rows = folder / ROWS, []
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    for n, line in enumerate(lines[:-1]):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise FolderError(
                f"{path}: line {n + 1} is damaged ({error}); nothing can be learned from it again"
            ) from error
    return rows


def check_rows(rows: Sequence[Row], folder: Path) -> None:
    """Raises FolderError where they do not tell enough to go on: the first version of following kept less."""
    if missing := sorted({name for row in rows for name in _NEEDED if name not in row}):
        raise FolderError(
            f"{folder / ROWS}: rows without {', '.join(missing)} are of an earlier version, and what was learned then "
            "cannot be learned from them again: follow the specimen anew, in a new folder"
        )


def so_far(rows: Sequence[Row], steps: int, electrons: float, mission: Mission) -> SoFar:
    """What was done: by its rows, and electrons by the ledger, which also knows what a crash cut off from its row."""
    if not rows:
        return SoFar()
    places = len(mission.places_nm)
    fluence = np.zeros(places)
    for row in rows:
        here = [(row["place"], row["electrons"], row["look"])] if row["values"] and row["decided_by"] != RUNNER else []
        if row["failed"]:
            here.append((row["failed"]["place"], row["failed"]["electrons"], row["look"]))
        for place, spent, name in here:
            look = next(each for each in mission.looks if each.name == name)
            fluence[place] += spent / (look.field_of_view_nm**2 * 100.0)
    last = rows[-1]
    return SoFar(
        started_s=last["clock_s"] - last["ended_s"],
        electrons=electrons,
        fluence_e_per_A2=tuple(fluence.tolist()),
        steps=steps,
        orders=last["orders"],
    )


def refold(row: Row, mission: Mission, tracker: Tracker, readings: list[Reading], controls: list[Reading]) -> None:
    """Let the agent learn what this row tells, in the order in which it did."""
    before, after = row["passed"]
    for duration_s, held in before:
        tracker.wait(duration_s, held)
    if row["values"] is not None:
        reading = _reading(row, mission)
        if row["decided_by"] == RUNNER:
            controls.append(reading)
        else:
            readings.append(reading)
            tracker.observe(reading)
    if row["failed"]:
        tracker.failed(
            row["failed"]["look"], row["failed"]["place"], row["failed"]["electrons"], lasting=row["failed"]["lasting"]
        )
    for duration_s, held in after:
        tracker.wait(duration_s, held)


def _reading(row: Row, mission: Mission) -> Reading:
    look = next(each for each in mission.looks if each.name == row["look"])
    values, sds = (np.array([np.nan if v is None else v for v in row[name]]) for name in ("values", "sds"))
    measured = Measured(values=values, sds=sds, count=0, smallest_nm=0.0, volume_floor_nm=0.0)
    aside = row["decided_by"] == RUNNER
    reading = mission.reading(look, 0 if aside else row["place"], row["t_s"], measured)
    return replace(reading, view=replace(reading.view, place=row["place"], x_nm=row["x_nm"]))
