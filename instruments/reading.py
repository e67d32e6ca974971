"""The process that reads vendors' files: ``python -m instruments.reading``. It starts with ``recordings.opened``.

RosettaSciIO is under the GPL, and readers of closed formats may hang or fall over a damaged file: both stay in here.
One request a line of JSON on standard input, one line of JSON back, then the bytes that it announces:

    {"open": PATH}                      ► {"signals": [{name, shape, dtype, axes, vendor, tags, …}, …]}
    {"read": 0, "slices": [[0, 4], …]}  ► {"shape": […], "dtype": "<f4", "bytes": N}, and N bytes in C order
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnknownKind(Exception):
    """No reader knows such a file."""


def signals_of(path: Path) -> list[dict[str, Any]]:
    """What a file holds: data, axes, original_metadata; data that are large are read when they are asked for."""
    suffix = path.suffix.lower().lstrip(".")
    if suffix == "emd":
        velox = importlib.import_module("instruments.velox")  # needs h5py
        if velox.is_velox(path):
            return list(velox.velox_signals(path))
    plugins = [each for each in importlib.import_module("rsciio").IO_PLUGINS if suffix in each["file_extensions"]]
    if not plugins:
        raise UnknownKind(f"no reader knows .{suffix}; convert it to TIFF, MRC or OME-Zarr")
    reader = importlib.import_module(plugins[0]["api"]).file_reader
    try:
        signals = reader(str(path), lazy=True)
    except (NotImplementedError, TypeError):  # a reader that reads at once only
        signals = reader(str(path))
    vendor = plugins[0]["name"].lower()
    return [signal | {"vendor": vendor, "title": _title(signal)} for signal in signals]


def flat(tags: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested tags as (a/b/c, value); what is long is left out, it is data."""
    tags = tags.as_dictionary() if hasattr(tags, "as_dictionary") else tags
    pairs = tags.items() if isinstance(tags, dict) else enumerate(tags)
    for name, value in pairs:
        value = value.item() if isinstance(value, (np.generic, np.ndarray)) and np.size(value) == 1 else value
        value = value.tolist() if isinstance(value, np.ndarray) and value.size <= 16 else value
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        if isinstance(value, dict) or hasattr(value, "as_dictionary"):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, (list, tuple)) and 0 < len(value) <= 16:
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, (str, int, float, bool)):
            yield f"{prefix}{name}", value


def told(signal: dict[str, Any]) -> dict[str, Any]:
    """What the parent is told of a signal."""
    names = ("name", "size", "scale", "offset", "units", "navigate")
    axes = [{key: _number(axis.get(key)) for key in names} for axis in signal["axes"]]
    about = signal.get("metadata") or {}
    about = about.as_dictionary() if hasattr(about, "as_dictionary") else about
    return {
        "name": signal.get("title") or "",
        "signal_type": signal.get("signal_type") or about.get("Signal", {}).get("signal_type", ""),
        "shape": list(signal["data"].shape),
        "dtype": np.dtype(signal["data"].dtype).newbyteorder("<").str,
        "axes": axes,
        "vendor": signal["vendor"],
        "frames": signal.get("frames", 1),
        "tags": dict(flat(signal.get("original_metadata") or {})),
        "about": dict(flat(about)),
    }


def _title(signal: dict[str, Any]) -> str:
    about = signal.get("metadata") or {}
    about = about.as_dictionary() if hasattr(about, "as_dictionary") else about
    return str(about.get("General", {}).get("title", ""))


def _number(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _block(data: Any, slices: list[list[int]]) -> bytes:
    part = data[tuple(slice(first, last) for first, last in slices)]
    array = np.asarray(part.compute() if hasattr(part, "compute") else part)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def main() -> None:
    """Answer until standard input ends."""
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # what readers print must not come between answers
    warnings.simplefilter("ignore")
    signals: list[dict[str, Any]] = []
    for line in sys.stdin.buffer:
        request, blob = json.loads(line), b""
        try:
            if "open" in request:
                signals = signals_of(Path(request["open"]))
                answer: dict[str, Any] = {"signals": [told(signal) for signal in signals]}
            else:
                blob = _block(signals[request["read"]]["data"], request["slices"])
                answer = {"bytes": len(blob)}
        except UnknownKind as error:
            answer = {"unknown": str(error)}
        except Exception as error:  # readers fail in every way there is on a damaged file
            answer = {"error": " ".join(str(error).split()) or type(error).__name__}
        answers.write(json.dumps(answer).encode() + b"\n" + blob)
        answers.flush()


if __name__ == "__main__":
    main()
