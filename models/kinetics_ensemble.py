"""One law's parameter sets with their weights, and what a filter does with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import DESCRIPTORS, Array, Law, State, View, shown, stacked
from models.kinetics_told import Told

if TYPE_CHECKING:
    from collections.abc import Sequence

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass
class Ensemble:
    """One law's parameter sets."""

    law: Law
    z: Array
    values: Array
    state: State
    log_weights: Array
    """(P,) normalised."""
    log_evidence: float
    told: Told
    """Every reading, as this law foretold it."""
    white: Array
    """(P, N) how far each set is off what was told, whitened."""
    moved: bool = False
    """Whether its sets are others than those by which readings were foretold."""
    linear_at: int = 0
    """Readings when they were foretold anew."""


@dataclass(frozen=True, slots=True)
class Live:
    """What one law says now."""

    law: Law
    probability: Ratio
    values: Array
    state: State
    weights: Array
    told: Told
    white: Array

    @property
    def guesses(self) -> Array:
        """(P, M) at the common errors."""
        return np.asarray(self.white @ self.told.reach)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One parameter of one law."""

    law: str
    name: str
    mean: float
    low: float
    high: float
    """With ``low`` the middle 90 %."""
    counts: bool
    log_sd: float
    """Of its logarithm, or of itself where it is not log-normal."""


def alike(law: Law, views: Sequence[View]) -> list[list[int]]:
    """Numbers of the views that show the same of a law, together."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for n, view in enumerate(views):
        where = view.place if law.local else 0
        key = view.width_nm, view.smallest_nm, view.volume_floor_nm, view.new_contrast, where
        groups.setdefault(key, []).append(n)
    return list(groups.values())


def shown_at(law: Law, values: Array, states: Sequence[State], told: Told) -> Array:
    """(P, N) what sets show of every number that was told, from their states at every reading."""
    if not states:
        return np.zeros((len(values), 0))
    views = [reading.view for reading in told.readings]
    every = np.empty((len(states), len(values), len(DESCRIPTORS)))
    for some in alike(law, views):
        view = views[some[0]]
        every[some] = shown(law.sizes(stacked([states[n] for n in some]), values, view), view)
    return np.asarray(every[told.reading, :, told.descriptor].T)


def chosen(taken: Bools, new: Array, old: Array) -> Array:
    """The new rows where they are taken."""
    return np.where(taken.reshape(-1, *([1] * (new.ndim - 1))), new, old)


def normalised(log_weights: Array) -> Array:
    """Of a sum of 1."""
    return np.asarray(log_weights - np.logaddexp.reduce(log_weights))


def effective(log_weights: Array) -> float:
    """Number of sets that carry the weight."""
    weights = np.exp(normalised(log_weights))
    return float(1 / (weights**2).sum())


def log_mean(each: Ensemble, likely: Array) -> float:
    """Ln of the mean density over sets."""
    return float(np.logaddexp.reduce(each.log_weights + likely))


def part_of(log_weights: Array, likely: Array, most: Ratio, ess: float) -> Ratio:
    """How much of a reading may count at once so that the weight stays with enough sets."""
    low, high = 0.0, most
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(log_weights + middle * likely) > ess else (low, middle)
    return max(low, 0.02 * most)
