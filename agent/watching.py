"""Whether something has happened in a decimated stream, at a rate of false alarms that is set."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from models.changes import ChangeDetector

if TYPE_CHECKING:
    from envs.streaming import Sum

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

_BLOCKS = 16
"""Along each side: what is smaller than a block shows by what it changes of the block's sum."""
_FEWEST = 4
"""Sums by which the noise is known before any is judged."""
_REMEMBERED = 12
"""What changed earlier than so many sums ago has become what is usual."""


class StreamWatch:
    """Sums of frames against those before them, block by block.

    The noise of a block is taken as proportional to its mean (counting, whatever the gain), and that proportion from
    the differences between earlier sums. The chi-square of all blocks, as a normal number (Wilson & Hilferty, PNAS 17,
    684 (1931)), goes to ``models.changes.ChangeDetector``. A drift of pixels within a few sums is a change, too.
    """

    def __init__(self, sums: int, false_alarms: Ratio) -> None:
        """``false_alarms``: of a stream of so many sums. Raises ValueError as ``ChangeDetector``."""
        self._detector = ChangeDetector(max(sums, 1), false_alarms)
        self._before: deque[Array] = deque(maxlen=_REMEMBERED)

    def watch(self, frame: Sum) -> bool:
        """Whether this sum (H, W) is an alarm; then what is usual begins anew with it."""
        blocks, before = _blocks(frame), self._before
        alarm = len(before) >= _FEWEST and self._detector.learn(_off(blocks, np.array(before)))
        if alarm:
            before.clear()
        before.append(blocks)
        return alarm


def _blocks(frame: Sum) -> Array:
    """(B,) sums over at most 16 × 16 blocks; what does not fill a block is left out."""
    rows, columns = (min(_BLOCKS, length) for length in frame.shape)
    high, wide = frame.shape[0] // rows, frame.shape[1] // columns
    cut = frame[: rows * high, : columns * wide].astype(np.float64)
    return np.asarray(cut.reshape(rows, high, columns, wide).sum(axis=(1, 3)).ravel())


def _off(blocks: Array, before: Array) -> float:
    """How far (B,) lies from the mean of (N, B) before it, in standard deviations of all blocks together."""
    count, size = before.shape
    mean = np.maximum(before.mean(axis=0), 1e-12)
    per_mean = float((np.diff(before, axis=0) ** 2).sum() / (2 * (count - 1) * mean.sum()))
    if not per_mean > 0:
        return 0.0 if np.array_equal(blocks, before[-1]) else 100.0  # a recording without noise
    chi = float(((blocks - mean) ** 2 / (per_mean * mean * (1 + 1 / count))).sum()) / size
    spread = 2 / (9 * size)
    return float(math.cbrt(chi) - (1 - spread)) / math.sqrt(spread * (1 + 1.5 / (count - 1)))
