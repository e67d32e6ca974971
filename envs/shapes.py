"""Descriptors in real space: tails, unevenness, bright and dark patches, edges, steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.scorers import Window

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


def describe_surroundings(image: Stack, windows: Sequence[Window]) -> dict[str, Array]:
    """Windows against three times their width around them, as far as the frame reaches: a slow change is no change."""
    pixels = image.astype(np.float64)
    total = _summed(pixels)
    squares = _summed(pixels**2)

    def mean_and_spread(edges: npt.NDArray[np.intp]) -> tuple[Array, Array]:
        top, bottom, left, right = edges.T
        area = (bottom - top) * (right - left)
        mean, square = (
            (t[bottom, right] - t[top, right] - t[bottom, left] + t[top, left]) / area for t in (total, squares)
        )
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0))

    inside = np.array([(*w.rows_px, *w.columns_px) for w in windows])
    size = np.stack([inside[:, 1] - inside[:, 0], inside[:, 3] - inside[:, 2]], axis=1)
    around = inside + np.stack([-size[:, 0], size[:, 0], -size[:, 1], size[:, 1]], axis=1)
    around = np.clip(around, 0, np.array([image.shape[0]] * 2 + [image.shape[1]] * 2))
    (mean, spread), (mean_around, spread_around) = mean_and_spread(inside), mean_and_spread(around)
    tiny = 1e-3 * np.abs(mean_around) + 1e-9
    return {
        "local_brightness_ratio": (mean + tiny) / (mean_around + tiny),
        "local_contrast_ratio": (spread + tiny) / (spread_around + tiny),
    }


def _summed(pixels: Array) -> Array:
    """(H, W) → (H + 1, W + 1): sums over everything above and left."""
    table = np.zeros((pixels.shape[0] + 1, pixels.shape[1] + 1))
    np.cumsum(pixels, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table


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
    return np.asarray(stack[:, : h * b, : w * b].reshape(count, h, b, w, b).mean(axis=(2, 4)))


def _percentiles(flat: Stack, percent: tuple[int, ...]) -> list[Array]:
    """(K, n) → one (K,) each, to the nearest rank."""
    ranks = [round(p / 100 * (flat.shape[1] - 1)) for p in percent]
    ordered = np.partition(flat, ranks, axis=1)
    return [ordered[:, rank].astype(np.float64) for rank in ranks]
