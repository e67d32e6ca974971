"""Power spectra of a few images on a fixed grid of rings and sectors: what a network reads of them.

The rings are evenly spaced in the logarithm of the frequency in cycles per pixel, so that a blur twice as wide moves
the same picture by so many rings, whatever the frame's size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats: TypeAlias = npt.NDArray[np.float32]

RINGS, SECTORS = 32, 8
"""Sectors are of half a turn: the other half repeats them."""
LOWEST_PER_PX, HIGHEST_PER_PX = 0.025, 0.5
LEAST_PX = 192
"""Of narrower frames too many cells hold no frequency; those of one that hold none are told as noise."""


def spectra_of(images: npt.ArrayLike) -> Floats:
    """(K, RINGS, SECTORS) of images (K, H, W) in counted electrons: asinh of how far above counting noise a cell is.

    In standard deviations of the mean over the cell; two cells that are seen well differ by the logarithm of their
    powers. Sectors begin at the direction of columns and turn towards rows. Raises ValueError for frames that are too
    narrow, or that counted nothing.
    """
    stack = np.asarray(images, dtype=np.float64)
    if stack.ndim != 3 or min(stack.shape[1:]) < LEAST_PX or not np.isfinite(stack).all():
        raise ValueError(f"images {stack.shape}: give finite (K, rows, columns) of {LEAST_PX} pixels a side at least")
    means = stack.mean((1, 2), keepdims=True)
    if not (means > 0).all():
        raise ValueError("an image counted nothing on average: take off the detector's offset, or expose longer")
    cover, cell, size = _cells(stack.shape[1], stack.shape[2])
    noise = (stack * cover**2).sum((1, 2), keepdims=True)
    power = np.abs(fft.rfft2((stack - means) * cover)) ** 2 / np.maximum(noise, 1e-9)
    kept = cell >= 0
    sums = np.stack([np.bincount(cell[kept], one[kept], RINGS * SECTORS) for one in power])
    spread = float(cover.size * (cover**4).sum() / (cover**2).sum() ** 2)
    excess = (sums - size) / np.sqrt(np.maximum(size, 1.0) * spread)
    return np.arcsinh(excess).astype(np.float32).reshape(-1, RINGS, SECTORS)


@lru_cache(maxsize=8)
def _cells(rows: int, columns: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Hann's window (H, W), which cell each frequency of the half spectrum is of (−1: none), and their sizes."""
    ky, kx = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]
    radius = np.hypot(ky, kx)
    along = np.log(np.maximum(radius, 1e-9) / LOWEST_PER_PX) / math.log(HIGHEST_PER_PX / LOWEST_PER_PX) * RINGS
    ring = np.floor(along).astype(np.int64)
    # the middle of sector 0 lies along columns
    sector = np.floor(np.arctan2(ky, kx) / math.pi * SECTORS + 0.5).astype(np.int64) % SECTORS
    inside = (ring >= 0) & (ring < RINGS) & ((kx > 0) | (ky > 0))
    cell = np.where(inside, ring * SECTORS + sector, -1)
    size = np.bincount(cell[inside], minlength=RINGS * SECTORS).astype(np.float64)
    return np.outer(np.hanning(rows), np.hanning(columns)), cell, size
