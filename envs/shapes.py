"""Descriptors in real space: tails, unevenness, bright and dark patches, edges, steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]

_WORKING_PX = 64
"""Shapes are read at about this many pixels across: finer ones are averaged first, against counting noise."""
_BLOCKS = 4


def describe_shapes(stack: Stack, level: Array) -> dict[str, Array]:
    """Descriptors of (K, h, w) windows with means (K,) = ``level``."""
    blocks = _blocks(stack)
    block_mean = blocks.mean(axis=(3, 4), dtype=np.float64)
    block_spread = np.sqrt(blocks.var(axis=(3, 4), dtype=np.float64)) + 1e-6 * level[:, None, None]
    step = np.maximum(np.ptp(block_mean.mean(axis=1), axis=1), np.ptp(block_mean.mean(axis=2), axis=1))

    binned = _binned(stack)
    smooth = ndimage.gaussian_filter(binned, (0, 1, 1), mode="nearest")
    flat = smooth.reshape(len(smooth), -1)
    low, median, high = _percentiles(flat, (2, 50, 98))
    tiny = 1e-6 * level
    slope = np.hypot(np.diff(smooth, axis=1)[:, :, :-1], np.diff(smooth, axis=2)[:, :-1, :]).reshape(len(smooth), -1)
    usual_slope, sharp_slope = _percentiles(slope, (50, 98))
    return {
        "asymmetry_ratio": (high - median + tiny) / (median - low + tiny),
        "unevenness_ratio": np.log(block_spread).std(axis=(1, 2)),
        "edge_ratio": (sharp_slope + tiny) / (usual_slope + tiny),
        "step_ratio": step / level,
    }


def _blocks(stack: Stack) -> Stack:
    """(K, h, w) → (K, 4, 4, h/4, w/4), the remainder cut off evenly."""
    count, height, width = stack.shape
    h, w = height // _BLOCKS, width // _BLOCKS
    top, left = (height - h * _BLOCKS) // 2, (width - w * _BLOCKS) // 2
    cut = stack[:, top : top + h * _BLOCKS, left : left + w * _BLOCKS]
    return cut.reshape(count, _BLOCKS, h, _BLOCKS, w).swapaxes(2, 3)


def _binned(stack: Stack) -> Stack:
    """Averages of b×b pixels."""
    count, height, width = stack.shape
    b = max(1, min(height, width) // _WORKING_PX)
    h, w = height // b, width // b
    return stack[:, : h * b, : w * b].reshape(count, h, b, w, b).mean(axis=(2, 4))


def _percentiles(flat: Stack, percent: tuple[int, ...]) -> list[Array]:
    """(K, n) → one (K,) each, to the nearest rank."""
    ranks = [round(p / 100 * (flat.shape[1] - 1)) for p in percent]
    ordered = np.partition(flat, ranks, axis=1)
    return [ordered[:, rank].astype(np.float64) for rank in ranks]

