"""What would be seen of a specimen that goes by a law only roughly: what the laws, to the letter, are held against.

Either a law's rates wander as no condition explains, or places, numbers and sizes do. That is free-form where a law is
not, and knows what particles, views and conditions are, so that little is needed to tell it from the laws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from models.kinetics import Array, Conditions, Law, Parameter, Sizes, State, View
from models.kinetics_filter import KineticFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinetics_nuisance import Calibration, Reading
    from models.kinetics_sampling import Strata

Ratio: TypeAlias = float

_SPANS = 8
"""Of the time that is followed; rates are constant in each."""
_WANDERS = 2.0
"""Standard deviation of the logarithm by which rates are off in a span."""
_SPREADS = 4.0
"""Times as much as in ``Calibration.place`` places differ in the spread of sizes."""
_WANDERING: Ratio = 2.0
"""``Calibration.wandering``: what places have beyond chance changes by twice as much as there is of it."""
_MOST_SETS = 96
_LEAST: Ratio = 1e-4
"""A law that is less probable is not asked again."""


@dataclass(frozen=True)
class Wandering:
    """A law whose rates are off by another factor in each span of the time that it is followed."""

    law: Law
    horizon_s: float

    @property
    def name(self) -> str:
        return self.law.name

    @property
    def local(self) -> bool:
        return self.law.local

    def watching(self, places_nm: tuple[tuple[float, float], ...]) -> Wandering:
        """The same where other places are watched."""
        return replace(self, law=self.law.watching(places_nm))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        own = (Parameter(f"factor_{span}", 1.0, _WANDERS, counts=False) for span in range(_SPANS))
        return (*self.law.parameters, *own)

    @cached_property
    def _rates(self) -> list[int]:
        """Columns of the law's own parameters."""
        return [n for n, parameter in enumerate(self.law.parameters) if parameter.name.endswith("_per_s")]

    def start(self, values: Array) -> State:
        return {**self.law.start(self._own(values)), "time_s": np.zeros(len(values))}

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        at_s, end_s, own = float(state["time_s"][0]), float(state["time_s"][0]) + duration_s, _without_time(state)
        span_s = self.horizon_s / _SPANS
        while at_s < end_s:
            span = min(int(at_s / span_s * (1 + 1e-9)), _SPANS - 1)
            to_s = end_s if span == _SPANS - 1 else min((span + 1) * span_s, end_s)
            now = self._own(values).copy()
            now[:, self._rates] *= values[:, len(self.law.parameters) + span, None]
            own = self.law.advance(own, now, to_s - at_s, conditions)
            at_s = to_s
        return {**own, "time_s": np.full(len(values), end_s)}

    def sizes(self, state: State, values: Array, view: View) -> Sizes:
        return self.law.sizes(_without_time(state), self._own(values), view)

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """Of the law itself."""
        return self.law.strata(_without_time(state), self._own(values), view)

    def _own(self, values: Array) -> Array:
        return values[:, : len(self.law.parameters)]


def _without_time(state: State) -> State:
    return {name: column for name, column in state.items() if name != "time_s"}


class Rivals:
    """The laws with rates that wander, and the laws of places and sizes that do: each foretells on its own account."""

    count = 2

    def __init__(
        self,
        laws: Sequence[Law],
        places: int,
        horizon_s: float,
        calibration: Calibration,
        sets: int,
        seed: int,
        widths_nm: Sequence[float],
    ) -> None:
        wandering = [Wandering(law, horizon_s) for law in laws]
        number, radius, spread, fraction = calibration.place
        loose = replace(calibration, place=(number, radius, _SPREADS * spread, fraction), wandering=_WANDERING)
        self._filters = [
            KineticFilter(each, places, horizon_s, known, min(sets, _MOST_SETS), seed, widths_nm)
            for each, known in ((wandering, calibration), (laws, loose))
        ]

    def wait(self, duration_s: float, conditions: Conditions) -> None:
        """Time passes under conditions that hold meanwhile."""
        for each in self._filters:
            each.wait(duration_s, conditions)

    def learn(self, reading: Reading) -> Array:
        """(count,) ln of the density that each gave to a reading, which it takes up."""
        for each in self._filters:
            each.learn(reading)
            each.forget(_LEAST)
        return np.array([each.last_log_density for each in self._filters])
