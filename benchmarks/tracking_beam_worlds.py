"""Worlds in which the beam does besides what heat or the liquid does, particle by particle, by their own fluence.

dissolution (the simulator's): radiolysis etches besides. growth (the simulator's, without an end of the supply):
reduced ions nucleate besides at sites of their own. annealing (kinetic Monte Carlo): knock-on removes defects besides,
also pinned ones. How strong the beam is is drawn by the seed, and 0 in the twin of every world.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tracking_draws import HORIZON_S, STEPS_K, Array, Range, heated_time_s, inside, log_normal, scattered
from benchmarks.tracking_worlds import PLACES_NM, SUPPLY, World, expected_of, holder_of
from instruments.simulated.insitu import PopulationSettings
from instruments.simulated.insitu_changes import Dissolution, DissolutionSettings
from instruments.simulated.insitu_growth import Growth, GrowthSettings
from instruments.simulated.kinetics import RateLaw
from models.kinetics import NUMBER, VOLUME

if TYPE_CHECKING:
    from envs.tracked import TrackLook

KINDS = ("dissolution", "growth", "annealing")
ELECTRONS = 4e8
_PLANNED = ELECTRONS / len(PLACES_NM) / 4000.0**2
"""e/Å² at a place by the end."""
_SUPPLIED_S = 900.0
"""At the supply that rates are given for, by the end."""


@dataclass
class Beamed:
    """A world whose particles feel what they were exposed to."""

    world: World
    process: Any
    exposures: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    """(t, x, y, half width, e/Å²)"""

    def expose(self, look: TrackLook, place_nm: tuple[float, float], t_s: float, electrons: float) -> None:
        half = look.field_of_view_nm / 2
        self.exposures.append((t_s, *place_nm, half, electrons / (20 * half) ** 2))

    def fluence(self, x: Array, y: Array, until_s: float) -> Array:
        """(N,) e/Å² before a time."""
        found = np.zeros(len(x))
        for t_s, *square in self.exposures:
            if t_s < until_s:
                found += _within(x, y, *square)
        return found

    def seen(self, xs: Range, ys: Range, t_s: float, beam: bool = True) -> tuple[Array, Array]:
        """Radii and fractions of the particles in a view; without the beam as they would be then."""
        return self.process(xs, ys, t_s, self if beam else Beamed(self.world, self.process))


def _within(x: Array, y: Array, at_x: float, at_y: float, half: float, fluence: float) -> Array:
    return np.asarray(fluence * inside(x, y, (at_x - half, at_x + half), (at_y - half, at_y + half)))


def beamed(kind: str, strong: bool, seed: int) -> Beamed:
    """One world; its twin, in which the beam does nothing, is the same but for that."""
    rng = np.random.default_rng([seed, sum(map(ord, kind)), 5])
    share = float(rng.uniform(0.2, 0.7))
    odds = share / (1 - share) if strong else 0.0
    law, truth, main, process = _MAKERS[kind](rng, seed, odds / _PLANNED)
    heated = kind == "annealing"
    program: Any = tuple((s, {"temperature_K": k}) for s, k in STEPS_K) if heated else _SUPPLY
    made = Beamed(
        World(kind, law, truth, lambda xs, ys, t_s: made.seen(xs, ys, t_s), main, expected_of(heated), program), process
    )
    return made


_SUPPLY = tuple((s, {"concentration_mM": c}) for s, c in SUPPLY)


def _dissolution(rng: np.random.Generator, seed: int, per_fluence: float) -> Any:
    power = int(rng.integers(1, 3))
    population = PopulationSettings(
        per_um2=log_normal(rng, 350.0, 0.2), radius_nm=log_normal(rng, 7.0, 0.15), size_spread=0.2
    )
    rate = log_normal(rng, population.radius_nm**power / (2 * HORIZON_S), 0.25)
    etched = per_fluence * rate * _SUPPLIED_S
    settings = DissolutionSettings(
        population=population,
        rate=RateLaw(at_reference=rate, drives=DissolutionSettings().rate.drives),
        exponent=power,
        facet_spread=0.2,
    )
    process = Dissolution(settings, holder_of(False, seed), seed)

    def particles(xs: Range, ys: Range, t_s: float, beam: Beamed) -> tuple[Array, Array]:
        found = process.particles(xs, ys, t_s)
        left = found.radius_nm**power - etched * beam.fluence(found.x_nm, found.y_nm, t_s)
        radii = left[left > 0] ** (1 / power)
        return radii, np.zeros(len(radii))

    name = f"dissolution, {'reaction' if power == 1 else 'diffusion'}-limited"
    return name, {"rate_nm_per_s" if power == 1 else "rate_nm2_per_s": rate}, VOLUME, particles


def _growth(rng: np.random.Generator, seed: int, per_fluence: float) -> Any:
    power = int(rng.integers(1, 3))
    nucleation, size, sites = log_normal(rng, 1.2e-3, 0.25), log_normal(rng, 7.0, 0.2), log_normal(rng, 300.0, 0.2)
    rate = size**power / (0.6 * HORIZON_S)
    supply = GrowthSettings().nucleation.drives
    settings = GrowthSettings(
        sites_per_um2=sites,
        nucleation=RateLaw(at_reference=nucleation, drives=supply),
        growth=RateLaw(at_reference=rate, drives=supply),
        exponent=power,
        reservoir_nm=None,
    )
    process = Growth(settings, holder_of(False, seed), seed)
    x, y, _ = scattered(rng, sites, 1.0)
    wakes = rng.exponential(1.0, len(x)) / max(per_fluence * nucleation * _SUPPLIED_S, 1e-12)

    def particles(xs: Range, ys: Range, t_s: float, beam: Beamed) -> tuple[Array, Array]:
        found = process.particles(xs, ys, t_s)
        born_s, fluence = np.full(len(x), np.inf), np.zeros(len(x))
        for at_s, *square in beam.exposures:
            fluence += _within(x, y, *square)
            born_s[np.isinf(born_s) & (fluence >= wakes)] = at_s
        there = inside(x, y, xs, ys) & (born_s < t_s)
        grown = rate * (_supplied(t_s) - np.array([_supplied(each) for each in born_s[there]]))
        radii = np.append(found.radius_nm, (settings.nucleus_nm**power + grown) ** (1 / power))
        return radii, np.zeros(len(radii))

    name = f"growth, {'reaction' if power == 1 else 'diffusion'}-limited"
    return (
        name,
        {"nucleation_per_s": nucleation, "growth_nm_per_s" if power == 1 else "growth_nm2_per_s": rate},
        NUMBER,
        particles,
    )


def _supplied(t_s: float) -> float:
    """Time at the supply that rates are given for."""
    return t_s + max(t_s - SUPPLY[1][0], 0.0)


def _annealing(rng: np.random.Generator, seed: int, per_fluence: float) -> Any:
    del seed
    rate, energy = log_normal(rng, 0.8 / HORIZON_S, 0.25), float(rng.normal(1.5, 0.25))
    x, y, radius = scattered(rng, log_normal(rng, 450.0, 0.2), log_normal(rng, 7.0, 0.15))
    stays = float(rng.uniform(0.08, 0.25))
    waits = np.where(rng.random(len(x)) < stays, np.inf, rng.exponential(1 / rate, len(x)))
    heated_s = float(heated_time_s(energy, np.array([HORIZON_S]))[0])
    bears = rng.exponential(1.0, len(x)) / max(per_fluence * rate * heated_s, 1e-12)

    def particles(xs: Range, ys: Range, t_s: float, beam: Beamed) -> tuple[Array, Array]:
        there = inside(x, y, xs, ys) & (waits > heated_time_s(energy, np.array([t_s]))[0])
        there &= beam.fluence(x, y, t_s) < bears
        return radius[there], np.zeros(int(there.sum()))

    return "defect annealing, first order", {"rate_per_s": rate, "activation_eV": energy}, NUMBER, particles


_MAKERS = {"dissolution": _dissolution, "growth": _growth, "annealing": _annealing}
