"""How unlike the rest of its own survey each place of a frame looks, in the encoder's space, and why.

Density by distance: a place is unusual as far as it has to reach to meet a set share of what the survey has shown,
less half of how far those that it meets have to (the local outlier factor of Breunig et al. 2000 on mean distances,
as the classical background has it, on what the encoder sees of every 8 × 8 pixels). Nothing is learned of what is
unusual. Frames come one by one; a drawn part of their places, equal for all of them, is kept to compare with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from models.encoder import STRIDE

Array: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

_MAD_TO_SD = 1.4826
_TINY = 1e-3
_ITSELF = 1e-2
"""Places nearer than this, in spreads of the survey, are one: what rounding leaves of a distance of nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How what is usual is kept and compared."""

    directions: int = 32
    """Principal directions of what the survey has shown."""
    ridge: Ratio = 0.1
    """Share of the mean variance added to each direction's before all are scaled to one."""
    references: int = 256
    """Places compared with: four times as many cost a frame 10 ms more and rank no better beyond chance."""
    common_ratio: Ratio = 0.02
    """Share of the places from which a kind of place is ordinary."""
    excuse: Ratio = 0.5
    """Part of its neighbours' own reach that is taken off a place's."""
    most_unusual: Ratio = 0.05
    """Share of a cell's places that speak for it: the most unusual ones."""
    kept: int = 8192
    """Places kept of all that was seen."""
    growth: Ratio = 0.25
    """What is usual is fitted again when so much more has been seen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a place was seen."""

    frame: int
    """As it was called when it was observed."""
    row_px: int
    """With ``column_px`` the middle of the place in that frame."""
    column_px: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a cell of a frame is unusual: for a person to look at."""

    score: float
    """Robust spreads of its most unusual places above what is usual."""
    row_px: int
    """With ``column_px`` where in the frame it is most unusual."""
    column_px: int
    alike: tuple[Seen, ...]
    """The usual places most like that one, the most alike first."""
    saliency: Floats
    """(h, w) scores of the cell's places, each 8 pixels wide."""


class _Usual:
    """Fitted once on (N, F) features of places; immutable."""

    def __init__(self, rows: Floats, settings: Settings, seed: int) -> None:
        values = rows.astype(np.float64)
        self._centre = values.mean(axis=0)
        covariance = np.cov(values - self._centre, rowvar=False)
        variance, directions = np.linalg.eigh(covariance)
        kept = min(settings.directions, len(rows) - 1)
        variance, directions = np.maximum(variance[-kept:], 0.0), directions[:, -kept:]
        self._directions = directions / np.sqrt(variance + settings.ridge * max(float(variance.mean()), 1e-12))
        rng = np.random.default_rng((seed, len(rows)))
        self.chosen = np.sort(rng.choice(len(rows), min(settings.references, len(rows)), replace=False))
        self._points = self._placed(rows[self.chosen])
        self._sizes = self._points.square().sum(1)
        self._k = max(3, math.ceil(settings.common_ratio * len(self._points)))
        self._excuse = settings.excuse
        near, self._reach = self._nearest(self._points)
        alone = self._reach - self._excuse * self._reach[near].mean(axis=1)
        self._middle = float(np.median(alone))
        self._spread = max(float(_MAD_TO_SD * np.median(np.abs(alone - self._middle))), _TINY)
        self._ordinary = alone <= self._middle + self._spread

    def scores(self, rows: Floats) -> Array:
        near, reach = self._nearest(self._placed(rows))
        alone = reach - self._excuse * self._reach[near].mean(axis=1)
        return np.asarray((alone - self._middle) / self._spread)

    def most_alike(self, row: Floats, count: int, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Of those that are themselves usual, and ``allowed`` of all that were fitted on; at most ``count``."""
        distance = self._distances(self._placed(row[None]))[0].numpy()
        among = (self._ordinary & allowed[self.chosen]).nonzero()[0]
        return np.asarray(self.chosen[among[np.argsort(distance[among], kind="stable")[:count]]])

    def _placed(self, rows: Floats) -> torch.Tensor:
        return torch.from_numpy(((rows - self._centre) @ self._directions).astype(np.float32))

    def _distances(self, points: torch.Tensor) -> torch.Tensor:
        """(K, n) of squared lengths and products, which a processor is quick at."""
        square = points.square().sum(1)[:, None] + self._sizes - 2 * points @ self._points.T
        return square.clamp_min_(0).sqrt_()

    def _nearest(self, points: torch.Tensor) -> tuple[npt.NDArray[np.intp], Array]:
        """(K, k) places met first, and (K,) logarithm of their mean distance; a place does not meet itself."""
        distance = self._distances(points)
        distance[distance < _ITSELF] = torch.inf
        reach, near = distance.topk(self._k, dim=1, largest=False, sorted=False)
        mean = reach.where(reach.isfinite(), 0.0).mean(1).numpy().astype(np.float64)
        return near.numpy(), np.log(mean + _TINY)


class Anomaly:
    """What is usual in one survey by one look, and how far from it places are."""

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        self._settings = settings or Settings()
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._rows: Floats = np.zeros((0, 0), dtype=np.float32)
        """(kept at most, F); the first ``_held`` are filled."""
        self._where = np.zeros((0, 3), dtype=np.int64)
        """Frame, row and column of each."""
        self._held = 0
        self._observed = 0
        self._fitted: tuple[int, _Usual] | None = None

    @property
    def young(self) -> bool:
        """Whether too little has been seen to call anything unusual."""
        return self._held < 4 * self._settings.directions

    def observe(self, frame: int, features: Floats) -> None:
        """Learn what is usual from a frame's features (h, w, F), as ``encoder.features`` gives them.

        Every place of every frame has the same chance to be kept (reservoir sampling, Vitter 1985).
        Raises ValueError for features that are not finite.
        """
        if not np.isfinite(features).all():
            raise ValueError(f"frame {frame} has features that are not finite: nothing was learned from it")
        h, w, wide = features.shape
        rows = features.reshape(h * w, wide)
        limit = self._settings.kept
        if not self._rows.size:
            self._rows, self._where = np.zeros((limit, wide), dtype=np.float32), np.zeros((limit, 3), dtype=np.int64)
        middles = STRIDE * np.indices((h, w)).reshape(2, -1).T + STRIDE // 2
        seen = np.arange(self._observed + 1, self._observed + 1 + len(rows))
        at = np.where(seen <= limit, seen - 1, self._rng.integers(seen))
        for chosen in (at < limit).nonzero()[0]:  # in order: of two that fall on one, the later stays
            self._rows[at[chosen]] = rows[chosen]
            self._where[at[chosen]] = frame, *middles[chosen]
        self._observed += len(rows)
        self._held = min(self._observed, limit)

    def scores(self, features: Floats) -> Array:
        """(h, w, F) → (h, w) robust spreads above what is usual; NaN while too little has been seen."""
        h, w, _ = features.shape
        usual = self._usual()
        if usual is None:
            return np.full((h, w), np.nan)
        return usual.scores(features.reshape(h * w, -1)).reshape(h, w)

    def cell(self, scores: Array, rows_px: tuple[int, int], columns_px: tuple[int, int]) -> float:
        """Score of a cell of a frame, half-open pixel ranges: mean over its most unusual places."""
        inside = _inside(scores, rows_px, columns_px).ravel()
        count = max(1, round(self._settings.most_unusual * len(inside)))
        return float(np.sort(inside)[-count:].mean())

    def explain(
        self, features: Floats, rows_px: tuple[int, int], columns_px: tuple[int, int], frame: int | None = None
    ) -> Reason:
        """Of a cell, which the usual places most like it are not from: ``frame`` is what it was observed as, if it was.

        Raises ValueError while too little has been seen.
        """
        usual = self._usual()
        if usual is None:
            raise ValueError(f"{self._held} places were seen, too few to say what is usual: observe more frames")
        scores = self.scores(features)
        inside = _inside(scores, rows_px, columns_px)
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        top, left = rows_px[0] // STRIDE, columns_px[0] // STRIDE
        (first, last), (begin, end) = rows_px, columns_px
        named, at, across = self._where[: self._held].T
        own = (
            (named == (-1 if frame is None else frame))
            & (at >= first)
            & (at < last)
            & (across >= begin)
            & (across < end)
        )
        alike = usual.most_alike(features[top + row, left + column], 4, ~own)
        return Reason(
            score=self.cell(scores, rows_px, columns_px),
            row_px=int((top + row) * STRIDE + STRIDE // 2),
            column_px=int((left + column) * STRIDE + STRIDE // 2),
            alike=tuple(Seen(*self._where[n].tolist()) for n in alike),
            saliency=inside.astype(np.float32),
        )

    def _usual(self) -> _Usual | None:
        if self.young:
            return None
        grown = self._fitted is not None and self._observed >= self._fitted[0] * (1 + self._settings.growth)
        if self._fitted is None or grown:
            self.refit()
        return None if self._fitted is None else self._fitted[1]

    def refit(self) -> None:
        """Fit what is usual on all that was seen so far."""
        self._fitted = self._observed, _Usual(self._rows[: self._held], self._settings, self._seed)


def _inside(scores: Array, rows_px: tuple[int, int], columns_px: tuple[int, int]) -> Array:
    (top, bottom), (left, right) = rows_px, columns_px
    inside = scores[top // STRIDE : max(-(-bottom // STRIDE), top // STRIDE + 1), left // STRIDE : -(-right // STRIDE)]
    if not inside.size:
        raise ValueError(f"rows {rows_px} and columns {columns_px} lie outside a frame of {scores.shape} places")
    return inside
