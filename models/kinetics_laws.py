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
from scipy.stats import qmc

from models.kinetics import Array, Conditions, Expected, Parameter, Sizes, State, View
from models.kinetics_driven import Driven
from models.kinetics_growth import Growth, Power

if TYPE_CHECKING:
    from models.kinetics import Law

Ratio: TypeAlias = float

_COHORTS = 32
_PAIRS = 32


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
        points = qmc.Sobol(2, scramble=False).random(_PAIRS)
        return np.asarray(ndtri((points + 0.5 / _PAIRS) % 1.0).T)

    def start(self, values: Array) -> State:
        return {"lost": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"lost": state["lost"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        size, speed = self._pairs
        first = _lognormal(values, size)
        lost = np.exp(values[:, 4:5] * speed) * state["lost"][:, None]
        left = np.maximum(first**self.power - lost, 0.0)
        radii = left if self.power == 1 else np.sqrt(left)
        return Sizes(values[:, 0], radii, np.full(_PAIRS, 1 / _PAIRS), np.zeros(len(values)))


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
        return Sizes(number, mean_nm[:, None] * self._sizes, share, np.zeros(len(values)))


@dataclass(frozen=True)
class Front(Driven):
    """A first-order front at a speed that the conditions set sweeps over particles that stay where they are."""

    name: str = "first-order front"

    @property
    def local(self) -> bool:
        return True

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        span = self.expected.span_nm
        return self.with_energy(
            *self.there(),
            self.rate("speed_nm_per_s", span, 0.7),
            Parameter("start_nm", -0.5 * span, 0.5 * span, log=False),
            Parameter("width_nm", 0.03 * span, 0.8, counts=False),
        )

    def start(self, values: Array) -> State:
        return {"gone": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"gone": state["gone"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        at, blur = values[:, 4] + state["gone"], values[:, 5]
        low, high = view.x_nm - view.width_nm / 2, view.x_nm + view.width_nm / 2
        passed = blur * (np.logaddexp(0.0, (at - low) / blur) - np.logaddexp(0.0, (at - high) / blur))
        return _still(values, passed / view.width_nm)


@dataclass(frozen=True)
class Transformation(Driven):
    """A phase grows everywhere alike: changed = 1 − exp(−(k t)ⁿ) (Kolmogorov 1937; Johnson & Mehl, Avrami 1939)."""

    name: str = "transformation after Avrami"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.with_energy(*self.there(), self.rate("rate_per_s", 1.0), Parameter("exponent", 1.8, 0.4))

    def start(self, values: Array) -> State:
        return {"passed": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"passed": state["passed"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        return _still(values, -np.expm1(-(state["passed"] ** values[:, 4])))


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
        radii = _lognormal(values, _normal(_COHORTS))
        return Sizes(values[:, 0] * left, radii, np.full(_COHORTS, 1 / _COHORTS), np.zeros(len(values)))


def _still(values: Array, fraction: Array) -> Sizes:
    """The population that was there from the beginning, changed in part."""
    radii = _lognormal(values, _normal(_COHORTS))
    return Sizes(values[:, 0], radii, np.full(_COHORTS, 1 / _COHORTS), fraction)


def _lognormal(values: Array, normal: Array) -> Array:
    """(P, K) radii of populations whose median and spread are the second and third parameter."""
    return np.asarray(values[:, 1:2] * np.exp(values[:, 2:3] * normal))


def _normal(count: int) -> Array:
    return np.asarray(ndtri((np.arange(count) + 0.5) / count))
