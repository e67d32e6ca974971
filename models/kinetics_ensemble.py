"""One law's parameter sets with their weights, and what a filter does with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import Array, Law, State, View, shown, stacked
from models.kinetics_nuisance import Nuisance, Seen

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
    guesses: Array
    log_weights: Array
    """(P,) normalised."""
    log_evidence: float
    nuisance: Nuisance
    seen: list[Seen] = field(default_factory=list)
    """Every reading, as this law foretold it."""
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
    guesses: Array
    weights: Array
    nuisance: Nuisance


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


def shown_at(law: Law, values: Array, states: Sequence[State], seen: Sequence[Seen]) -> list[Array]:
    """What sets show (P, descriptors) at every reading; readings of one view together, for speed."""
    by_view: dict[View, list[int]] = {}
    for n, each in enumerate(seen):
        by_view.setdefault(each.reading.view, []).append(n)
    found: dict[int, Array] = {}
    for view, readings in by_view.items():
        state = stacked([states[n] for n in readings])
        sizes = law.sizes(state, np.tile(values, (len(readings), 1)), view)
        found.update(zip(readings, np.split(shown(sizes, view), len(readings)), strict=True))
    return [found[n] for n in range(len(seen))]


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
