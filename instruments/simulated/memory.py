"""Keeping freed memory: a batch renderer asks for the same megabytes a thousand times a second."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 28


def keep_memory() -> bool:
    """Tell the C library not to give freed blocks back to the system at once; returns whether it could be told.

    Otherwise every frame's arrays are mapped, cleared and unmapped anew, which costs as much as the frame (mallopt(3),
    glibc only). For processes that do nothing but render: training workers, benchmarks.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, _KEPT_BYTES) and mallopt(_TRIM_THRESHOLD, 2 * _KEPT_BYTES))
