"""What becomes of particles that are there from the beginning: they dissolve, ripen, or change phase."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from configs.load import Settings
from instruments.simulated.hashing import uniform
from instruments.simulated.insitu import (
    KEPT_BLOCKS,
    Event,
    Happenings,
    Particles,
    PopulationSettings,
    Range,
    draws,
    gather,
    list_events,
    populate,
    scatter,
)
from instruments.simulated.kinetics import Drive, Progress, RateLaw, cap_fraction, lsw_radius
from instruments.simulated.numbers import NotNegative, Positive, Ratio

if TYPE_CHECKING:
    import numpy.typing as npt

    from instruments.simulated.conditions import Conditions
    from instruments.simulated.hashing import Doubles

_FACET, _RANK, _ONSET, _THRESHOLD, _ROUGH = 711, 712, 713, 714, 715
Block = tuple[int, int]
Spread = Annotated[Ratio, Field(ge=0, le=5)]


class DissolutionSettings(Settings):
    """Etching: rᵖ falls linearly with ∫ rate dt.

    The default is of the order of gold in an oxidising liquid cell (Ye et al., Science 354, 874 (2016)).
    """

    population: PopulationSettings = PopulationSettings()
    rate: RateLaw = RateLaw(
        at_reference=0.05, drives=(Drive(condition="concentration_mM", law="power", reference=1.0, strength=1.0),)
    )
    """In nm/s for exponent 1, in nm²/s for exponent 2."""
    exponent: Literal[1, 2] = 1
    """1: limited by the reaction. 2: limited by diffusion."""
    facet_spread: Spread = 0.2
    """Standard deviation of the logarithm of a particle's own rate, as its facets make it."""


class Dissolution:
    """A ``Process``: every particle shrinks and vanishes."""

    def __init__(self, settings: DissolutionSettings, conditions: Conditions, seed: int) -> None:
        self._settings, self._conditions, self._seed = settings, conditions, seed
        self._progress = Progress(settings.rate, conditions)
        self._block = lru_cache(maxsize=KEPT_BLOCKS)(self._make)

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        return gather(lambda block: self._shrunk(block, t_s), x_range_nm, y_range_nm, t_s)

    def largest_nm(self, t_s: float) -> float:
        return self._settings.population.largest_nm

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        return list_events(self._happenings, x_range_nm, y_range_nm, (t0_s, t1_s))

    def _shrunk(self, block: Block, t_s: float) -> Particles:
        whole, factor, end_s = self._block(block, self._conditions.version)
        power = self._settings.exponent
        left = np.maximum(whole.radius_nm**power - factor * self._progress.total(t_s), 0.0) ** (1 / power)
        return Particles(whole.id, whole.x_nm, whole.y_nm, left, whole.fraction).where(end_s > t_s)

    def _happenings(self, block: Block) -> tuple[Particles, list[Happenings]]:
        whole, _, end_s = self._block(block, self._conditions.version)
        return whole, [Happenings("vanish", end_s, np.zeros(len(end_s)))]

    def _make(self, block: Block, version: int) -> tuple[Particles, Doubles, Doubles]:
        """The particles, their own rates (relative) and ends; ``version`` is only a key, as below."""
        whole = populate(self._seed, self._settings.population, block)
        normal = ndtri(draws(self._seed, _FACET, block, len(whole.id)))
        factor = np.exp(self._settings.facet_spread * normal)
        return whole, factor, self._progress.when(whole.radius_nm**self._settings.exponent / factor)


class CoarseningSettings(Settings):
    """Ostwald ripening in the diffusion-limited steady state of Lifshitz, Slyozov and Wagner (1961).

    The default is of the order of platinum on silica at 650 °C (Simonsen et al., J. Catal. 281, 147 (2011)).
    """

    per_um2: NotNegative = 2000.0
    mean_radius_nm: Positive = 2.0
    rate: RateLaw = RateLaw(at_reference=2e-3, activation_eV=2.0, reference_K=923.0)
    """Of the mean radius cubed, in nm³/s."""


class Coarsening:
    """A ``Process``: ⟨r⟩³ = r₀³ + ∫ rate dt, the number falls as 1/⟨r⟩³, the volume stays in the mean.

    Approximation: mean field, steady from time 0; the sizes keep the LSW distribution and their order. A particle of
    rank u (part of the population below it) has the rank 1 − (1 − u)/S among the part S that survives, and vanishes
    when S = 1 − u. Each then follows dr/dt ∝ (1/⟨r⟩ − 1/r)/r exactly. Volume fluctuates from place to place.
    """

    def __init__(self, settings: CoarseningSettings, conditions: Conditions, seed: int) -> None:
        self._settings, self._conditions, self._seed = settings, conditions, seed
        self._progress = Progress(settings.rate, conditions)
        self._block = lru_cache(maxsize=KEPT_BLOCKS)(self._make)

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        return gather(lambda block: self._ripened(block, t_s), x_range_nm, y_range_nm, t_s)

    def largest_nm(self, t_s: float) -> float:
        return 1.5 * self.mean_radius_nm(t_s)  # where the LSW distribution ends

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        return list_events(self._happenings, x_range_nm, y_range_nm, (t0_s, t1_s))

    def mean_radius_nm(self, t_s: float) -> float:
        """⟨r⟩ of the endless population."""
        return float(np.cbrt(self._settings.mean_radius_nm**3 + self._progress.total(t_s)[0]))

    def _ripened(self, block: Block, t_s: float) -> Particles:
        points, above, end_s = self._block(block, self._conditions.version)
        alive = end_s > t_s
        left, mean_nm = points.where(alive), self.mean_radius_nm(t_s)
        survivors = (self._settings.mean_radius_nm / mean_nm) ** 3
        radius = mean_nm * lsw_radius(np.minimum(above[alive] / survivors, 1.0))
        return Particles(left.id, left.x_nm, left.y_nm, radius, left.fraction)

    def _happenings(self, block: Block) -> tuple[Particles, list[Happenings]]:
        points, _, end_s = self._block(block, self._conditions.version)
        return points, [Happenings("vanish", end_s, np.zeros(len(end_s)))]

    def _make(self, block: Block, version: int) -> tuple[Particles, Doubles, Doubles]:
        """The places, the part of the population above each, and the ends."""
        points = scatter(self._seed, self._settings.per_um2, block)
        above = draws(self._seed, _RANK, block, len(points.id))
        return points, above, self._progress.when(self._settings.mean_radius_nm**3 * (1 - above) / above)


class TransformationSettings(Settings):
    """A mosaic: particle after particle changes phase, each at its own threshold and after its own incubation.

    A particle begins when ∫ onset dt reaches e^threshold × (a unit exponential draw)^(1/avrami). Without spread the
    part begun is 1 − exp(−(∫ onset dt)^avrami): Johnson & Mehl, Trans. AIME 135, 416 (1939); Avrami, J. Chem. Phys. 7,
    1103 (1939); for varying conditions by Cahn's additivity, Acta Metall. 4, 572 (1956). The default is of the order of
    LiFePO₄ on charge, where few particles are active at a time (Chueh et al., Nano Lett. 13, 866 (2013)); the new phase
    stays when the bias turns.
    """

    population: PopulationSettings = PopulationSettings(per_um2=60.0, radius_nm=40.0)
    onset: RateLaw = RateLaw(
        at_reference=1e-3, drives=(Drive(condition="bias_V", law="exponential", reference=0.05, strength=0.01),)
    )
    """In 1/s."""
    avrami: Annotated[Ratio, Field(ge=0.5, le=4)] = 1.0
    threshold_spread: Spread = 1.0
    """Standard deviation of the thresholds, in natural logarithms of the onset rate."""
    crossing: RateLaw = RateLaw(at_reference=2.0)
    """How fast the phase boundary crosses a particle, in nm/s."""


class Transformation:
    """A ``Process``: every particle begins by itself, then a plane boundary crosses it."""

    def __init__(self, settings: TransformationSettings, conditions: Conditions, seed: int) -> None:
        self._settings, self._conditions, self._seed = settings, conditions, seed
        self._onset = Progress(settings.onset, conditions)
        self._crossing = Progress(settings.crossing, conditions)
        self._block = lru_cache(maxsize=KEPT_BLOCKS)(self._make)

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        return gather(lambda block: self._changed(block, t_s), x_range_nm, y_range_nm, t_s)

    def largest_nm(self, t_s: float) -> float:
        return self._settings.population.largest_nm

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        return list_events(self._happenings, x_range_nm, y_range_nm, (t0_s, t1_s))

    def _changed(self, block: Block, t_s: float) -> Particles:
        whole, begin_s, end_s = self._block(block, self._conditions.version)
        gone_nm = np.zeros(len(begin_s))
        begun = begin_s <= t_s
        gone_nm[begun] = self._crossing.total(t_s) - self._crossing.total(begin_s[begun])
        return _with_fraction(whole, gone_nm / (2 * whole.radius_nm), begun, end_s <= t_s)

    def _happenings(self, block: Block) -> tuple[Particles, list[Happenings]]:
        whole, begin_s, end_s = self._block(block, self._conditions.version)
        return whole, [Happenings("begin", begin_s, whole.radius_nm), Happenings("transform", end_s, whole.radius_nm)]

    def _make(self, block: Block, version: int) -> tuple[Particles, Doubles, Doubles]:
        settings = self._settings
        whole = populate(self._seed, settings.population, block)
        waited = -np.log(draws(self._seed, _ONSET, block, len(whole.id)))
        threshold = settings.threshold_spread * ndtri(draws(self._seed, _THRESHOLD, block, len(whole.id)))
        begin_s = self._onset.when(waited ** (1 / settings.avrami) * np.exp(threshold))
        end_s, ever = np.full(len(begin_s), np.inf), np.isfinite(begin_s)
        end_s[ever] = self._crossing.when(self._crossing.total(begin_s[ever]) + 2 * whole.radius_nm[ever])
        return whole, begin_s, np.maximum(end_s, begin_s)


class FrontSettings(Settings):
    """A reaction front that sweeps the specimen, as of an oxidation or a hydride."""

    population: PopulationSettings = PopulationSettings()
    velocity: RateLaw = RateLaw(at_reference=5.0, activation_eV=1.0, reference_K=700.0)
    """In nm/s."""
    start_nm: float = 0.0
    """Where the front stands at time 0: along its direction, or its radius."""
    direction_deg: float | None = 0.0
    """Where a straight front moves, counter-clockwise from +x; None: a circle that widens around (0, 0)."""
    roughness_nm: NotNegative = 20.0
    """Standard deviation of the front about its mean, in waves of 0.2…1.5 µm."""


class Front:
    """A ``Process``: particles change phase while the front passes over them."""

    def __init__(self, settings: FrontSettings, conditions: Conditions, seed: int) -> None:
        self._settings, self._conditions, self._seed = settings, conditions, seed
        self._progress = Progress(settings.velocity, conditions)
        self._block = lru_cache(maxsize=KEPT_BLOCKS)(self._make)
        turn, length, phase = uniform(seed, _ROUGH, np.arange(3)[:, None], np.arange(8)[None, :]).astype(np.float64)
        turns, waves = 2 * math.pi * turn, 2 * math.pi / (200 + 1300 * length)
        self._waves = np.stack([waves * np.cos(turns), waves * np.sin(turns), 2 * math.pi * phase])

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        return gather(lambda block: self._changed(block, t_s), x_range_nm, y_range_nm, t_s)

    def largest_nm(self, t_s: float) -> float:
        return self._settings.population.largest_nm

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        return list_events(self._happenings, x_range_nm, y_range_nm, (t0_s, t1_s))

    def arrival_s(self, x_nm: Doubles, y_nm: Doubles) -> Doubles:
        """When the front reaches places (N,); 0 behind its start, inf where it never will as things stand."""
        return self._progress.when(self._way_nm(x_nm, y_nm))

    def heading_rad(self, x_nm: Doubles, y_nm: Doubles) -> Doubles:
        """(N,) where the front moves at places, counter-clockwise from +x."""
        if self._settings.direction_deg is None:
            return np.asarray(np.arctan2(y_nm, x_nm))
        return np.full(len(x_nm), math.radians(self._settings.direction_deg))

    def _way_nm(self, x_nm: Doubles, y_nm: Doubles) -> Doubles:
        """How far the front must go to reach places (N,)."""
        settings, (kx, ky, phase) = self._settings, self._waves
        rough = np.sin(x_nm[:, None] * kx + y_nm[:, None] * ky + phase).sum(axis=1) / math.sqrt(len(kx) / 2)
        if settings.direction_deg is None:
            ahead = np.hypot(x_nm, y_nm)
        else:
            angle = math.radians(settings.direction_deg)
            ahead = x_nm * math.cos(angle) + y_nm * math.sin(angle)
        return np.asarray(ahead - settings.start_nm + settings.roughness_nm * rough)

    def _changed(self, block: Block, t_s: float) -> Particles:
        whole, way_nm, begin_s, end_s = self._block(block, self._conditions.version)
        gone_nm = self._progress.total(t_s) - (way_nm - whole.radius_nm)
        return _with_fraction(whole, gone_nm / (2 * whole.radius_nm), begin_s <= t_s, end_s <= t_s)

    def _happenings(self, block: Block) -> tuple[Particles, list[Happenings]]:
        whole, _, begin_s, end_s = self._block(block, self._conditions.version)
        return whole, [Happenings("begin", begin_s, whole.radius_nm), Happenings("transform", end_s, whole.radius_nm)]

    def _make(self, block: Block, version: int) -> tuple[Particles, Doubles, Doubles, Doubles]:
        whole = populate(self._seed, self._settings.population, block)
        way_nm = self._way_nm(whole.x_nm, whole.y_nm)
        begin_s, end_s = (self._progress.when(way_nm + side * whole.radius_nm) for side in (-1, 1))
        return whole, way_nm, begin_s, end_s


def _with_fraction(
    whole: Particles, depth: Doubles, begun: npt.NDArray[np.bool_], ended: npt.NDArray[np.bool_]
) -> Particles:
    """The particles at a depth of the boundary, in diameters; what the events say goes before rounding."""
    fraction = np.where(ended, 1.0, np.where(begun, cap_fraction(np.clip(depth, 0.0, 1.0)), 0.0))
    return Particles(whole.id, whole.x_nm, whole.y_nm, whole.radius_nm, fraction)
