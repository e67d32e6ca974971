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
    down, right = np.diff(smooth, axis=1)[:, :, :-1], np.diff(smooth, axis=2)[:, :-1, :]
    slope = np.sqrt(down**2 + right**2).reshape(len(smooth), -1)
    usual_slope, sharp_slope = _percentiles(slope, (50, 98))
    return {
        "asymmetry_ratio": (high - median + tiny) / (median - low + tiny),
        "unevenness_ratio": np.log(block_spread).std(axis=(1, 2)),
        "edge_ratio": (sharp_slope + tiny) / (usual_slope + tiny),
        "step_ratio": step / level,
    }


def describe_surroundings(image: Stack, windows: Sequence[Window]) -> dict[str, Array]:
    """Windows against three times their width around them, as far as the frame reaches: a slow change is no change."""
    inside = np.array([(*w.rows_px, *w.columns_px) for w in windows])
    size = np.stack([inside[:, 1] - inside[:, 0], inside[:, 3] - inside[:, 2]], axis=1)
    around = inside + np.stack([-size[:, 0], size[:, 0], -size[:, 1], size[:, 1]], axis=1)
    around = np.clip(around, 0, np.array([image.shape[0]] * 2 + [image.shape[1]] * 2))
    edges = np.concatenate([inside, around])
    pixels = image.astype(np.float64)
    mean = _means(pixels, edges)
    spread = np.sqrt(np.maximum(_means(np.square(pixels, out=pixels), edges) - mean**2, 0.0))
    (mean, mean_around), (spread, spread_around) = np.split(mean, 2), np.split(spread, 2)
    tiny = 1e-3 * np.abs(mean_around) + 1e-9
    return {
        "local_brightness_ratio": (mean + tiny) / (mean_around + tiny),
        "local_contrast_ratio": (spread + tiny) / (spread_around + tiny),
    }


def _means(pixels: Array, edges: npt.NDArray[np.intp]) -> Array:
    """(H, W) pixels and (N, 4) top, bottom, left, right → (N,)."""
    table, (top, bottom, left, right) = _summed(pixels), edges.T
    area = (bottom - top) * (right - left)
    return np.asarray((table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]) / area)


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
    ordered = np.sort(flat, axis=1)  # quicker than to part them by three ranks
    return [ordered[:, rank].astype(np.float64) for rank in ranks]
