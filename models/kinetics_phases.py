"""Laws of particles that stay where they are and change phase: a front that sweeps over them, or domains that grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy.special import expit

from models.kinetics import WHOLE, Array, Conditions, Parameter, Sizes, State, View
from models.kinetics_driven import EVEN, Driven, even_normal, log_normal
from models.kinetics_sampling import STRATA, Strata

Ratio: TypeAlias = float

_COHORTS = 32
_LOG_TIME_VARIANCE = math.pi**2 / 6
_LEAST_WITHIN: Ratio = 0.02
_LEAST_OWN: Ratio = 1e-6
_CURVATURE = 3.0
"""An even slope g over a view of width w has a variance of g² w² ÷ 12; over a way d in any direction, of g² d² ÷ 2."""


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

    @property
    def _rough_nm(self) -> float:
        return 0.02 * self.expected.span_nm

    def start(self, values: Array) -> State:
        return {"gone": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"gone": state["gone"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        at, blur = values[:, 4] + state["gone"], values[:, 5]
        low, high = view.x_nm - view.width_nm / 2, view.x_nm + view.width_nm / 2
        passed = blur * (np.logaddexp(0.0, (at - low) / blur) - np.logaddexp(0.0, (at - high) / blur))
        return _still(values, passed / view.width_nm)

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By size; a front is ahead of its mean at one place and behind at another: it is rough beyond a view, too."""
        at, blur = values[:, 4] + state["gone"], values[:, 5]
        low, high = (expit((at - view.x_nm + side * view.width_nm / 2) / blur) for side in (1, -1))
        found = self.sizes(state, values, view)
        return _still_strata(values, found.fraction, np.maximum(blur, self._rough_nm) * (low - high) / view.width_nm)


@dataclass(frozen=True)
class Transformation(Driven):
    """A phase grows everywhere alike: changed = 1 − exp(−(k t)ⁿ) (Kolmogorov 1937; Johnson & Mehl, Avrami 1939).

    Where domains are not small against a view, one place is ahead and another behind, and each changes faster than the
    whole. The logarithm of the time at which a point changes has a variance of π²/6 ÷ n². Of it 1 ÷ (1 + (view ÷
    domain)²) lies between views, the rest within, as for Avrami's curve with a larger exponent. A boundary that crosses
    a view in a time needs as long for as far a way between two places: what their times have in common falls by the
    distance as a Gaussian whose curvature is that of the times within a view.
    """

    name: str = "transformation after Avrami"

    @property
    def local(self) -> bool:
        return True

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        ahead = (
            Parameter(f"ahead_{place}", 0.0, 1.0, log=False, counts=False)
            for place in range(len(self.expected.places_nm))
        )
        return self.with_energy(
            *self.there(),
            self.rate("rate_per_s", 1.0),
            Parameter("exponent", 1.8, 0.4),
            Parameter("domain_nm", 0.3 * self.expected.span_nm, 1.0, counts=False),
            *ahead,
        )

    @cached_property
    def _apart_nm2(self) -> Array:
        """(places, places) squared distances."""
        at = np.array(self.expected.places_nm)
        return np.asarray(np.square(at[:, None] - at).sum(axis=-1))

    def start(self, values: Array) -> State:
        return {"passed": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        return {"passed": state["passed"] + values[:, 3] * self.factor(values, conditions) * duration_s}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        return _still(values, self._changed(state, values, view))

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By size."""
        return _still_strata(values, self._changed(state, values, view))

    def _changed(self, state: State, values: Array, view: View) -> Array:
        """Raises ValueError for a place that was not expected."""
        if view.place == WHOLE:
            return np.asarray(-np.expm1(-(state["passed"] ** values[:, 4])))
        places = len(self.expected.places_nm)
        if not 0 <= view.place < places:
            raise ValueError(
                f"place {view.place} is looked at, and {places} were expected: name it in Expected.places_nm"
            )
        domain_nm2 = np.square(values[:, 5])
        between = 1 / (1 + view.width_nm**2 / domain_nm2)
        alike = np.exp(-_CURVATURE * self._apart_nm2 / domain_nm2[:, None, None]) + _LEAST_OWN * np.eye(places)
        drawn = np.linalg.cholesky(alike)[:, view.place] * values[:, 6 : 6 + places]
        ahead = np.sqrt(between * _LOG_TIME_VARIANCE) / values[:, 4] * drawn.sum(axis=1)
        own = values[:, 4] / np.sqrt(np.maximum(1 - between, _LEAST_WITHIN))
        steep = np.clip(own * (np.log(np.maximum(state["passed"], 1e-30)) + ahead), -60.0, 60.0)
        return np.asarray(-np.expm1(-np.exp(steep)))


def _still(values: Array, fraction: Array) -> Sizes:
    """The population that was there from the beginning, changed in part."""
    radii = log_normal(values, even_normal(_COHORTS))
    return Sizes(values[:, 0], radii, np.full(_COHORTS, 1 / _COHORTS), fraction)


def _still_strata(values: Array, fraction: Array, offset: Array | None = None) -> Strata:
    radii = log_normal(values, even_normal(STRATA))
    return Strata(values[:, 0], EVEN, np.ones_like(radii), radii, fraction, offset)
