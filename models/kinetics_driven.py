"""What every law has: expectations that make its priors, and rates that follow a holder's conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from models.kinetics import Array, Conditions, Expected, Parameter, rate_factor
from models.kinetics_sampling import STRATA

EVEN = np.full(STRATA, 1 / STRATA)
"""Shares of strata that are all alike."""


@dataclass(frozen=True)
class Driven:
    """What every law has: its expectations, and an activation energy as its last parameter where heat drives it."""

    expected: Expected

    @property
    def local(self) -> bool:
        """Whether what it does differs from place to place."""
        return False

    def watching(self, places_nm: tuple[tuple[float, float], ...]) -> Self:
        """The same where other places are watched."""
        return replace(self, expected=replace(self.expected, places_nm=places_nm))

    def with_energy(self, *own: Parameter) -> tuple[Parameter, ...]:
        if self.expected.temperature_K is None:
            return own
        return (*own, Parameter("activation_eV", self.expected.activation_eV, 0.4, log=False))

    def factor(self, values: Array, conditions: Conditions) -> Array:
        return rate_factor(self.expected, values[:, -1], conditions)

    def rate(self, name: str, amount: float, width: float = 0.9) -> Parameter:
        """A rate that gives ``amount`` in half of the time that the process is followed."""
        return Parameter(name, 2 * amount / self.expected.horizon_s, width)

    def there(self) -> tuple[Parameter, Parameter, Parameter]:
        """A population that is there from the beginning."""
        return (
            Parameter("number_per_um2", self.expected.number_per_um2, 0.8, counts=False),
            Parameter("radius_nm", self.expected.radius_nm, 0.5, counts=False),
            Parameter("spread", 0.22, 0.4, counts=False),
        )


def log_normal(values: Array, normal: Array) -> Array:
    """(P, K) radii of populations whose median and spread are the second and third parameter."""
    return np.asarray(values[:, 1:2] * np.exp(values[:, 2:3] * normal))


@cache
def even_normal(count: int) -> Array:
    """Middles of equal parts of normal numbers (count,)."""
    return np.asarray(ndtri((np.arange(count) + 0.5) / count))


@cache
def spread_evenly(count: int) -> Array:
    """(2, count) points of the unit square."""
    return np.asarray(((qmc.Sobol(2, scramble=False).random(count) + 0.5 / count) % 1.0).T)
