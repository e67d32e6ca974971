"""How good each hole will be, from what was predicted and what was measured: a hierarchical Bayesian model.

    logit p = a + b₁ · score + b₂ · its neighbours' + b₃ · its patch's + b₄ · its square's
              + b₅ · surprise of its neighbours + u_grid + u_square + u_patch

The coefficients are the predictor's calibration, and inferred like the rest: a predictor that misleads is found out.
Several priors stand side by side, from a good predictor to an inverted one, and are weighed by how well each foresees
what is measured (Bayesian model averaging; Hoeting et al., Stat. Sci. 14 (1999) 382). Each posterior is Laplace's
approximation, its predictions are averaged over it as MacKay's (Neural Comput. 4 (1992) 720). How much better or worse
than predicted its measured neighbours were makes the model autologistic; it is fitted by its pseudolikelihood (Besag,
The Statistician 24 (1975) 179), for which no hole waits for another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit

Floats: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]
Ratio: TypeAlias = float

_STEPS, _CLOSE, _SHORTEST = 25, 1e-4, 1e-3
_CALIBRATION = 6
"""Coefficients: a and b₁ to b₅."""
_USUAL = 3.3
"""Of a good predictor: by so much the logit rises with the score."""
_REACH, _HEARD, _FEW = 0.8, 1.2, 0.3
"""Neighbours count by a Gaussian of so many pitches, for what was predicted of them and for what was measured; towards
nothing where there are few."""
_SLIGHT = 1e-3
"""A hypothesis of less weight is left out of predictions; it may come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a predictor may be like."""

    name: str
    weight: Ratio
    """Before anything was measured."""
    mean: tuple[float, float, float, float, float, float]
    """Of a and b₁ to b₅."""
    spread: tuple[float, float, float, float, float, float]
    """Standard deviations of these."""
    effects: tuple[float, float, float]
    """Standard deviations of u_grid, u_square and u_patch."""
    mistaken: Ratio = 0.0
    """Share of the holes whose prediction is that of the opposite rank."""


_GOOD = Hypothesis(
    name="good",
    weight=0.3,
    mistaken=0.05,
    mean=(0.7, 3.7, 0.6, 0.0, 1.2, 0.0),
    spread=(0.8, 0.8, 1.0, 1.0, 1.0, 1.5),
    effects=(0.6, 0.3, 0.4),
)
HYPOTHESES = (
    _GOOD,
    Hypothesis(
        name="one in five wrong",
        weight=0.15,
        mistaken=0.2,
        mean=(1.5, 2.9, 2.6, 0.0, 2.0, 4.5),
        spread=(1.0, 0.8, 1.0, 1.0, 1.5, 1.5),
        effects=(0.3, 0.2, 0.3),
    ),
    Hypothesis(
        name="one in three wrong",
        weight=0.1,
        mistaken=0.35,
        mean=(0.6, 2.9, 2.1, 0.0, 0.7, 6.0),
        spread=(1.0, 0.8, 1.0, 1.0, 1.5, 1.5),
        effects=(0.3, 0.2, 0.3),
    ),
    Hypothesis(
        name="says little",
        weight=0.1,
        mistaken=0.5,
        mean=(0.0, 3.3, 1.2, 0.0, 0.0, 6.5),
        spread=(1.0, 0.8, 1.5, 1.0, 1.5, 1.5),
        effects=(0.3, 0.2, 0.3),
    ),
    replace(_GOOD, name="wrong about whole patches", effects=(1.0, 1.0, 2.0)),
    replace(_GOOD, name="inverted", weight=0.05, mistaken=0.95),
)
"""Means and effects rounded from fits to three grids of a real survey whose predictions were damaged on purpose
(`python -m benchmarks.holes_prior`); spreads are wider than those fits', since another survey will differ. How
often a predictor is wrong about a whole patch, so few patches do not tell: half of the good ones are taken to be."""


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

        The summit is one, and the last step towards it is squared away: where it started makes no difference. What no
        row touches stays as it was before.
        """
        touched = rows.any(axis=0)
        rows, prior, precision = rows[:, touched], self.prior[touched], self.precision[touched]
        mean: Floats = self.mean[touched]
        height = _height(mean - prior, precision, rows @ mean, good)
        for _ in range(_STEPS):
            p = expit(rows @ mean)
            slope = rows.T @ (good - p) - precision * (mean - prior)
            step = np.linalg.solve(_curvature(precision, rows, p), slope)
            part = 1.0
            while (
                higher := _height(mean + part * step - prior, precision, rows @ (mean + part * step), good)
            ) < height and part > _SHORTEST:
                part /= 2  # Newton's step may go beyond the summit, and farther from it
            mean, height = np.asarray(mean + part * step, dtype=np.float64), higher
            if np.abs(step).max() < _CLOSE:
                break
        curved = _curvature(precision, rows, expit(rows @ mean))
        self.log_evidence = height + float(np.log(precision).sum() - np.linalg.slogdet(curved)[1]) / 2
        self.mean, self.covariance = self.prior.copy(), np.diag(1 / self.precision)
        self.mean[touched], self.covariance[np.ix_(touched, touched)] = mean, np.linalg.inv(curved)


def _height(away: Floats, precision: Floats, logit: Floats, good: Floats) -> float:
    """Of the logarithm of likelihood times prior."""
    return float((good * logit - np.logaddexp(0, logit)).sum() - (precision * away**2).sum() / 2)


def _curvature(precision: Floats, rows: Floats, p: Floats) -> Floats:
    curved = (rows * (p * (1 - p))[:, None]).T @ rows
    curved[np.diag_indices_from(curved)] += precision
    return np.asarray(curved)


def neighbours(patch: Whole, place_px: Floats, reach: float = _REACH) -> sparse.csr_matrix:
    """(N, N) weights of each hole's neighbours in its patch, near ones more: their sum is below 1, the less with few.

    Args:
        patch: (N,) number of each hole's.
        place_px: (N, 2).
        reach: standard deviation of the weights, in pitches.
    """
    blocks, order = [], np.argsort(patch, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(patch))[:-1]):
        apart_px = np.linalg.norm(place_px[rows, None] - place_px[rows], axis=2)
        np.fill_diagonal(apart_px, np.inf)
        pitch_px = float(np.median(apart_px.min(axis=1, initial=np.inf)))
        near = np.exp(-((apart_px / (reach * pitch_px)) ** 2) / 2) if 0 < pitch_px < np.inf else apart_px < np.inf
        total = near.sum(axis=1, keepdims=True)
        blocks.append(near / (total + _FEW * total.mean() + np.finfo(float).tiny))
    weights = sparse.block_diag(blocks, format="csr")
    back = np.argsort(order)
    return weights[back][:, back]


@dataclass(slots=True)
class HoleBelief:
    """The belief about N holes, of which some are measured."""

    score: Floats
    parents: Whole
    """(N, 3) grid, square and patch."""
    place_px: Floats
    """(N, 2) in the image of the patch."""
    hypotheses: Sequence[Hypothesis] = HYPOTHESES
    _near: sparse.csr_matrix = field(init=False)
    """(N, N) weights of each hole's neighbours, for what was predicted of them."""
    _heard: sparse.csr_matrix = field(init=False)
    """(N, N) the same for what was measured."""
    _features: list[Floats] = field(init=False)
    """(N, 6) by each hypothesis: what a and b₁ to b₅ are multiplied by."""
    _effects: Whole = field(init=False)
    """(N, 3) which of the D numbers are each hole's u_grid, u_square and u_patch."""
    _effects_of_patch: Whole = field(init=False)
    """(P, 3) the same of each patch, whose holes share all three."""
    _posteriors: list[_Posterior] = field(init=False)

    def __post_init__(self) -> None:
        sizes = self.parents.max(axis=0) + 1
        self._effects = self.parents + _CALIBRATION + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._effects_of_patch = self._effects[np.unique(self.parents[:, 2], return_index=True)[1]]
        self._near = neighbours(self.parents[:, 2], self.place_px)
        self._heard = neighbours(self.parents[:, 2], self.place_px, _HEARD)
        self._features = [self._seen_by(each.mistaken) for each in self.hypotheses]
        self._posteriors = []
        for each in self.hypotheses:
            effects = np.repeat(np.array(each.effects) ** -2.0, sizes)
            precision = np.concatenate([np.array(each.spread) ** -2.0, effects])
            prior = np.concatenate([np.array(each.mean), np.zeros(len(effects))])
            self._posteriors.append(
                _Posterior(prior, precision, prior.copy(), np.diag(1 / precision), math.log(each.weight))
            )

    def _seen_by(self, mistaken: Ratio) -> Floats:
        """(N, 6), before anything was measured. Where predictions may be mistaken, a hole's neighbours tell which are.

        A low prediction then says more for a hole than a middling one does, since its opposite is high.
        """
        order = np.argsort(self.score, kind="stable")
        opposite = np.empty_like(self.score)
        opposite[order] = self.score[order[::-1]]
        p = (1 - mistaken) * expit(_USUAL * self.score) + mistaken * expit(_USUAL * opposite)
        own, expected = np.log(p / (1 - p)) / _USUAL, 2 * p - 1
        of_patch, of_square = (
            (np.bincount(of, expected) / np.maximum(np.bincount(of), 1))[of]
            for of in (self.parents[:, 2], self.parents[:, 1])
        )
        return np.stack([np.ones_like(p), own, self._near @ expected, of_patch, of_square, np.zeros_like(p)], axis=1)

    def _surprise(self, own: Floats, measured: Whole, good: Floats) -> Floats:
        """(N,) how much better than by their own prediction a hole's measured neighbours were.

        A predictor that is wrong about all alike surprises nobody: ``a`` accounts for that.
        """
        logit, shift = _USUAL * own[measured], 0.0
        for _ in range(_STEPS):
            p = expit(logit + shift)
            step = float((good - p).sum() - shift) / float((p * (1 - p)).sum() + 1)
            shift += step
            if abs(step) < _CLOSE:
                break
        surprise = np.zeros(len(self.score))
        surprise[measured] = good - expit(logit + shift)
        return np.asarray(self._heard @ surprise)

    def learn(self, measured: Whole, good: Floats) -> None:
        """Take in all that was measured so far: M holes, and 1 where one was good, else 0."""
        if len(measured) == 0:
            return
        rows = np.zeros((len(measured), len(self._posteriors[0].prior)))
        np.put_along_axis(rows, self._effects[measured], 1.0, axis=1)
        for posterior, features in zip(self._posteriors, self._features, strict=True):
            features[:, -1] = self._surprise(features[:, 1], measured, good)
            rows[:, :_CALIBRATION] = features[measured]
            posterior.fit(rows, good)

    def calibration(self) -> Floats:
        """(K, 6) the coefficients a and b₁ to b₅ by each hypothesis."""
        return np.array([each.mean[:_CALIBRATION] for each in self._posteriors])

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
        for n in np.flatnonzero(kept).tolist():
            mean, variance = self._logit(n)
            total += weights[n] * expit((mean + optimism * np.sqrt(variance)) / np.sqrt(1 + math.pi / 8 * variance))
        return np.asarray(total / weights[kept].sum())

    def _logit(self, n: int) -> tuple[Floats, Floats]:
        """(N,) mean and variance by one hypothesis. Effects are summed by patch."""
        posterior, features, patch = self._posteriors[n], self._features[n], self.parents[:, 2]
        spread, own = posterior.covariance, slice(0, _CALIBRATION)
        of_patch = self._effects_of_patch
        shared = spread[own][:, of_patch].sum(axis=2).T[patch]
        alone = spread[of_patch[:, :, None], of_patch[:, None, :]].sum(axis=(1, 2))[patch]
        mean = features @ posterior.mean[own] + posterior.mean[of_patch].sum(axis=1)[patch]
        variance = np.einsum("ni,ni->n", features @ spread[own, own] + 2 * shared, features) + alone
        return mean, np.asarray(variance)
