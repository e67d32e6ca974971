"""What a planner expects to see at each site, from what it saw from above and at the sites around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.special import gammaln, ndtr

from models import gp

if TYPE_CHECKING:
    from agent.settings import PlannerSettings

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

NEXT = 1.5
"""Sites nearer than this to each other are neighbours."""
RIDGE = 0.04
"""As if 100 sites of a usual atlas had shown no clustering."""
PAIRS = 50.0
"""How many pairs of neighbours the expected clustering is worth."""
SIGHT = 8.0
"""How many sites the expectations in the settings are worth."""


@dataclass(frozen=True, slots=True)
class Belief:
    """Predictions for N sites, `(N,)` each, of the interest that a detail look would read."""

    above: Array
    """From the view from above alone."""
    mean: Array
    """With what the neighbours add."""
    doubt: Array
    """Standard deviation of ``mean``: more looks would lower it."""
    scatter: float
    """Standard deviation of single sites about a perfect mean: no look elsewhere lowers it."""
    evidence: float
    """Logarithm of the probability that the model, with its prior, had given to the interest seen so far."""

    @property
    def sd(self) -> Array:
        """Of the prediction: doubt and scatter."""
        return np.asarray(np.hypot(self.doubt, self.scatter))


class SiteModel:
    """Learns how far the view from above can be trusted here, then what it leaves unexplained in space."""

    def __init__(self, places: Array, settings: PlannerSettings) -> None:
        """``places``: (N, 2) in site widths."""
        self._places = places
        self._settings = settings
        self._around = _neighbours(places, settings.reach_sites)

    def believe(self, above: Array, known: Mask, interest: Array, seen: Mask) -> Belief:
        """``above``: (N,) interest from above, used where ``known``; ``interest``: (N,) in detail, where ``seen``.

        Bayesian linear regression (Bishop 2006, sec. 3.3) on a site's own view from above and on the mean of those
        around it, with the settings as its prior; then a Gaussian process on the residuals, whose share of their
        variance is the correlation that neighbours show.
        """
        settings = self._settings
        design, usual, clustering = self._design(np.minimum(above, settings.plenty), known)
        slopes = np.array([settings.trust, settings.trust_around * clustering])
        prior = np.array([settings.trust * usual, *slopes])
        scales = np.array(
            [settings.spread, settings.trust_sd * settings.trust, settings.trust_sd * settings.trust_around]
        )
        prior_precision = np.diag(scales**-2)
        x, y = design[seen], np.minimum(interest[seen], settings.plenty)
        variance = settings.spread**2
        for _ in range(2):  # the scatter sets the weights and the weights the scatter: two rounds settle it
            precision = prior_precision + x.T @ x / variance
            weights = np.linalg.solve(precision, prior_precision @ prior + x.T @ y / variance)
            residual = y - x @ weights
            variance = (SIGHT * settings.spread**2 + float(residual @ residual)) / (SIGHT + len(y))
        trend = np.einsum("nf,fg,ng->n", design, np.linalg.inv(precision), design)
        places = self._places[seen]
        share = gp.neighbour_correlation(places, residual, reach=NEXT, prior=settings.clustering, weight=PAIRS)
        signal, noise = share * variance, (1 - share) * variance
        offset, unsure = np.zeros(len(seen)), np.zeros(len(seen))
        offset[~seen], unsure[~seen] = gp.predict(
            places, residual, self._places[~seen], length=settings.reach_sites, signal=signal, noise=noise
        )
        from_above = design @ weights
        evidence = _evidence(x, y, prior, prior_precision * settings.spread**2, settings.spread)
        return Belief(from_above, from_above + offset, np.sqrt(trend + unsure), float(np.sqrt(noise)), evidence)

    def _design(self, view: Array, known: Mask) -> tuple[Array, Ratio, Ratio]:
        """(N, 3) features, the usual view from above, and how far remarkable sites keep company.

        Features: one, the view from above, and the share of remarkable sites around, both less their means. Whether
        that share says anything is told by the atlas itself: by the slope of being remarkable against it, 0 where
        remarkable sites lie anywhere, 1 where they lie together.
        """
        if not known.any():
            return np.column_stack([np.ones(len(view)), np.zeros((len(view), 2))]), 0.0, 0.0
        low, high = self._settings.noteworthy, self._settings.plenty
        remarkable = np.where(known, np.clip((view - low) / (high - low), 0.0, 1.0), 0.0)
        usual, share = float(view[known].mean()), float(remarkable[known].mean())
        weight = self._around @ known.astype(np.float64)
        around = np.where(weight > 0, (self._around @ remarkable) / np.maximum(weight, 1e-9) - share, 0.0)
        slope = float(around[known] @ (remarkable[known] - share)) / (float(around[known] @ around[known]) + RIDGE)
        off = np.where(known, view - usual, 0.0)
        return np.column_stack([np.ones(len(view)), off, around]), usual, min(max(slope, 0.0), 1.0)


def _evidence(x: Array, y: Array, prior: Array, precision: Array, spread: float) -> float:
    """Log p(y | x) of a linear model whose weights and variance are not known.

    Weights are normal about ``prior`` with the variance over ``precision``, the variance inverse gamma, worth ``SIGHT``
    sites of ``spread`` (Bishop 2006, sec. 3.5; O'Hagan & Forster 2004, eq. 11.17). Of the sites one by one: what
    neighbours share is left out.
    """
    if not len(y):
        return 0.0
    posterior = precision + x.T @ x
    weights = np.linalg.solve(posterior, precision @ prior + x.T @ y)
    shape, scale = SIGHT / 2, SIGHT * spread**2 / 2
    misfit = float(y @ y + prior @ precision @ prior - weights @ posterior @ weights) / 2
    wide = shape + len(y) / 2
    volume = 0.5 * (np.linalg.slogdet(precision)[1] - np.linalg.slogdet(posterior)[1])
    return float(
        volume
        + shape * np.log(scale)
        - wide * np.log(scale + max(misfit, 0.0))
        + gammaln(wide)
        - gammaln(shape)
        - len(y) / 2 * np.log(2 * np.pi)
    )


def _neighbours(places: Array, reach: float) -> sparse.csr_array:
    """(N, N) Gaussian weights of the sites within twice the reach of each; none of a site for itself."""
    first, second = cKDTree(places).query_pairs(2 * reach, output_type="ndarray").astype(np.int32).T
    weight = np.exp(-0.5 * (((places[first] - places[second]) ** 2).sum(axis=1) / reach**2))
    half = sparse.csr_array((weight, (first, second)), shape=(len(places), len(places)))
    return half + half.T


def expected_excess(mean: Array, sd: Array, threshold: float) -> Array:
    """E[max(interest − threshold, 0)] of a normal prediction (expected improvement: Jones et al. 1998, eq. 15).

    >>> expected_excess(np.array([5.0]), np.array([1e-9]), 4.0).round(6).tolist()
    [1.0]
    """
    z = (mean - threshold) / sd
    return np.asarray((mean - threshold) * ndtr(z) + sd * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
