"""Vendors' files through a process of their own (``instruments.reading``): RosettaSciIO is under the GPL."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from configs.load import ConfigError
from instruments.recordings import Recording, recording_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST_S = 300.0
"""Of one answer: compiling readers, slow discs."""


class Reader:
    """A file, open in the other process."""

    def __init__(self, path: Path) -> None:
        suffix = path.suffix.lower().lstrip(".")
        if importlib.util.find_spec("rsciio") is None:
            raise ConfigError(
                f"{path}: .{suffix} is a vendor's format; install adaptem[formats] to read it, or convert it to TIFF"
            )
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, "-m", "instruments.reading"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
        )

    def open(self) -> tuple[Recording, ...]:
        """What the file holds. Raises ConfigError."""
        answer, _ = self._ask({"open": str(self._path.resolve())})
        return tuple(recording_of(number, told, self) for number, told in enumerate(answer["signals"]))

    def read(
        self, number: int, slices: Sequence[Sequence[int]], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> npt.NDArray[Any]:
        """A block of a signal, in the file's own order of axes. Raises ConfigError."""
        _, blob = self._ask({"read": number, "slices": slices})
        return np.frombuffer(blob, dtype).reshape(shape)

    def close(self) -> None:
        """End the process. Safe twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what it was never told, it needs no more
                    stream.close()

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        ask, answers = self._process.stdin, self._process.stdout
        late = Timer(_LONGEST_S, self._process.kill)
        late.daemon = True
        late.start()
        try:
            if ask is None or answers is None:
                raise ValueError("it has no pipes")
            ask.write(json.dumps(request).encode() + b"\n")
            ask.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            size = int(answer.get("bytes", 0))
            blob = answers.read(size)
            if len(blob) < size:
                raise ValueError("the reader ended within an answer")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self._path}: its reader gave no answer ({error or 'it ended'}); {_WHOLE}") from error
        finally:
            late.cancel()
        if "unknown" in answer:
            raise ConfigError(f"{self._path}: {answer['unknown']}")
        if "error" in answer:
            raise ConfigError(f"{self._path}: cannot be read ({answer['error']}); {_WHOLE}")
        return answer, blob


_WHOLE = "check that the copy is whole"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Recording, ...]]:
    """The recordings of a vendor's file, readable while this is open. Raises ConfigError."""
    reader = Reader(path)
    try:
        yield reader.open()
    finally:
        reader.close()
