"""How good each hole will be, from what was predicted and what was measured: a hierarchical Bayesian model.

    logit p = a + b₁ · score + b₂ · mean score of its patch + b₃ · of its square + u_grid + u_square + u_patch

The coefficients are the predictor's calibration, and inferred like the rest: a predictor that misleads is found out.
Several priors stand side by side, from a good predictor to an inverted one, and are weighed by how well each foresees
what is measured (Bayesian model averaging; Hoeting et al., Stat. Sci. 14 (1999) 382). Each posterior is Laplace's
approximation, its predictions are averaged over it as MacKay's (Neural Comput. 4 (1992) 720).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Floats: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]
Ratio: TypeAlias = float

_STEPS, _CLOSE, _SHORTEST = 25, 1e-5, 1e-3
_SLIGHT = 1e-3
"""A hypothesis of less weight is left out of predictions; it may come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a predictor may be like."""

    name: str
    weight: Ratio
    """Before anything was measured."""
    mean: tuple[float, float, float, float]
    """Of a, b₁, b₂, b₃."""
    spread: tuple[float, float, float, float]
    """Standard deviations of these."""
    effects: tuple[float, float, float]
    """Standard deviations of u_grid, u_square and u_patch."""


HYPOTHESES = (
    Hypothesis(
        name="good", weight=0.6, mean=(0.0, 3.3, 0.0, 0.7), spread=(0.8, 0.8, 1.0, 1.0), effects=(0.6, 0.3, 0.4)
    ),
    Hypothesis(
        name="one in five wrong",
        weight=0.15,
        mean=(1.2, 1.7, 2.0, 2.0),
        spread=(1.0, 0.6, 1.0, 1.5),
        effects=(0.6, 0.4, 0.5),
    ),
    Hypothesis(
        name="one in three wrong",
        weight=0.1,
        mean=(1.2, 1.0, 3.0, 2.0),
        spread=(1.0, 0.6, 1.0, 1.5),
        effects=(0.6, 0.6, 0.8),
    ),
    Hypothesis(
        name="says little", weight=0.1, mean=(-0.5, 0.3, 1.5, 0.0), spread=(1.0, 1.0, 1.5, 1.5), effects=(1.0, 1.0, 1.2)
    ),
    Hypothesis(
        name="inverted",
        weight=0.05,
        mean=(-1.5, -2.0, -1.0, -1.0),
        spread=(1.0, 1.0, 1.5, 1.5),
        effects=(1.0, 1.0, 1.2),
    ),
)
"""Means and effects rounded from fits to three grids of a real survey whose predictions were damaged on purpose
(`python -m benchmarks.holes_prior`); spreads are wider than those fits', since another survey will differ."""


@dataclass(slots=True)
class _Posterior:
    """Of one hypothesis: a Gaussian over D numbers."""

    prior: Floats
    precision: Floats
    mean: Floats
    covariance: Floats
    log_weight: float
    log_evidence: float = 0.0

    def fit(self, rows: Floats, good: Floats) -> None:
        """Laplace's approximation from M rows (M, D), by Newton's method from where it stood.

        The summit is one, and the last step towards it is squared away: where it started makes no difference.
        """
        mean: Floats = self.mean
        height = self._height(mean, rows, good)
        for _ in range(_STEPS):
            p = expit(rows @ mean)
            slope = rows.T @ (good - p) - self.precision * (mean - self.prior)
            step = np.linalg.solve(self._curvature(rows, p), slope)
            part = 1.0
            while (higher := self._height(mean + part * step, rows, good)) < height and part > _SHORTEST:
                part /= 2  # Newton's step may go beyond the summit, and farther from it
            mean, height = np.asarray(mean + part * step, dtype=np.float64), higher
            if np.abs(step).max() < _CLOSE:
                break
        curved = self._curvature(rows, expit(rows @ mean))
        volume = float(np.log(self.precision).sum() - np.linalg.slogdet(curved)[1]) / 2
        self.mean, self.log_evidence = mean, height + volume
        self.covariance = np.asarray(np.linalg.inv(curved), dtype=np.float64)

    def _height(self, mean: Floats, rows: Floats, good: Floats) -> float:
        """Of the logarithm of likelihood times prior."""
        logit, away = rows @ mean, mean - self.prior
        return float((good * logit - np.logaddexp(0, logit)).sum() - (self.precision * away**2).sum() / 2)

    def _curvature(self, rows: Floats, p: Floats) -> Floats:
        curved = (rows * (p * (1 - p))[:, None]).T @ rows
        curved[np.diag_indices_from(curved)] += self.precision
        return np.asarray(curved)


@dataclass(slots=True)
class HoleBelief:
    """The belief about N holes, of which some are measured."""

    score: Floats
    parents: Whole
    """(N, 3) grid, square and patch."""
    hypotheses: Sequence[Hypothesis] = HYPOTHESES
    _columns: Whole = field(init=False)
    _values: Floats = field(init=False)
    """(N, 7): which of the D numbers each hole's logit is a sum of, and times what."""
    _posteriors: list[_Posterior] = field(init=False)

    def __post_init__(self) -> None:
        calibration = len(self.hypotheses[0].mean)
        sizes = self.parents.max(axis=0) + 1
        starts = calibration + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        means = [
            (np.bincount(of, self.score) / np.maximum(np.bincount(of), 1))[of]
            for of in (self.parents[:, 2], self.parents[:, 1])
        ]
        ones = np.ones_like(self.score)
        self._values = np.stack([ones, self.score, *means, ones, ones, ones], axis=1)
        own = np.broadcast_to(np.arange(calibration), (len(self.score), calibration))
        self._columns = np.concatenate([own, self.parents + starts], axis=1)
        self._posteriors = []
        for each in self.hypotheses:
            effects = np.repeat(np.array(each.effects) ** -2.0, sizes)
            precision = np.concatenate([np.array(each.spread) ** -2.0, effects])
            prior = np.concatenate([np.array(each.mean), np.zeros(len(effects))])
            self._posteriors.append(
                _Posterior(prior, precision, prior.copy(), np.diag(1 / precision), math.log(each.weight))
            )

    def learn(self, measured: Whole, good: Floats) -> None:
        """Take in all that was measured so far: M holes, and 1 where one was good, else 0."""
        if len(measured) == 0:
            return
        rows = np.zeros((len(measured), len(self._posteriors[0].prior)))
        np.put_along_axis(rows, self._columns[measured], self._values[measured], axis=1)
        for posterior in self._posteriors:
            posterior.fit(rows, good)

    def calibration(self) -> Floats:
        """(K, 4) the coefficients a, b₁, b₂, b₃ by each hypothesis."""
        return np.array([each.mean[: len(self.hypotheses[0].mean)] for each in self._posteriors])

    def log_evidence(self) -> Floats:
        """(K,) logarithm of how probable each hypothesis makes what was measured."""
        return np.array([each.log_evidence for each in self._posteriors])

    def weights(self) -> Floats:
        """(K,) probability of each hypothesis."""
        logs = np.array([each.log_weight for each in self._posteriors]) + self.log_evidence()
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def good_probability(self, optimism: Ratio = 0.0) -> Floats:
        """(N,) that a hole is good, ``optimism`` standard deviations of its logit above what is expected."""
        weights, total = self.weights(), np.zeros(len(self.score))
        kept = weights > _SLIGHT
        for weight, each in zip(weights[kept], np.array(self._posteriors, dtype=object)[kept], strict=True):
            mean = (each.mean[self._columns] * self._values).sum(axis=1)
            near = each.covariance[self._columns[:, :, None], self._columns[:, None, :]]
            variance = np.einsum("ni,nij,nj->n", self._values, near, self._values)
            total += weight * expit((mean + optimism * np.sqrt(variance)) / np.sqrt(1 + math.pi / 8 * variance))
        return np.asarray(total / weights[kept].sum())
