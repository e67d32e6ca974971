"""Nucleation and growth as a law: sites that wake up, particles that grow until the supply is used up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from models.kinetics import Array, Conditions, Parameter, Sizes, State, View
from models.kinetics_driven import Driven
from models.kinetics_sampling import STRATA, Strata

Power: TypeAlias = Literal[1, 2]

_COHORTS = 32
_STEPS = 60
"""Of the growth coordinate, in the time that a process is followed."""
_NUCLEUS_nm = 0.5
_EARLY = 1.7
"""Cohorts are the smaller the earlier they are born: quantiles of the sites to this power."""


@dataclass(frozen=True)
class Growth(Driven):
    """Sites wake up at a constant rate each, and particles grow until the supply is used up.

    Avrami, J. Chem. Phys. 7, 1103 (1939). ``power`` 1: limited by the reaction, dr/dt = k; 2: by diffusion, d(r²)/dt =
    k. The growth coordinate is stepped by the midpoint rule over cohorts that are born together.
    """

    power: Power

    @property
    def name(self) -> str:
        return f"growth, {'reaction' if self.power == 1 else 'diffusion'}-limited"

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        e = self.expected
        return self.with_energy(
            Parameter("sites_per_um2", e.number_per_um2, 0.8, counts=False),
            self.rate("nucleation_per_s", 1.0),
            self.rate("growth_nm_per_s" if self.power == 1 else "growth_nm2_per_s", e.radius_nm**self.power, 0.8),
            Parameter("supply_nm", 3e-6 * e.number_per_um2 * 4 * e.radius_nm**3, 1.2),
        )

    @cached_property
    def _edges(self) -> Array:
        return np.linspace(0.0, 1.0, _COHORTS + 1) ** _EARLY

    @cached_property
    def _share(self) -> Array:
        return np.diff(self._edges)

    @cached_property
    def _ages(self) -> Array:
        """(K,) nucleation rate × time at which a cohort is born."""
        return np.asarray(-np.log1p(-(self._edges[1:] + self._edges[:-1]) / 2))

    def start(self, values: Array) -> State:
        none = np.zeros(len(values))
        return {"awake": none, "grown": none, "born_at": np.full((len(values), _COHORTS), np.inf)}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        steps = max(math.ceil(duration_s / self.expected.horizon_s * _STEPS), 1)
        run = self.factor(values, conditions) * (duration_s / steps)
        for _ in range(steps):
            state = self._step(state, values, run)
        return state

    def _step(self, state: State, values: Array, run: Array) -> State:
        awake = state["awake"] + values[:, 1] * run
        grows = values[:, 2] * run
        half = state["grown"] + 0.5 * grows * self._left(state["grown"], state["born_at"], values)
        grown = state["grown"] + grows * self._left(half, state["born_at"], values)
        new = (self._ages <= awake[:, None]) & np.isinf(state["born_at"])
        if new.any():
            passed = (awake - state["awake"])[:, None]
            part = (self._ages - state["awake"][:, None]) / np.maximum(passed, 1e-300)
            at = state["grown"][:, None] + np.clip(part, 0.0, 1.0) * (grown - state["grown"])[:, None]
            born_at = np.where(new, at, state["born_at"])
        else:
            born_at = state["born_at"]
        return {"awake": awake, "grown": grown, "born_at": born_at}

    def _radii(self, grown: Array, born_at: Array) -> Array:
        age = grown[..., None] - born_at  # of what is not born yet −∞
        grown_nm = age + _NUCLEUS_nm if self.power == 1 else np.sqrt(np.maximum(age + _NUCLEUS_nm**2, 0.0))
        return np.maximum(grown_nm, 0.0)

    def _left(self, grown: Array, born_at: Array, values: Array) -> Array:
        radii = self._radii(grown, born_at)
        cubes = (radii * radii * radii) @ self._share
        return np.maximum(1 - 4e-6 / 3 * math.pi * values[:, 0] * cubes / values[:, 3], 0.0)

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        awake = -np.expm1(-state["awake"])
        begun = np.clip((awake[..., None] - self._edges[:-1]) / self._share, 0.0, 1.0) * self._share
        born_at = np.where(begun > 0, np.minimum(state["born_at"], state["grown"][..., None]), np.inf)
        share = begun / np.maximum(begun.sum(axis=-1), 1e-12)[..., None]
        return Sizes(values[:, 0] * awake, self._radii(state["grown"], born_at), share, np.zeros_like(awake))

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """By the order of birth, neighbouring cohorts joined."""
        found = self.sizes(state, values, view)
        awake = found.share * (-np.expm1(-state["awake"]))[..., None]
        pairs = (*state["awake"].shape, STRATA, _COHORTS // STRATA)
        share, there = self._share.reshape(pairs[-2:]).sum(axis=-1), awake.reshape(pairs).sum(axis=-1)
        radius = (awake * found.radius_nm).reshape(pairs).sum(axis=-1) / np.maximum(there, 1e-12)
        return Strata(values[:, 0], share, there / share, radius, found.fraction)
