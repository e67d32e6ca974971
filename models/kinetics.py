"""What theories of a changing specimen foretell, in the numbers that an instrument can measure of it.

A law (``models.kinetics_laws``) says how a population of particles changes while a holder's conditions are what they
are; here stands what is common to all laws: what drives a rate, which parameters a law has, and how a population shows
in a view. Ensembles of P parameter sets go forward together. Nothing here is taken from the simulated worlds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.kinetics_sampling import Strata

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float
Conditions: TypeAlias = Mapping[str, float]
"""Of the holder, by name with the unit at its end: temperature_K, concentration_mM, …"""
State: TypeAlias = dict[str, Array]
"""Of P parameter sets: every array begins with P, or with (T, P) at T moments."""

DESCRIPTORS = ("number", "radius", "spread", "volume", "fraction")
"""ln of the particles per µm², ln of their mean radius in nm, standard deviation of the radius over its mean, ln of
their volume per area in nm, part of the volume that has changed phase."""
NUMBER, RADIUS, SPREAD, VOLUME, FRACTION = range(len(DESCRIPTORS))
WHOLE = -1
"""Place of a view of the endless specimen."""
BOLTZMANN_EV_PER_K = 8.617333e-5
_PER_UM2_NM3: Ratio = 1e-6
"""From volume in nm³ times number per µm² to nm."""
_FEWEST: Ratio = 1e-9
_SOFT: Ratio = 0.08
"""Within this part of the smallest radius that stands out the chance to be seen rises by a factor e."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a law: log-normal, or normal where ``log`` is False."""

    name: str
    middle: float
    width: float
    """Standard deviation of ln, or of the number itself."""
    log: bool = True
    counts: bool = True
    """Whether it is of the process, and not of what was there before."""

    def of(self, z: Array) -> Array:
        """From standard normal numbers."""
        return np.asarray(self.middle * np.exp(self.width * z) if self.log else self.middle + self.width * z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known before anything is seen, by orders of magnitude: it makes the priors of every law."""

    horizon_s: float
    """How long the process is followed: rates are expected to do something within about this time."""
    number_per_um2: float = 300.0
    radius_nm: float = 6.0
    span_nm: float = 1000.0
    """Way of a front over the places that are watched."""
    temperature_K: float | None = None
    """Where rates are given, for a process that heat drives; None: temperature does not drive it."""
    supply: str | None = None
    """A condition that every rate is proportional to (concentration_mM); None: none does."""
    supply_at: float = 1.0
    """Where rates are given, in that condition's unit."""
    activation_eV: float = 1.5
    places_nm: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    """Middles of the places that are watched, by their number."""


@dataclass(frozen=True, slots=True)
class View:
    """How a place is looked at."""

    place: int
    """By number, or WHOLE."""
    x_nm: float
    """Of its middle, along which a front may run."""
    width_nm: float
    smallest_nm: float = 0.0
    """Particles of a smaller radius are not seen one by one; spectra see their volume all the same."""
    volume_floor_nm: float = 1e-3
    """Volumes are told as ln(volume + floor): about the least that can be measured."""
    new_contrast: Ratio = 1.0
    """How strongly the volume of the new phase shows, over that of the old one; 1 in spectra."""

    @property
    def area_um2(self) -> float:
        return self.width_nm**2 * 1e-6

    @property
    def number_floor_per_um2(self) -> float:
        """Numbers are told as ln(number + floor): half a particle in view."""
        return 0.5 / self.area_um2


@dataclass(frozen=True, slots=True)
class Sizes:
    """P populations, each by K particles that stand for all of it; at T moments (T, P) where they change in time."""

    number_per_um2: Array
    """(…, P)"""
    radius_nm: Array
    """(…, P, K), 0: gone or not there yet."""
    share: Array
    """(K,) or (…, P, K) of the number; sums to 1."""
    fraction: Array
    """(…, P) changed, in this view."""


class Law(Protocol):
    """A theory as a fast forward simulation of P parameter sets at once."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[Parameter, ...]: ...

    @property
    def local(self) -> bool:
        """Whether what it does differs from place to place."""
        ...

    def watching(self, places_nm: tuple[tuple[float, float], ...]) -> Law:
        """The same where other places are watched."""
        ...

    def start(self, values: Array) -> State:
        """(P, parameters) → the state at time 0."""
        ...

    def advance(self, state: State, values: Array, duration_s: float, conditions: Conditions) -> State:
        """The state of one moment after a time under conditions that hold meanwhile. A new one: the old stays."""
        ...

    def sizes(self, state: State, values: Array, view: View) -> Sizes: ...

    def strata(self, state: State, values: Array, view: View) -> Strata:
        """The same population by strata that a particle never leaves."""
        ...


def values_of(law: Law, z: Array) -> Array:
    """(P, parameters) from standard normal numbers of the same shape."""
    return np.column_stack([parameter.of(z[:, n]) for n, parameter in enumerate(law.parameters)])


def stacked(states: Sequence[State]) -> State:
    """States (P, …) of T moments as one (T, P, …)."""
    return {name: np.array([state[name] for state in states]) for name in states[0]}


def rate_factor(expected: Expected, activation_eV: Array, conditions: Conditions) -> Array:
    """(P,) by how much rates differ from where they are given: Arrhenius' law, and proportional to the supply.

    Raises KeyError where the holder does not tell a condition that drives the process.
    """
    factor = np.ones(len(activation_eV))
    if expected.temperature_K is not None:
        inverse = 1 / conditions["temperature_K"] - 1 / expected.temperature_K
        factor = np.exp(np.clip(-activation_eV / BOLTZMANN_EV_PER_K * inverse, -60.0, 60.0))
    if expected.supply is not None:
        factor = factor * max(conditions[expected.supply], 0.0) / expected.supply_at
    return np.asarray(factor)


def detected(radius_nm: Array, smallest_nm: float | Array) -> Array:
    """The probability that a particle is seen one by one: it rises to a half at the smallest radius that stands out.

    Of particles (…, K); the smallest radius is the same for all, or (…, 1). Infinite: none is seen, 0: all that exist.
    """
    there = radius_nm > _FEWEST
    smallest = np.asarray(smallest_nm, dtype=np.float64)
    if not smallest.any():
        return there.astype(np.float64)
    steep = (radius_nm / np.maximum(smallest, _FEWEST) - 1) / -_SOFT
    return np.asarray(there * np.isfinite(smallest) / (1 + np.exp(np.clip(steep, -40.0, 40.0, out=steep))))


def shown(sizes: Sizes, view: View) -> Array:
    """(…, P, descriptors) of populations in a view; nan where there is nothing to measure."""
    seen = sizes.share * detected(sizes.radius_nm, view.smallest_nm)
    part = seen.sum(axis=-1)
    safe = np.maximum(part, _FEWEST)
    squares = sizes.radius_nm * sizes.radius_nm
    mean = (seen * sizes.radius_nm).sum(axis=-1) / safe
    square = (seen * squares).sum(axis=-1) / safe
    cubes = (sizes.share * squares * sizes.radius_nm).sum(axis=-1)
    volume_nm = _PER_UM2_NM3 * 4 / 3 * math.pi * sizes.number_per_um2 * cubes
    volume_nm = volume_nm * (1 - sizes.fraction * (1 - view.new_contrast))
    found = np.empty((*volume_nm.shape, len(DESCRIPTORS)))
    found[..., NUMBER] = np.log(sizes.number_per_um2 * part + view.number_floor_per_um2)
    found[..., RADIUS] = np.log(np.maximum(mean, max(view.smallest_nm, 0.1)))
    found[..., SPREAD] = np.sqrt(np.maximum(square - mean * mean, 0.0)) / np.maximum(mean, _FEWEST)
    found[..., VOLUME] = np.log(volume_nm + view.volume_floor_nm)
    found[..., FRACTION] = sizes.fraction
    return found
