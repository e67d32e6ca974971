"""What a planner expects to see at each site, from what it saw from above and at the sites around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from models import gp

if TYPE_CHECKING:
    from agent.settings import PlannerSettings

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

NEXT = 1.5
"""Sites nearer than this to each other are neighbours."""
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

    @property
    def sd(self) -> Array:
        """Of the prediction: doubt and scatter."""
        return np.asarray(np.hypot(self.doubt, self.scatter))


def believe(
    places: Array, above: Array, known: Mask, interest: Array, seen: Mask, settings: PlannerSettings
) -> Belief:
    """Learn how far the view from above can be trusted here, then what it leaves unexplained in space.

    ``places``: (N, 2) in site widths; ``above``: (N,) interest from above, used where ``known``; ``interest``: (N,) in
    detail, used where ``seen``. Bayesian linear regression (Bishop 2006, sec. 3.3) on the site's own view from above and
    on the mean of those around it, with the settings as its prior; then a Gaussian process on the residuals, whose
    share of their variance is the correlation that neighbours show.
    """
    view = np.minimum(above, settings.plenty)
    around = surroundings(places, view, known, settings.reach_sites)
    usual = float(view[known].mean()) if known.any() else 0.0
    design = np.column_stack([np.ones(len(view)), np.where(known, view, around) - usual, around - usual])
    prior_mean = np.array([(settings.trust + settings.trust_around) * usual, settings.trust, settings.trust_around])
    prior_precision = np.diag([1 / settings.spread**2, 1 / settings.trust_sd**2, 1 / settings.trust_sd**2])

    x, y = design[seen], np.minimum(interest[seen], settings.plenty)
    variance = settings.spread**2
    for _ in range(2):  # the scatter sets the weights and the weights the scatter: two rounds settle it
        precision = prior_precision + x.T @ x / variance
        weights = np.linalg.solve(precision, prior_precision @ prior_mean + x.T @ y / variance)
        residual = y - x @ weights
        variance = (SIGHT * settings.spread**2 + float(residual @ residual)) / (SIGHT + len(y))
    from_above = design @ weights
    trend = np.einsum("nf,fg,ng->n", design, np.linalg.inv(precision), design)

    share = gp.neighbour_correlation(
        places[seen], residual, reach=NEXT, prior=settings.clustering, weight=SIGHT
    )
    unseen = ~seen
    offset, unsure = np.zeros(len(places)), np.zeros(len(places))
    offset[unseen], unsure[unseen] = gp.predict(
        places[seen],
        residual,
        places[unseen],
        length=settings.reach_sites,
        signal=share * variance,
        noise=(1 - share) * variance,
    )
    return Belief(from_above, from_above + offset, np.sqrt(trend + unsure), float(np.sqrt((1 - share) * variance)))


def surroundings(places: Array, values: Array, known: Mask, reach: float) -> Array:
    """(N,) mean of the known values around each of (N, 2) places, itself left out, nearer ones counting more.

    Weights are Gaussian with standard deviation ``reach``; where nothing near is known, the mean of all that is.
    """
    if not known.any():
        return np.zeros(len(values))
    spread = places[known]
    pairs = cKDTree(places).sparse_distance_matrix(cKDTree(spread), 3 * reach, output_type="coo_matrix")
    ...


def expected_excess(mean: Array, sd: Array, threshold: float) -> Array:
    """E[max(interest − threshold, 0)] of a normal prediction (expected improvement: Jones et al. 1998, eq. 15).

    >>> expected_excess(np.array([5.0]), np.array([1e-9]), 4.0).round(6).tolist()
    [1.0]
    """
    z = (mean - threshold) / sd
    return np.asarray((mean - threshold) * ndtr(z) + sd * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
