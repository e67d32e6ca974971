"""What a campaign knows of its grid, from every laboratory's results together, and which cell would teach it the most.

Random effects: what an area shows = mean + specimen + condition + their interaction + laboratory + area + noise, all
normal. The grid's values leave laboratory and area out. A laboratory's offset is a calibration error, which the
laboratories' common cells, rows and columns show, and which averages out between laboratories as far as there are
several. Areas of one cell differ because a specimen is not even; by how much, the areas of all cells tell together.
Standard deviations of the effects are not known: the posterior is a mixture over draws of them from half-normal priors,
weighted by how well each explains the results (Gelman et al., Bayesian Data Analysis, 3rd ed., 2013, ch. 5 and 15; the
weights are importance sampling from the prior, at the points of a Sobol sequence, so that equal results give equal
answers).
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

_DRAWS_LOG2 = 10
_SEED = 20
_INTERACTION: Ratio = 0.5
"""Scale of the interaction's prior, in that of specimens and conditions."""
_LEAST: Ratio = 1e-4
"""No result is taken for surer than this share of the effects' scale, whatever it says of itself."""
_WIDE = 20.0
"""Standard deviation of the mean's prior, in the scale of the effects: it says next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One result: what each area of the cell showed, with its standard error within that area."""

    cell: int
    laboratory: int
    areas: tuple[tuple[float, float], ...]
    """(value, standard error) each, at least one."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is taken for granted before anything is measured."""

    between: float
    """Scale of specimens and conditions."""
    laboratory: float
    """Scale of the laboratories' offsets."""
    area: float
    """Scale of the differences between areas of one cell."""
    noise: float
    """Standard error of a cell that is not measured yet, within its areas."""
    areas: int = 1
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
        scales = _scales(prior)
        before = _prior(cells, laboratories, prior, scales)
        area = scales[:, 4] ** 2
        values, noise, scatter = _results(observations, area + (_LEAST * prior.between) ** 2)
        within = [std**2 for each in observations for _, std in each.areas]
        one = float(np.median(within)) if within else prior.areas * prior.noise**2
        self._next = (one + area) / prior.areas
        """(D,) expected variance of the next cell."""
        picks = np.zeros((len(observations), self._count + laboratories))
        for row, each in enumerate(observations):
            picks[row, [each.cell, self._count + each.laboratory]] = 1.0
        middle = float(values.mean()) if len(observations) else 0.0
        together = picks @ before @ picks.T + noise[:, :, None] * np.eye(len(observations))
        across = before @ picks.T
        gain = np.linalg.solve(together, across.transpose(0, 2, 1)).transpose(0, 2, 1)
        self._means = np.einsum("dcn,dn->dc", gain, values - middle)
        self._means[:, : self._count] += middle
        self._covariances = before - gain @ across.transpose(0, 2, 1)
        self._weights = _weights(together, values - middle, scatter)

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
        variance = pick[:, cell] + pick[:, self._count + laboratory] + self._next
        return float(self._weights @ ((pick[:, : self._count] ** 2).sum(axis=1) / variance))

    def _mixed(self) -> tuple[Array, Array]:
        means = self._weights @ self._means
        variances = np.einsum("dcc->dc", self._covariances) + (self._means - means) ** 2
        return np.asarray(means), np.sqrt(self._weights @ variances)


def _scales(prior: Prior) -> Array:
    """(D, 5) draws of the effects' standard deviations: specimen, condition, interaction, laboratory, area."""
    draws = stats.norm.ppf(0.5 + 0.5 * stats.qmc.Sobol(5, seed=_SEED).random_base2(_DRAWS_LOG2))
    usual = [prior.between, prior.between, _INTERACTION * prior.between, prior.laboratory, prior.area]
    return np.asarray(draws * usual)


def _prior(cells: Sequence[tuple[int, int]], laboratories: int, prior: Prior, scales: Array) -> Array:
    """(D, C + L, C + L) covariance of cells and offsets before anything is measured."""
    specimen, condition, both, laboratory = (scales[:, :4].T ** 2)[:, :, None, None]
    rows, columns = (np.array(each) for each in zip(*cells, strict=True))
    count = len(cells)
    found = np.zeros((len(scales), count + laboratories, count + laboratories))
    found[:, :count, :count] = (
        (_WIDE * prior.between) ** 2
        + specimen * (rows[:, None] == rows)
        + condition * (columns[:, None] == columns)
        + both * np.eye(count)
    )
    found[:, count:, count:] = laboratory * np.eye(laboratories)
    return found


def _results(observations: Sequence[Observation], area: Array) -> tuple[Array, Array, Array]:
    """Of N results, for each draw of the variance ``area`` (D,): values (D, N), variances (D, N), log likelihood (D,).

    A cell's areas are exchangeable, so that their weighted mean, its variance, and how well the draw explains their
    scatter about it hold all that they tell.
    """
    values, variances = np.zeros((2, len(area), len(observations)))
    scatter = np.zeros(len(area))
    for n, each in enumerate(observations):
        told, std = np.array(each.areas).T
        weights = 1.0 / (std**2 + area[:, None])
        total = weights.sum(axis=1)
        values[:, n], variances[:, n] = weights @ told / total, 1.0 / total
        off = (weights * (told - values[:, n, None]) ** 2).sum(axis=1)
        scatter += 0.5 * (np.log(weights).sum(axis=1) - np.log(total) - off)
    return values, variances, scatter


def _weights(together: Array, values: Array, scatter: Array) -> Array:
    """(D,) by the likelihood of the results (D, N), and of their scatter (D,), under each draw."""
    if not values.shape[1]:
        return np.full(len(together), 1.0 / len(together))
    _, size = np.linalg.slogdet(together)
    off = np.einsum("dn,dn->d", values, np.linalg.solve(together, values[..., None])[..., 0])
    likely = scatter - 0.5 * (size + off)
    weights = np.exp(likely - likely.max())
    return np.asarray(weights / weights.sum())
