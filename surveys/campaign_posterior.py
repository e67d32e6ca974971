"""What a campaign knows of its grid, from every laboratory's results together, and which cell would teach it the most.

Random effects: result = mean + specimen + condition + their interaction + laboratory + noise, all normal. The grid's
values leave the laboratory out: its offset is a calibration error, which the laboratories' common cells, rows and
columns show, and which averages out between laboratories as far as there are several. Standard deviations of the
effects are not known: the posterior is a mixture over draws of them from half-normal priors, weighted by how well each
explains the results (Gelman et al., Bayesian Data Analysis, 3rd ed., 2013, ch. 5 and 15; the weights are importance
sampling from the prior, at the points of a Sobol sequence, so that equal results give equal answers).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_DRAWS_LOG2 = 9
_SEED = 20
_INTERACTION: Ratio = 0.5
"""Scale of the interaction's prior, in that of specimens and conditions."""
_LEAST: Ratio = 1e-4
"""No result is taken for surer than this share of the effects' scale, whatever it says of itself."""
_WIDE = 20.0
"""Standard deviation of the mean's prior, in the scale of the effects: it says next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One result."""

    cell: int
    laboratory: int
    value: float
    std: float


@dataclass(frozen=True, slots=True)
class Prior:
    """What is taken for granted before anything is measured."""

    between: float
    """Scale of specimens and conditions."""
    laboratory: float
    """Scale of the laboratories' offsets."""
    noise: float
    """Of a cell that is not measured yet."""


class Posterior:
    """Of the values of C cells and the offsets of L laboratories, together, for each of D draws of the effects' sizes.

    ``cells``: (specimen, condition) of each; ``observations`` in any order.
    """

    def __init__(
        self,
        cells: Sequence[tuple[int, int]],
        laboratories: int,
        observations: Sequence[Observation],
        prior: Prior,
    ) -> None:
        self._count = len(cells)
        self.noise = float(np.median([each.std for each in observations])) if observations else prior.noise
        """Expected of the next cell."""
        before = _prior(cells, laboratories, prior)
        picks = np.zeros((len(observations), self._count + laboratories))
        for row, each in enumerate(observations):
            picks[row, [each.cell, self._count + each.laboratory]] = 1.0
        values = np.array([each.value for each in observations])
        middle = float(values.mean()) if len(values) else 0.0
        least = (_LEAST * prior.between) ** 2
        noise = np.diag([each.std**2 + least for each in observations]) if observations else np.zeros((0, 0))
        together = picks @ before @ picks.T + noise
        across = before @ picks.T
        gain = np.linalg.solve(together, across.transpose(0, 2, 1)).transpose(0, 2, 1)
        self._means = gain @ (values - middle)
        self._means[:, : self._count] += middle
        self._covariances = before - gain @ across.transpose(0, 2, 1)
        self._weights = _weights(together, values - middle)

    @property
    def means(self) -> Array:
        """(C,) of the cells."""
        return self._mixed()[0][: self._count]

    @property
    def stds(self) -> Array:
        """(C,) with what is not known of the effects' sizes and of the laboratories' offsets."""
        return self._mixed()[1][: self._count]

    @property
    def offsets(self) -> tuple[Array, Array]:
        """(L,) of the laboratories, and their standard deviations."""
        means, stds = self._mixed()
        return means[self._count :], stds[self._count :]

    def total(self) -> tuple[float, float]:
        """Mean over the grid, and its standard deviation."""
        each = self._means[:, : self._count].mean(axis=1)
        within = self._covariances[:, : self._count, : self._count].mean(axis=(1, 2))
        mean = float(self._weights @ each)
        return mean, math.sqrt(float(self._weights @ (within + (each - mean) ** 2)))

    def gain(self, cell: int, laboratory: int) -> float:
        """By how much the sum of the cells' variances is expected to fall when this laboratory measures this cell."""
        pick = self._covariances[:, :, cell] + self._covariances[:, :, self._count + laboratory]
        variance = pick[:, cell] + pick[:, self._count + laboratory] + self.noise**2
        return float(self._weights @ ((pick[:, : self._count] ** 2).sum(axis=1) / variance))

    def _mixed(self) -> tuple[Array, Array]:
        means = self._weights @ self._means
        variances = np.einsum("dcc->dc", self._covariances) + (self._means - means) ** 2
        return np.asarray(means), np.sqrt(self._weights @ variances)


def _prior(cells: Sequence[tuple[int, int]], laboratories: int, prior: Prior) -> Array:
    """(D, C + L, C + L) covariance of cells and offsets before anything is measured."""
    draws = stats.norm.ppf(0.5 + 0.5 * stats.qmc.Sobol(4, seed=_SEED).random_base2(_DRAWS_LOG2))
    scales = draws * [prior.between, prior.between, _INTERACTION * prior.between, prior.laboratory]
    specimen, condition, both, laboratory = (scales.T**2)[:, :, None, None]
    rows, columns = (np.array(each) for each in zip(*cells, strict=True))
    count = len(cells)
    found = np.zeros((len(draws), count + laboratories, count + laboratories))
    found[:, :count, :count] = (
        (_WIDE * prior.between) ** 2
        + specimen * (rows[:, None] == rows)
        + condition * (columns[:, None] == columns)
        + both * np.eye(count)
    )
    found[:, count:, count:] = laboratory * np.eye(laboratories)
    return found


def _weights(together: Array, values: Array) -> Array:
    """(D,) by the likelihood of the results under each draw."""
    if not len(values):
        return np.full(len(together), 1.0 / len(together))
    _, size = np.linalg.slogdet(together)
    off = np.einsum(
        "n,dn->d", values, np.linalg.solve(together, np.broadcast_to(values[:, None], (*together.shape[:2], 1)))[..., 0]
    )
    weights = np.exp(-0.5 * (size + off - (size + off).min()))
    return np.asarray(weights / weights.sum())
