"""What the beam has done where: every exposure exactly, and a coarse map for drawing."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from instruments.simulated.hashing import Floats
    from instruments.simulated.projection import Canvas
    from instruments.types import Footprint

_GRAIN_NM = 12.5
_TILE = 64
_BUCKET_NM = 500.0


class FluenceMap:
    """Local fluence: exact at a point, to ``_GRAIN_NM`` for a whole canvas. Memory grows with the area exposed."""

    def __init__(self) -> None:
        self._buckets: defaultdict[tuple[int, int], list[tuple[Footprint, float]]] = defaultdict(list)
        self._tiles: dict[tuple[int, int], np.ndarray] = {}
        self._waiting: defaultdict[tuple[int, int], list[tuple[Footprint, float]]] = defaultdict(list)
        """By tile, what is not drawn into it yet: a world that is opened again draws only where it is looked at."""

    def add(self, footprint: Footprint, fluence_e_per_A2: float) -> None:
        """Account for one exposure, even over its footprint."""
        half_x, half_y = _half_extent(footprint)
        x_range = footprint.x_nm - half_x, footprint.x_nm + half_x
        y_range = footprint.y_nm - half_y, footprint.y_nm + half_y
        for i in _indices(x_range, _BUCKET_NM):
            for j in _indices(y_range, _BUCKET_NM):
                self._buckets[i, j].append((footprint, fluence_e_per_A2))
        for i in _indices(x_range, _GRAIN_NM * _TILE):
            for j in _indices(y_range, _GRAIN_NM * _TILE):
                self._waiting[i, j].append((footprint, fluence_e_per_A2))

    def at(self, x_nm: float, y_nm: float) -> float:
        """Fluence that a place has received, in e/Å²: the sum over every exposure that covered it."""
        bucket = self._buckets.get((math.floor(x_nm / _BUCKET_NM), math.floor(y_nm / _BUCKET_NM)), [])
        return math.fsum(fluence for footprint, fluence in bucket if footprint.contains(x_nm, y_nm))

    def on(self, canvas: Canvas) -> Floats | None:
        """Fluence under every pixel, (H, W) in e/Å²; None where nothing was exposed yet."""
        columns = np.floor(canvas.xs_nm / _GRAIN_NM).astype(np.int64)
        rows = np.floor(canvas.ys_nm / _GRAIN_NM).astype(np.int64)
        i_tiles = range(int(columns.min()) // _TILE, int(columns.max()) // _TILE + 1)
        j_tiles = range(int(rows.min()) // _TILE, int(rows.max()) // _TILE + 1)
        touched = [(i, j) for i in i_tiles for j in j_tiles if self._drawn(i, j)]
        if not touched:
            return None
        block = np.zeros((len(j_tiles) * _TILE, len(i_tiles) * _TILE), dtype=np.float32)
        for i, j in touched:
            top, left = (j - j_tiles.start) * _TILE, (i - i_tiles.start) * _TILE
            block[top : top + _TILE, left : left + _TILE] = self._tiles[i, j]
        across = block[:, columns - i_tiles.start * _TILE]
        fluence: Floats = across[rows - j_tiles.start * _TILE]
        return fluence if fluence.any() else None

    def _drawn(self, i: int, j: int) -> bool:
        """Draw what waits for a tile; whether it shows anything."""
        for footprint, fluence_e_per_A2 in self._waiting.pop((i, j), ()):
            covered = _coverage(footprint, i, j)
            if covered.any():
                tile = self._tiles.setdefault((i, j), np.zeros((_TILE, _TILE), dtype=np.float32))
                tile += covered * np.float32(fluence_e_per_A2)
        return (i, j) in self._tiles


def _half_extent(footprint: Footprint) -> tuple[float, float]:
    cos, sin = (abs(f(math.radians(footprint.rotation_deg))) for f in (math.cos, math.sin))
    wide, tall = footprint.width_nm / 2, footprint.height_nm / 2
    return wide * cos + tall * sin, wide * sin + tall * cos


def _indices(range_nm: tuple[float, float], step_nm: float) -> range:
    return range(math.floor(range_nm[0] / step_nm), math.floor(range_nm[1] / step_nm) + 1)


def _coverage(footprint: Footprint, i: int, j: int) -> np.ndarray:
    """Share of each grain of a tile that a footprint covers, (rows y, columns x)."""
    left, low = i * _TILE * _GRAIN_NM, j * _TILE * _GRAIN_NM
    if footprint.rotation_deg:
        middles = (np.arange(_TILE) + 0.5) * _GRAIN_NM
        dx, dy = left + middles[None, :] - footprint.x_nm, low + middles[:, None] - footprint.y_nm
        angle = math.radians(footprint.rotation_deg)
        along, across = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
        inside = (np.abs(along) <= footprint.width_nm / 2) & (np.abs(across) <= footprint.height_nm / 2)
        return inside.astype(np.float32)
    shares = []
    for start, centre, size in ((left, footprint.x_nm, footprint.width_nm), (low, footprint.y_nm, footprint.height_nm)):
        edges = start + np.arange(_TILE + 1) * _GRAIN_NM
        clipped = np.clip(edges, centre - size / 2, centre + size / 2)
        shares.append((np.diff(clipped) / _GRAIN_NM).astype(np.float32))
    return np.outer(shares[1], shares[0])
