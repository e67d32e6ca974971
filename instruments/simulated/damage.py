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
_MOST_BUCKETS = 64
"""Under a frame; beyond, the coarse map is read."""
_MOST_AT_ONCE = 1 << 24
"""Exposures times places that are gone through one by one; beyond, not every place is."""


def standing(before_e_per_A2: Floats, own_e_per_A2: float, rate_A2_per_e: float) -> Floats:
    """What is left (H, W) of what fades as exp(−rate · fluence), on average while a frame adds its own.

    exp(−rate F) · (1 − exp(−rate ΔF)) / (rate ΔF): each pixel is read while its own dose comes.

    >>> standing(np.array([0.0, 100.0]), 0.0, 0.01).round(3), standing(np.array([0.0]), 100.0, 0.01).round(3)
    (array([1.   , 0.368]), array([0.632]))
    """
    more = own_e_per_A2 * rate_A2_per_e
    left: Floats = np.exp(before_e_per_A2 * np.float32(-rate_A2_per_e))
    return left * np.float32(-math.expm1(-more) / more) if more > 0 else left


class FluenceMap:
    """Local fluence: exact at a point, to ``_GRAIN_NM`` for a whole canvas. Memory grows with the area exposed."""

    def __init__(self) -> None:
        self._buckets: defaultdict[tuple[int, int], list[tuple[Footprint, float]]] = defaultdict(list)
        self._tiles: dict[tuple[int, int], np.ndarray] = {}
        self._waiting: defaultdict[tuple[int, int], list[tuple[Footprint, float]]] = defaultdict(list)
        """By tile, what is not drawn into it yet: a world that is opened again draws only where it is looked at."""

    def add(self, footprint: Footprint, fluence_e_per_A2: float) -> None:
        """Account for one exposure, even over its footprint."""
        row = footprint, fluence_e_per_A2
        half_x, half_y = _half_extent(footprint)
        x_range = footprint.x_nm - half_x, footprint.x_nm + half_x
        y_range = footprint.y_nm - half_y, footprint.y_nm + half_y
        for i in _indices(x_range, _BUCKET_NM):
            for j in _indices(y_range, _BUCKET_NM):
                self._buckets[i, j].append(row)
        for i in _indices(x_range, _GRAIN_NM * _TILE):
            for j in _indices(y_range, _GRAIN_NM * _TILE):
                self._waiting[i, j].append(row)

    def at(self, x_nm: float, y_nm: float) -> float:
        """Fluence that a place has received, in e/Å²: the sum over every exposure that covered it."""
        bucket = self._buckets.get((math.floor(x_nm / _BUCKET_NM), math.floor(y_nm / _BUCKET_NM)), [])
        return math.fsum(fluence for footprint, fluence in bucket if footprint.contains(x_nm, y_nm))

    def under(self, xs_nm: np.ndarray, ys_nm: np.ndarray) -> Floats | None:
        """Fluence at the places of a frame's pixels (H, W), in e/Å²; None where nothing was exposed yet.

        Exact; where very many exposures overlap, at every so-manieth place for those beside it.
        """
        near = self._near(xs_nm, ys_nm)
        every = 1 if near is None else max(1, math.ceil(math.sqrt(len(near) * xs_nm.size / _MOST_AT_ONCE)))
        apart_nm = every * math.hypot(np.ptp(xs_nm[0]), np.ptp(ys_nm[0])) / xs_nm.shape[1]
        if near is None or (every > 1 and apart_nm > _GRAIN_NM):
            return self._drawn_at(np.floor(xs_nm / _GRAIN_NM), np.floor(ys_nm / _GRAIN_NM))
        xs, ys = xs_nm[::every, ::every], ys_nm[::every, ::every]
        fluence = np.zeros(xs.shape, dtype=np.float32)
        for footprint, fluence_e_per_A2 in near:
            fluence[_inside(footprint, xs, ys)] += np.float32(fluence_e_per_A2)
        if every > 1:
            fluence = fluence.repeat(every, axis=0).repeat(every, axis=1)[: xs_nm.shape[0], : xs_nm.shape[1]]
        return fluence if fluence.any() else None

    def _near(self, xs_nm: np.ndarray, ys_nm: np.ndarray) -> list[tuple[Footprint, float]] | None:
        """The exposures that may cover some of the places; None where those spread too far."""
        x_range, y_range = ((float(at_nm.min()), float(at_nm.max())) for at_nm in (xs_nm, ys_nm))
        across, down = _indices(x_range, _BUCKET_NM), _indices(y_range, _BUCKET_NM)
        if len(across) * len(down) > _MOST_BUCKETS:
            return None
        found = {id(row): row for i in across for j in down for row in self._buckets.get((i, j), ())}
        return [row for row in found.values() if _meets(row[0], x_range, y_range)]

    def on(self, canvas: Canvas) -> Floats | None:
        """Fluence under every pixel, (H, W) in e/Å²; None where nothing was exposed yet."""
        return self._drawn_at(np.floor(canvas.xs_nm / _GRAIN_NM)[None, :], np.floor(canvas.ys_nm / _GRAIN_NM)[:, None])

    def _drawn_at(self, columns: np.ndarray, rows: np.ndarray) -> Floats | None:
        """From the tiles, at grains that broadcast to (H, W)."""
        columns, rows = columns.astype(np.int64), rows.astype(np.int64)
        i_tiles = range(int(columns.min()) // _TILE, int(columns.max()) // _TILE + 1)
        j_tiles = range(int(rows.min()) // _TILE, int(rows.max()) // _TILE + 1)
        touched = [(i, j) for i in i_tiles for j in j_tiles if self._drawn(i, j)]
        if not touched:
            return None
        block = np.zeros((len(j_tiles) * _TILE, len(i_tiles) * _TILE), dtype=np.float32)
        for i, j in touched:
            top, left = (j - j_tiles.start) * _TILE, (i - i_tiles.start) * _TILE
            block[top : top + _TILE, left : left + _TILE] = self._tiles[i, j]
        fluence: Floats = block[rows - j_tiles.start * _TILE, columns - i_tiles.start * _TILE]
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


def _meets(footprint: Footprint, x_range_nm: tuple[float, float], y_range_nm: tuple[float, float]) -> bool:
    """Whether an exposure's upright bounds meet a rectangle."""
    half_x, half_y = _half_extent(footprint)
    return (
        x_range_nm[0] - half_x <= footprint.x_nm <= x_range_nm[1] + half_x
        and y_range_nm[0] - half_y <= footprint.y_nm <= y_range_nm[1] + half_y
    )


def _indices(range_nm: tuple[float, float], step_nm: float) -> range:
    return range(math.floor(range_nm[0] / step_nm), math.floor(range_nm[1] / step_nm) + 1)


def _inside(footprint: Footprint, xs_nm: np.ndarray, ys_nm: np.ndarray) -> np.ndarray:
    """Which of the places (H, W), or what broadcasts to that, an exposure covered."""
    dx, dy = xs_nm - footprint.x_nm, ys_nm - footprint.y_nm
    angle = math.radians(footprint.rotation_deg)
    along, across = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
    return np.asarray((np.abs(along) <= footprint.width_nm / 2) & (np.abs(across) <= footprint.height_nm / 2))


def _coverage(footprint: Footprint, i: int, j: int) -> np.ndarray:
    """Share of each grain of a tile that a footprint covers, (rows y, columns x)."""
    left, low = i * _TILE * _GRAIN_NM, j * _TILE * _GRAIN_NM
    if footprint.rotation_deg:
        middles = (np.arange(_TILE) + 0.5) * _GRAIN_NM
        return _inside(footprint, left + middles[None, :], low + middles[:, None]).astype(np.float32)
    shares = []
    for start, centre, size in ((left, footprint.x_nm, footprint.width_nm), (low, footprint.y_nm, footprint.height_nm)):
        edges = start + np.arange(_TILE + 1) * _GRAIN_NM
        clipped = np.clip(edges, centre - size / 2, centre + size / 2)
        shares.append((np.diff(clipped) / _GRAIN_NM).astype(np.float32))
    return np.outer(shares[1], shares[0])
