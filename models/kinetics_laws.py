"""Laws that may govern a changing specimen: nucleation and growth, dissolution, ripening, fronts, annealing.

Each is solved in its own way, on populations that stand for all particles; none shares an equation's code with the
simulated worlds, which place and grow every particle by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.special import ndtri

from models.kinetics import Array, Conditions, Expected, Parameter, Sizes, State, View
from models.kinetics_driven import EVEN, Driven, even_normal, log_normal, spread_evenly
from models.kinetics_growth import Growth, Power
from models.kinetics_phases import Front, Transformation
from models.kinetics_sampling import STRATA, Strata

if TYPE_CHECKING:
    from models.kinetics import Law

Ratio: TypeAlias = float

_COHORTS = 32
_PAIRS = 32
_RANKS = np.append(0.75 ** np.arange(STRATA), 0.0)
"""Part of the particles above each edge between strata."""


def all_laws(expected: Expected) -> tuple[Law, ...]:
    """Every law, with priors of what is expected."""
    return (
        Growth(expected, 1),
        Growth(expected, 2),
        Dissolution(expected, 1),
        Dissolution(expected, 2),
        Ripening(expected),
        Front(expected),
        Transformation(expected),
        Annealing(expected),
    )


@dataclass(frozen=True)
class Dissolution(Driven):
    """Every particle shrinks: rᵖ falls linearly, each particle at its own speed, as its facets make it."""

    power: Power

    @property
    def name(self) -> str:
        return f"dissolution, {'reaction' if self.power == 1 else 'diffusion'}-limited"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        rate = self.rate("rate_nm_per_s" if self.power == 1 else "rate_nm2_per_s", self.expected.radius_nm**self.power)
        own = Parameter("facet_spread", 0.2, 0.4, counts=False)
        return self.with_energy(*self.there(), rate, own)

    @cached_property
    def _pairs(self) -> Array:
        """(2, K) normal numbers: of the size, of the speed."""
        return np.asarray(ndtri(spread_evenly(_PAIRS)))

    @cached_property
    def _few(self) -> Array:
        return np.asarray(ndtri(spread_evenly(STRATA)))

    def start(self, values: Array) -> State:
        return {"lost": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"lost": state["lost"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        radii = self._radii(state, values, self._pairs)
        return Sizes(values[:, 0], radii, np.full(_PAIRS, 1 / _PAIRS), np.zeros_like(state["lost"]))

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By size and speed."""
        radii = self._radii(state, values, self._few)
        return Strata(values[:, 0], EVEN, (radii > 0).astype(np.float64), radii, np.zeros_like(state["lost"]))

    def _radii(self, state: State, values: Array, pairs: Array) -> Array:
        size, speed = pairs
        lost = np.exp(values[:, 4:5] * speed) * state["lost"][..., None]
        left = np.maximum(log_normal(values, size) ** self.power - lost, 0.0)
        return left if self.power == 1 else np.asarray(np.sqrt(left))


@dataclass(frozen=True)
class Ripening(Driven):
    """Large particles grow at the cost of small ones: ⟨r⟩³ grows linearly, the volume stays.

    Lifshitz & Slyozov, J. Phys. Chem. Solids 19, 35 (1961); Wagner, Z. Elektrochem. 65, 581 (1961).
    """

    name: str = "Ostwald ripening"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        number, radius, _ = self.there()
        return self.with_energy(number, radius, self.rate("rate_nm3_per_s", self.expected.radius_nm**3))

    @cached_property
    def _sizes(self) -> Array:
        """(K,) radii in mean radii, each of as many particles: quantiles of the steady distribution, integrated."""
        x = np.linspace(0.0, 1.5, 20001)[1:-1]
        density = x**2 * np.power(3 + x, -7 / 3) * np.power(1.5 - x, -11 / 3) * np.exp(-x / (1.5 - x))
        total = np.cumsum(density)
        return np.interp((np.arange(_COHORTS) + 0.5) / _COHORTS, total / total[-1], x)

    def start(self, values: Array) -> State:
        return {"ripened": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"ripened": state["ripened"] + values[:, 2] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        mean_nm = np.cbrt(values[:, 1] ** 3 + state["ripened"])
        number = values[:, 0] * (values[:, 1] / mean_nm) ** 3
        share = np.full(_COHORTS, 1 / _COHORTS)
        return Sizes(number, mean_nm[..., None] * self._sizes, share, np.zeros_like(number))

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By rank among the particles of the beginning: the order stays, and the smallest vanish."""
        mean_nm = np.cbrt(values[:, 1] ** 3 + state["ripened"])
        left = ((values[:, 1] / mean_nm) ** 3)[..., None]
        high, low = _RANKS[:-1], _RANKS[1:]
        there = np.clip((left - low) / (high - low), 0.0, 1.0)
        middle = (np.minimum(left, high) + low) / 2 / left
        below = (np.arange(_COHORTS) + 0.5) / _COHORTS
        radii = np.where(there > 0, mean_nm[..., None] * np.interp(1 - middle, below, self._sizes), 0.0)
        return Strata(values[:, 0], high - low, there, radii, np.zeros_like(mean_nm))


@dataclass(frozen=True)
class Annealing(Driven):
    """Defects vanish one by one at the same rate, whatever their size; a part of them cannot."""

    name: str = "defect annealing, first order"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.with_energy(
            *self.there(),
            self.rate("rate_per_s", 1.0),
            Parameter("share_that_stays", 0.15, 0.8, counts=False),
        )

    def start(self, values: Array) -> State:
        return {"passed": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"passed": state["passed"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        stays = np.minimum(values[:, 4], 1.0)
        left = stays + (1 - stays) * np.exp(-state["passed"])
        radii = log_normal(values, even_normal(_COHORTS))
        return Sizes(values[:, 0] * left, radii, np.full(_COHORTS, 1 / _COHORTS), np.zeros_like(left))

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By the moment at which a defect goes, and by size."""
        stays = np.minimum(values[:, 4], 1.0)
        left = (stays + (1 - stays) * np.exp(-state["passed"]))[..., None]
        goes, size = spread_evenly(STRATA)
        there = np.clip((left - goes) * STRATA + 0.5, 0.0, 1.0)
        return Strata(values[:, 0], EVEN, there, log_normal(values, ndtri(size)), np.zeros_like(state["passed"]))
