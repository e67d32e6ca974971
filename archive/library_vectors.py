"""Likeness: every embedding of one model as a matrix in memory, searched exactly.

Vectors are compared in spreads: each of their numbers minus its median over the library, over its spread there. What
is not known (a length, where nobody told the pixel size) counts as the usual one. 100,000 × 40 numbers are 16 MB
and one product; no index that could be wrong, or torn by a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

Floats: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

_MAD_TO_SIGMA: Ratio = 1.4826
_MARGIN = 32
"""More than are asked for, whose distances are computed without the rounding of the product."""
RESCALE: Ratio = 1.25
"""The matrix is scaled anew when the library has grown by so much."""


def packed(vector: npt.ArrayLike) -> bytes:
    """As it is stored: float32, little endian."""
    return np.asarray(vector, dtype="<f4").tobytes()


def unpacked(blob: bytes) -> Floats:
    """(D,) from its stored form."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32)


class Matrix:
    """The embeddings of one model, kept up to date with the file at every question."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._ids = np.zeros(0, np.int64)
        self._raw: Floats = np.zeros((0, 0), np.float32)
        self._scaled: Floats = self._raw
        self._squares: Floats = np.zeros(0, np.float32)
        self._median = self._spread = np.zeros(0, np.float32)
        self._scaled_at = 0
        self._version = -1

    def nearest(
        self, database: sqlite3.Connection, vector: npt.ArrayLike, count: int, among: Collection[int] | None = None
    ) -> list[tuple[int, float]]:
        """(experiment, distance in spreads) of the ``count`` nearest, nearest first; ``among``: only these."""
        self._refresh(database)
        query = np.asarray(vector, dtype=np.float32)
        if not len(self._ids) or len(query) != self._raw.shape[1]:
            return []
        target = scaled(query[None], self._median, self._spread)[0]
        squares = self._squares - 2 * (self._scaled @ target) + float(target @ target)
        if among is not None:
            squares = np.where(np.isin(self._ids, np.fromiter(among, np.int64, len(among))), squares, np.inf)
        first = np.argpartition(squares, min(count + _MARGIN, len(squares)) - 1)[: count + _MARGIN]
        first = first[np.isfinite(squares[first])]
        exact = ((self._scaled[first].astype(np.float64) - target) ** 2).mean(axis=1)
        order = np.argsort(exact, kind="stable")[:count]
        return [(int(self._ids[first[n]]), float(np.sqrt(exact[n]))) for n in order]

    def _refresh(self, database: sqlite3.Connection) -> None:
        """Take in what was added since, by this or another process; all anew where something was replaced."""
        (version,) = database.execute("SELECT value FROM meta WHERE key = 'replaced'").fetchone() or (0,)
        last = int(self._ids.max(initial=0)) if int(version) == self._version else 0
        rows = database.execute(
            "SELECT experiment, vector FROM embeddings WHERE model = ? AND experiment > ? ORDER BY experiment",
            (self.model, last),
        ).fetchall()
        self._version = int(version)
        if not rows and last:
            return
        ids = np.array([row[0] for row in rows], np.int64)
        raw = np.stack([unpacked(row[1]) for row in rows]) if rows else np.zeros((0, 0), np.float32)
        if last:
            ids, raw = np.concatenate([self._ids, ids]), np.concatenate([self._raw, raw])
        added = len(ids) - len(self._ids) if last else len(ids)
        self._ids, self._raw = ids, raw
        if not last or len(ids) > RESCALE * self._scaled_at:
            self._scaled_at = len(ids)
            if self._raw.size:
                self._median, self._spread = scale_of(self._raw)
            self._scaled = scaled(self._raw, self._median, self._spread)
            self._squares = np.einsum("nd,nd->n", self._scaled, self._scaled)
        elif added:
            fresh = scaled(self._raw[-added:], self._median, self._spread)
            self._scaled = np.concatenate([self._scaled, fresh])
            self._squares = np.concatenate([self._squares, np.einsum("nd,nd->n", fresh, fresh)])


def scale_of(rows: Floats) -> tuple[Floats, Floats]:
    """(D,) median and spread of each number of (N, D) vectors; what is not known is left out."""
    known = np.isfinite(rows)
    filled = np.where(known, rows, np.nan)
    filled[:, ~known.any(axis=0)] = 0.0
    median = np.nanmedian(filled, axis=0)
    spread = _MAD_TO_SIGMA * np.nanmedian(np.abs(filled - median), axis=0)
    wide = np.nanstd(filled, axis=0)
    found = np.where(spread > 1e-6, spread, np.where(wide > 1e-6, wide, 1.0))
    return median.astype(np.float32), found.astype(np.float32)


def scaled(rows: Floats, median: Floats, spread: Floats) -> Floats:
    """(N, D) in spreads from the median, at most 20; 0 for what is not known."""
    found = (rows - median) / spread
    return np.where(np.isfinite(found), np.clip(found, -20.0, 20.0), 0.0).astype(np.float32)
