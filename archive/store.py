"""The frames of a survey: zarr v3 arrays, durable when ``write`` returns, checked when read."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from archive.durable import sync_file, sync_folder, write_atomically
from archive.errors import DamagedFrame
from archive.rows import StoredSignal
from archive.streams import BLOCK, Stream, array_folder, is_burst, little_endian, make_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from instruments.types import Signal


class FrameStore:
    """Reads, and for the one writer of a survey writes, ``frames/``.

    ``used`` is the committed length of each stream by the journal: what lies beyond was never acknowledged, and is
    written over.
    """

    def __init__(
        self, frames: Path, used: Mapping[str, int] | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        """``used`` None: only to read. ``about`` goes into the metadata of every new stream."""
        self._about = about
        self._frames = frames
        self._used = dict(used or {})
        self._mode: Literal["r", "r+"] = "r" if used is None else "r+"
        self._arrays: dict[str, tuple[zarr.Array[Any], Path]] = {}

    def write(self, name: str, signal: Signal) -> StoredSignal:
        """Make a signal durable: chunks, their folder, any new folder, metadata. Raises OSError.

        The place in the stream is taken by ``keep``; until then the next write goes to the same one.
        """
        stream = Stream.of(name, signal)
        if not (self._frames / f"{stream.name}.zarr").is_dir():
            make_stream(self._frames, stream, self._about)
        data = np.asarray(signal.data, dtype=little_endian(signal.data.dtype), order="C")
        count = data.shape[0] if is_burst(signal) else 1
        first = self._used.get(stream.name, 0)
        end = first + count
        if end > self._array(stream.name)[0].shape[0]:
            self._resize(stream.name, math.ceil(end / BLOCK) * BLOCK)
        array, folder = self._array(stream.name)
        array[first:end] = data.reshape((count, *stream.shape))
        for chunk in _chunks(array, first, end):
            sync_file(folder / chunk)
        sync_folder(folder)
        minimum, maximum, mean = _statistics(data)
        return StoredSignal(
            signal=name,
            stream=stream.name,
            first=first,
            count=count,
            shape=data.shape,
            sha256=_checksum(data),
            axes=signal.axes,
            unit=signal.unit,
            calibration=signal.calibration,
            minimum=minimum,
            maximum=maximum,
            mean=mean,
        )

    def keep(self, stored: StoredSignal) -> None:
        """The journal has committed it: the next write goes behind."""
        self._used[stored.stream] = stored.first + stored.count

    def read(self, stored: StoredSignal) -> npt.NDArray[np.generic]:
        """The signal's array as it was committed. Raises DamagedFrame where it is not that, never zeros."""
        place = f"{stored.signal} at {stored.first} of frames/{stored.stream}.zarr"
        end = stored.first + stored.count
        try:
            array, folder = self._array(stored.stream, length=end)
            absent = [chunk for chunk in _chunks(array, stored.first, end) if not (folder / chunk).is_file()]
            data = np.asarray(array[stored.first : end]).reshape(stored.shape)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise DamagedFrame(f"{place} was committed, found unreadable: {error}; restore it from a copy") from error
        if absent:
            raise DamagedFrame(f"{place} was committed, found chunk {absent[0]} missing: restore it from a copy")
        if _checksum(data) != stored.sha256:
            raise DamagedFrame(f"{place} was committed, found changed (checksum differs): restore it from a copy")
        return data

    def missing(self, stream: str, places: Iterable[tuple[int, int]]) -> list[int]:
        """Which of the places (first, count) of a stream lack a chunk, by ``first``.

        Quick, for a folder is listed once, and blind to changed bytes (``read`` is not).
        """
        try:
            array, folder = self._array(stream)
            there = set(os.listdir(folder))
        except (OSError, ValueError, KeyError):
            return [first for first, _ in places]
        parts = [chunk.split(".", 2)[2:] for chunk in _chunks(array, 0, 1)]
        return [
            first
            for first, count in places
            if any(".".join(["c", str(n), *part]) not in there for n in range(first, first + count) for part in parts)
        ]

    def trim(self) -> None:
        """Shorten every array to its committed length: others then see no blank frames at its end."""
        for name, used in self._used.items():
            with suppress(OSError, ValueError):  # full disk, damage: this is for looks, and ``read`` will tell
                array, folder = self._array(name)
                for chunk in _chunks(array, used, array.shape[0]):
                    (folder / chunk).unlink(missing_ok=True)  # written, never acknowledged
                if used < array.shape[0]:
                    self._resize(name, used)

    def _resize(self, name: str, length: int) -> None:
        """As ``zarr.Array.resize``, which would leave an empty zarr.json, and no array, in a power cut."""
        path = self._arrays.pop(name)[1] / "zarr.json"
        metadata = json.loads(path.read_text())
        metadata["shape"][0] = length
        write_atomically(path, json.dumps(metadata, indent=2).encode())

    def _array(self, name: str, *, length: int = 0) -> tuple[zarr.Array[Any], Path]:
        """The open array and its folder; opened again where the one at hand is shorter: its writer made it longer."""
        if name not in self._arrays or self._arrays[name][0].shape[0] < length:
            folder = array_folder(self._frames, name)
            # An all-zero frame is a frame: without this zarr would write no chunk for it.
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._arrays[name] = (zarr.open_array(folder, mode=self._mode), folder)
        return self._arrays[name]


def _chunks(array: zarr.Array[Any], first: int, end: int) -> Iterator[str]:
    """File names of the chunks that hold frames first … end − 1."""
    counts = [math.ceil(size / chunk) for size, chunk in zip(array.shape[1:], array.chunks[1:], strict=True)]
    for index in itertools.product(range(first, end), *map(range, counts)):
        yield "c." + ".".join(map(str, index))


def _checksum(data: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(data).data).hexdigest()


def _statistics(data: npt.NDArray[np.generic]) -> tuple[float | None, float | None, float | None]:
    """Minimum, maximum and mean of the finite numbers; None where there are none, or they are complex."""
    numbers = np.asarray(data)
    if numbers.dtype.kind == "f":
        numbers = numbers[np.isfinite(numbers)]
    if numbers.size == 0 or numbers.dtype.kind not in "biuf":
        return None, None, None
    return float(numbers.min()), float(numbers.max()), float(numbers.mean(dtype=np.float64))
