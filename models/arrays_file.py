"""Reads safetensors without the library: arrays of float64 and nothing else, for the computer beside the instrument.

The format (https://github.com/huggingface/safetensors): eight bytes of length, that much JSON, then the numbers.
Nothing in it is ever run.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Array: TypeAlias = npt.NDArray[np.float64]

MOST_BYTES = 256 << 20
_SMALL = 1 << 20


def read_arrays(path: Path, kind: tuple[str, str]) -> dict[str, Array]:
    """Arrays by name. Raises ConfigError for one that is missing, broken, or of another ``kind`` (format, version)."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has over {MOST_BYTES >> 20} MB")
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        if not 0 < length <= min(_SMALL, len(data) - 8):
            raise ValueError("it does not begin as safetensors do")
        told = json.loads(data[8 : 8 + length])
        about = told.pop("__metadata__", {})
        arrays = {name: _array(data[8 + length :], each) for name, each in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} is not a file of learned arrays ({error}): make it again by `adaptem learn`"
        ) from error
    if (about.get("format"), about.get("version")) != kind:
        found = f"{about.get('format')!r} of version {about.get('version')!r}"
        raise ConfigError(f"{path} is {found}; this reads {kind[0]!r} of version {kind[1]!r}: `adaptem learn` makes it")
    return arrays


def _array(data: bytes, told: Mapping[str, Any]) -> Array:
    shape, (first, last) = tuple(int(size) for size in told["shape"]), told["data_offsets"]
    if told["dtype"] != "F64" or not 0 <= first <= last <= len(data) or last - first != 8 * math.prod(shape):
        raise ValueError(f"an array {told} that is not float64, or reaches beyond the file")
    return np.frombuffer(data[first:last], dtype="<f8").reshape(shape).astype(np.float64)
