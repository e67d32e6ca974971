"""What really happened in a world, row by row, in its own file that no survey reads.

One JSON object a line, appended by one write each: a killed process loses at most the row it was writing.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, TypeAlias

from configs.load import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.simulated.settings import SimulatedSettings

Row: TypeAlias = dict[str, Any]


def fingerprint(settings: SimulatedSettings) -> str:
    """A hash of everything that shapes the world; whether it runs in real time does not."""
    return hashlib.sha256(settings.model_dump_json(exclude={"real_time"}).encode()).hexdigest()[:16]


def check_same(boot: Row, seed: int, settings: SimulatedSettings, path: Path | None) -> None:
    """The world of a truth file's first row is the one that is asked for. Raises ConfigError."""
    if boot.get("seed") != seed or boot.get("settings") != fingerprint(settings):
        raise ConfigError(
            f"{path}: this world was made with seed {boot.get('seed')} and settings {boot.get('settings')}; now seed "
            f"{seed} and settings {fingerprint(settings)} were asked: keep to the first, or give a new path"
        )


class TruthLog:
    """An append-only file of rows; without a path, nothing is written.

    Raises:
        ConfigError: the file exists but is not a truth file.
    """

    def __init__(self, path: Path | None) -> None:
        self._descriptor: int | None = None
        self.rows: list[Row] = []
        """Rows an earlier process left."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self.rows = _read(path, self._descriptor)
            except ConfigError:
                self.close()
                raise

    def append(self, row: str, t_s: float, **values: Any) -> None:
        """Write one row of a kind at a time of the instrument's clock."""
        if self._descriptor is not None:
            line = json.dumps({"row": row, "t_s": t_s, **values}, separators=(",", ":"), allow_nan=False)
            data = line.encode() + b"\n"
            if os.write(self._descriptor, data) != len(data):
                raise OSError(f"the world's truth could not be written whole ({row} at {t_s} s); make room on the disk")

    def close(self) -> None:
        """Let go of the file. Safe twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _read(path: Path, descriptor: int) -> list[Row]:
    """Whole rows; a torn last line is cut off the file, so that the next row starts on a line of its own."""
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole != len(text):
        os.ftruncate(descriptor, whole)
    try:
        rows = [json.loads(line) for line in text[:whole].splitlines()]
    except ValueError as error:
        raise ConfigError(f"{path}: not a world's truth file ({error}); give the world another path") from error
    if rows and (not isinstance(rows[0], dict) or rows[0].get("row") != "boot"):
        raise ConfigError(f"{path}: not a world's truth file (no boot row); give the world another path")
    return rows
