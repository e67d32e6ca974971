"""A Gaussian process of a property over place and structure, whose scales the measured values choose themselves.

    covariance = near in place  +  alike in structure  +  noise

Two places have like values because they are neighbours, or because they look alike; which of the two holds, and how
far, is read from the values by their marginal likelihood. That has several maxima while few values are known, and the
best of them is often wrong then: so all that restarts find are kept, each with the weight that the values give it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-6
_SHARE, _NOISE = 0.5, 0.05
"""Expected share of the variance of each of the two parts, and of the noise."""
_DOUBT = 1.0
"""Standard deviation of the logarithm of each scale before any value is known: a factor of e either way."""
_WITHIN = 6.0
"""Scales farther than this many of those from what is expected are not tried."""
AT_ONCE = 4096
"""Queries predicted at a time."""


class StructureGP:
    """Over N places, whose structure is known before anything is measured.

    ``places`` (N, 2), in any unit; ``structure``: one or more blocks (N, F), each a distance of its own, whose first
    column varies by about 1 (``whitened``). ``reach``: how far neighbours are expected to be alike, in that unit.
    Raises ValueError where shapes differ, a number is not finite, or reach is not positive.
    """

    def __init__(
        self, places: Array, structure: Sequence[Array], *, reach: float, restarts: int = 2, seed: int = 0
    ) -> None:
        blocks = [np.asarray(block, dtype=np.float64) for block in (places, *structure)]
        if any(block.ndim != 2 or len(block) != len(places) for block in blocks):
            raise ValueError(f"needs blocks of (N, F); found {[block.shape for block in blocks]}")
        if not (all(np.isfinite(block).all() for block in blocks) and reach > 0):
            raise ValueError("places, structure and reach must be finite, and reach positive")
        self._blocks, self._restarts, self._seed = blocks, restarts, seed
        lengths = [math.log(reach), *[math.log(2.0)] * len(structure)]
        self._expected = np.array([*np.log([_SHARE, _SHARE, _NOISE]), *lengths])
        self._scales: list[Array] = []
        self._weights: Array = np.ones(0)
        self._seen: Ints = np.zeros(0, dtype=np.intp)
        self._values: Array = np.zeros(0)
        self._mean, self._spread = 0.0, 1.0

    def fit(self, seen: Ints, values: Array, *, scales: bool = True) -> None:
        """Take in ``values`` (M,) measured at places ``seen`` (M,). ``scales``: choose them anew, else keep them.

        Raises ValueError for fewer than 2 values, or one that is not finite.
        """
        if len(seen) < 2 or len(seen) != len(values) or not np.isfinite(values).all():
            raise ValueError(f"needs 2 finite values or more, one for each place; found {len(values)} of {len(seen)}")
        self._seen, self._mean = np.asarray(seen, dtype=np.intp), float(np.mean(values))
        self._spread = float(np.std(values)) or 1.0
        self._values = (np.asarray(values, dtype=np.float64) - self._mean) / self._spread
        if scales or not self._scales:
            self._choose_scales()

    def predict(self, query: Ints) -> tuple[Array, Array]:
        """Mean and standard deviation (Q,) of the property at places ``query`` (Q,), without the noise of measuring.

        Raises RuntimeError before ``fit``.
        """
        if not self._scales:
            raise RuntimeError("fit before predicting")
        parts = [self._moments(query[first : first + AT_ONCE]) for first in range(0, len(query), AT_ONCE)]
        nothing = np.zeros(0)
        mean, variance = (np.concatenate([nothing, *(part[i] for part in parts)]) for i in (0, 1))
        return self._mean + self._spread * mean, self._spread * np.sqrt(variance)

    def shares(self) -> dict[str, float]:
        """What the values tell of themselves: shares of the variance told by place, by structure, and by neither."""
        parts = np.array([np.exp(scales[:3]) for scales in self._scales])
        place, structure, noise = self._weights @ (parts / parts.sum(axis=1, keepdims=True))
        return {"place": float(place), "structure": float(structure), "noise": float(noise)}

    # --- scales -----------------------------------------------------------------------------------------------------

    def _choose_scales(self) -> None:
        """Maxima of the posterior of the logarithms of the scales, from what is expected, the last ones, and draws."""
        draws = np.random.default_rng((self._seed, len(self._seen)))
        starts = [self._expected, *self._scales[:1]]
        starts += [self._expected + _DOUBT * draws.standard_normal(len(self._expected)) for _ in range(self._restarts)]
        squares = self._squares(self._seen, self._seen)
        bounds = [(centre - _WITHIN * _DOUBT, centre + _WITHIN * _DOUBT) for centre in self._expected]
        found = [
            minimize(self._loss, start, (squares,), "L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 30})
            for start in starts
        ]
        found.sort(key=lambda one: float(one.fun))
        kept = [one for i, one in enumerate(found) if all(np.abs(one.x - other.x).max() > 0.1 for other in found[:i])]
        losses = np.array([float(one.fun) for one in kept])
        weights = np.exp(losses[0] - losses)
        self._scales, self._weights = [one.x for one in kept], weights / weights.sum()

    def _loss(self, scales: Array, squares: list[Array]) -> tuple[float, Array]:
        """Negative logarithm of the posterior of the scales, and its gradient (Rasmussen & Williams 2006, eq. 5.9)."""
        covariance, slopes = _covariance(scales, squares)
        noise = math.exp(scales[2])
        factor = cho_factor(covariance + (noise + _JITTER) * np.eye(len(covariance)), lower=True)
        weights = cho_solve(factor, self._values)
        off = (scales - self._expected) / _DOUBT
        loss = 0.5 * float(self._values @ weights + off @ off) + float(np.log(np.diag(factor[0])).sum())
        inside = cho_solve(factor, np.eye(len(covariance))) - np.outer(weights, weights)
        slopes.insert(2, noise * np.eye(len(covariance)))
        gradient = np.array([0.5 * float(np.sum(inside * slope)) for slope in slopes]) + off / _DOUBT
        return loss, gradient

    def _squares(self, rows: Ints, columns: Ints) -> list[Array]:
        """Squared distances (R, C) in each block."""
        squares = []
        for block in self._blocks:
            a, b = block[rows], block[columns]
            squares.append(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0.0))
        return squares

    def _moments(self, query: Ints) -> tuple[Array, Array]:
        """Mean and variance (Q,) of the mixture, of values less their mean in their spreads."""
        within, towards = self._squares(self._seen, self._seen), self._squares(self._seen, query)
        means, variances = [], []
        for scales in self._scales:
            covariance, _ = _covariance(scales, within)
            noise = math.exp(scales[2]) + _JITTER
            lower = cho_factor(covariance + noise * np.eye(len(covariance)), lower=True)[0]
            cross = solve_triangular(lower, _covariance(scales, towards)[0], lower=True)
            means.append(cross.T @ solve_triangular(lower, self._values, lower=True))
            variances.append(np.exp(scales[:2]).sum() - (cross**2).sum(axis=0))
        mean = self._weights @ np.array(means)
        spread = self._weights @ (np.maximum(variances, 1e-9) + np.square(means)) - mean**2
        return mean, np.maximum(spread, 1e-9)


def _covariance(scales: Array, squares: list[Array]) -> tuple[Array, list[Array]]:
    """Covariance (R, C) without noise, and its derivative by the logarithm of every scale but the noise's."""
    variances, lengths = np.exp(scales[:2]), np.exp(scales[3:])
    parts = [square / length**2 for square, length in zip(squares, lengths, strict=True)]
    place, fall_place = _matern52(parts[0])
    structure, fall = _matern52(sum(parts[1:], np.zeros_like(parts[0])))
    first, second = variances[0] * place, variances[1] * structure
    slopes = [first, second, variances[0] * fall_place * parts[0]]
    return first + second, [*slopes, *(variances[1] * fall * part for part in parts[1:])]


def _matern52(square: Array) -> tuple[Array, Array]:
    """Correlation at squared distances in length scales, and what times them is its slope by the length's logarithm.

    Twice differentiable: Rasmussen & Williams 2006, eq. 4.17.
    """
    root = _ROOT5 * np.sqrt(square)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, 5.0 / 3.0 * (1 + root) * decay


def whitened(features: Array, components: int) -> Array:
    """Principal components (N, K) of ``features`` (N, F), in standard deviations of the first; columns scaled alike.

    K is at most ``components``, and less where fewer vary. Raises ValueError where a feature is not finite.
    """
    if not np.isfinite(features).all():
        raise ValueError("a feature is not finite: leave the place out, or the feature")
    centred = features - features.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(components, int((sizes > 1e-9 * max(sizes[0], 1e-300)).sum()))
    if not kept or sizes[0] == 0:
        return np.zeros((len(features), 0))
    return np.asarray(left[:, :kept] * (sizes[:kept] / sizes[0]) * math.sqrt(len(features)))
