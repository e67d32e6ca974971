"""Power spectra of images as means over sectors of rings, for a fit of rings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from models.focus_optics import Array, Frequencies

SECTORS = 16
"""Of half a turn: what is averaged over each still shows an astigmatism."""
RING_STEPS = 1.0
"""Width of a ring, in steps of the spectrum."""
LOUD = 1.5
"""Tiles of so many times the variance of a quiet one hold more than a film: a particle, an edge."""
LOWEST = 4.0
"""Rings below this many steps are left out: shading and the window's own peak."""
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Cells:
    """C cells, each a sector of a ring."""

    power: Array
    """(K, C) mean power of each image, over that of counting noise."""
    count: Array
    """(C,) independent powers in each mean."""
    ring: npt.NDArray[np.int64]
    """(C,) which ring a cell is of."""
    cell: npt.NDArray[np.int64]
    """(J,) which cell a frequency is of."""
    size: Array
    """(C,) frequencies of each."""
    at: Frequencies

    def humps(self, count: int) -> Array:
        """(count, C) triangles along the rings, evenly spaced, whose sum is 1."""
        along = self.ring / max(int(self.ring.max()), 1) * (count - 1)
        return np.asarray(np.maximum(1 - np.abs(along - np.arange(count)[:, None]), 0.0))


def cells_of(stack: Array, pixel_nm: float, tile_px: int | None, highest_per_nm: float) -> Cells:
    """Of images (K, H, W) in counts: periodograms under Hann's window, whole or averaged over half-overlapping tiles.

    Tiles that hold more than a film are left out where others do not. Powers are over those of counting noise. Raises
    ValueError where no ring lies below ``highest_per_nm``.
    """
    side = min(tile_px or min(stack.shape[1:]), *stack.shape[1:])
    cover = np.outer(np.hanning(side), np.hanning(side))
    corners = [
        (r, c)
        for r in range(0, stack.shape[1] - side + 1, max(side // 2, 1))
        for c in range(0, stack.shape[2] - side + 1, max(side // 2, 1))
    ]
    tiles = [stack[:, r : r + side, c : c + side] for r, c in corners]
    louder = np.array([tile.var((1, 2)) for tile in tiles])
    louder /= np.quantile(louder, 0.25, axis=0, method="lower") + _TINY
    quiet = [tile for tile, loud in zip(tiles, louder.max(1) > LOUD, strict=True) if not loud]
    tiles = quiet or tiles
    power = np.zeros((len(stack), side, side // 2 + 1))
    for tile in tiles:
        level = (tile * cover).sum((1, 2), keepdims=True) / cover.sum()
        spectra = fft.rfft2((tile - level) * cover)
        power += np.abs(spectra) ** 2 / (stack.mean((1, 2), keepdims=True) * (cover**2).sum() * len(tiles))
    row, column = np.meshgrid(
        np.fft.fftfreq(side, 1 / side).round().astype(np.int64), np.arange(side // 2 + 1), indexing="ij"
    )
    radius = np.hypot(row, column)
    keep = (radius >= LOWEST) & (radius / (side * pixel_nm) <= highest_per_nm) & ((column > 0) | (row > 0))
    if not keep.any():
        raise ValueError(f"no ring of tiles of {side} pixels of {pixel_nm:g} nm lies below {highest_per_nm:g} per nm")
    row, column, radius = row[keep], column[keep], radius[keep]
    ring = np.rint(radius / RING_STEPS).astype(np.int64)
    sector = np.floor(np.arctan2(row, column) / math.pi * SECTORS).astype(np.int64) % SECTORS
    names, cell = np.unique(ring * SECTORS + sector, return_inverse=True)
    size = np.bincount(cell).astype(np.float64)
    mean = np.stack([np.bincount(cell, one) for one in power[:, keep]]) / size
    # Hann's window spreads a frequency over its neighbours; half-overlapping tiles are nearly independent.
    overlap = float(cover.size * (cover**4).sum() / (cover**2).sum() ** 2)
    step = 1 / (side * pixel_nm)
    at = Frequencies(row, column, np.full(len(row), 2.0), row * step, column * step)
    return Cells(
        mean,
        np.maximum(size * len(tiles) / overlap, 1.0),
        np.unique(names // SECTORS, return_inverse=True)[1],
        cell,
        size,
        at,
    )


def middles(cells: Cells, highest_per_nm: float) -> Cells:
    """The cells of the lower rings, each stood for by the middle of its frequencies."""
    size = cells.size
    ky, kx = (np.bincount(cells.cell, part) / size for part in (cells.at.ky_per_nm, cells.at.kx_per_nm))
    # a sector that straddles the axis where rows change sign has its middle elsewhere: its radius says so
    radius = np.bincount(cells.cell, np.hypot(cells.at.ky_per_nm, cells.at.kx_per_nm)) / size
    keep = (radius <= highest_per_nm) & (np.hypot(ky, kx) > 0.9 * radius)
    count = int(keep.sum())
    nowhere = np.zeros(count, dtype=np.int64)  # middles lie between the spectrum's steps
    return Cells(
        cells.power[:, keep],
        cells.count[keep],
        np.unique(cells.ring[keep], return_inverse=True)[1],
        np.arange(count),
        np.ones(count),
        Frequencies(nowhere, nowhere, np.full(count, 2.0), ky[keep], kx[keep]),
    )


def of_ring(power: Array, cells: Cells) -> Array:
    """(C,) the mean of each cell's ring."""
    return np.asarray((np.bincount(cells.ring, power * cells.count) / np.bincount(cells.ring, cells.count))[cells.ring])
