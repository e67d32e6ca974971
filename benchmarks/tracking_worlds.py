"""Worlds that change, particle by particle, each with its truth: seven kinds that a law explains, three that none does.

growth, dissolution, ripening, front and exchange (``tracking_exchange``) are the simulator's own processes; annealing
is kinetic Monte Carlo (waiting times of Gillespie, J. Comput. Phys. 22, 403 (1976), under a heating programme);
transformation is a phase field (Allen & Cahn, Acta Metall. 27, 1085 (1979)) from nuclei that are there from the
beginning: solvers of no candidate law. Outside the set: coalescence (pairs merge at random; Smoluchowski 1916, Monte
Carlo), stick_slip (a front that is pinned and jumps), relapse (what has grown dissolves again, and grows again).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.tracking_draws import (
    HALF_NM,
    HORIZON_S,
    STEPS_K,
    T0_K,
    Array,
    Range,
    heated_time_s,
    inside,
    log_normal,
    scattered,
)
from benchmarks.tracking_exchange import exchange
from benchmarks.tracking_outside import coalescence, relapse, stick_slip
from instruments.simulated.conditions import Conditions
from instruments.simulated.holders import HEATING_CHIP, LIQUID_CELL
from instruments.simulated.insitu import PopulationSettings
from instruments.simulated.insitu_changes import (
    Coarsening,
    CoarseningSettings,
    Dissolution,
    DissolutionSettings,
    Front,
    FrontSettings,
)
from instruments.simulated.insitu_growth import Growth, GrowthSettings
from instruments.simulated.kinetics import RateLaw
from models.kinetics import Expected

PLACES_NM = ((-600.0, 0.0), (0.0, 0.0), (600.0, 0.0))
INSIDE = ("growth", "dissolution", "ripening", "front", "annealing", "transformation", "exchange")
OUTSIDE = ("coalescence", "stick_slip", "relapse")
HEATED = ("ripening", "front", "annealing", "transformation", "coalescence", "stick_slip")
SUPPLY = ((0.0, 1.0), (300.0, 2.0))


@dataclass
class World:
    """One world: particles of an area at a time, what governs it, and with which numbers."""

    kind: str
    law: str | None
    """Of the candidates; None: none of them."""
    truth: dict[str, float]
    """Parameters of the process, by the law's names."""
    particles: Callable[[Range, Range, float], tuple[Array, Array]]
    """Radii (N,) and fractions changed (N,)."""
    main: int
    """Descriptor in which its half-time is told."""
    expected: Expected
    program: tuple[tuple[float, dict[str, float]], ...] = field(default=())

    @property
    def specimen(self) -> str:
        """Whose standards the signals are read by."""
        return "nickel" if self.kind == "exchange" else "copper"

    def conditions(self, t_s: float) -> dict[str, float]:
        """Of the holder, that hold from this time on."""
        return next(found for start_s, found in reversed(self.program) if start_s <= t_s + 1e-9)

    def coming(self, from_s: float, to_s: float) -> list[tuple[float, dict[str, float]]]:
        """The programme from one time to another."""
        edges = sorted({from_s, to_s, *(s for s, _ in self.program if from_s < s < to_s)})
        return [(b - a, self.conditions(a)) for a, b in itertools.pairwise(edges)]


@lru_cache(maxsize=2)
def make(kind: str, seed: int) -> World:
    """One world, the same for equal arguments."""
    rng = np.random.default_rng([seed, sum(map(ord, kind))])
    heated = kind in HEATED
    if heated:
        program: Any = tuple((s, {"temperature_K": k}) for s, k in STEPS_K)
    else:
        program = tuple((s, {"concentration_mM": c}) for s, c in SUPPLY)
    law, truth, particles, main = _MAKERS[kind](rng, seed)
    return World(kind, law, truth, particles, main, expected_of(heated), program)


def expected_of(heated: bool) -> Expected:
    """What is known of every world before it is seen."""
    driven: dict[str, Any] = {"temperature_K": T0_K} if heated else {"supply": "concentration_mM", "supply_at": 1.0}
    return Expected(horizon_s=HORIZON_S, span_nm=2000.0, places_nm=PLACES_NM, **driven)


def holder_of(heated: bool, seed: int) -> Conditions:
    settings = HEATING_CHIP if heated else LIQUID_CELL
    name = "temperature_K" if heated else "concentration_mM"
    quick = settings.conditions[name].model_copy(
        update={"lag_s": 0.0, "ramp_per_s": None, "start": STEPS_K[0][1] if heated else SUPPLY[0][1]}
    )
    conditions = Conditions(settings.model_copy(update={"conditions": {name: quick}}), seed)
    for t_s, value in (STEPS_K if heated else SUPPLY)[1:]:
        conditions.set(name, value, t_s)
    return conditions


def _of(process: Any) -> Callable[[Range, Range, float], tuple[Array, Array]]:
    def particles(x: Range, y: Range, t_s: float) -> tuple[Array, Array]:
        found = process.particles(x, y, t_s)
        return found.radius_nm, found.fraction

    return particles


def _population(rng: np.random.Generator) -> PopulationSettings:
    return PopulationSettings(
        per_um2=log_normal(rng, 350.0, 0.2), radius_nm=log_normal(rng, 7.0, 0.15), size_spread=0.2
    )


def _heat(at_T0: float, energy_eV: float) -> RateLaw:
    return RateLaw(at_reference=at_T0, activation_eV=energy_eV, reference_K=T0_K)


def _growth(rng: np.random.Generator, seed: int) -> Any:
    power = int(rng.integers(1, 3))
    nucleation, size = log_normal(rng, 3.5e-3), log_normal(rng, 7.0, 0.2)
    rate = size**power / (0.6 * HORIZON_S)
    sites = log_normal(rng, 300.0, 0.2)
    reservoir = log_normal(rng, 4e-6 * sites * size**3 * 1.2, 0.4)
    supply = GrowthSettings().nucleation.drives
    settings = GrowthSettings(
        sites_per_um2=sites,
        nucleation=RateLaw(at_reference=nucleation, drives=supply),
        growth=RateLaw(at_reference=rate, drives=supply),
        exponent=power,
        reservoir_nm=reservoir,
    )
    name = f"growth, {'reaction' if power == 1 else 'diffusion'}-limited"
    truth = {
        "nucleation_per_s": nucleation,
        "growth_nm_per_s" if power == 1 else "growth_nm2_per_s": rate,
        "supply_nm": reservoir,
    }
    return name, truth, _of(Growth(settings, holder_of(False, seed), seed)), 3


def _dissolution(rng: np.random.Generator, seed: int) -> Any:
    power = int(rng.integers(1, 3))
    population = _population(rng)
    rate = log_normal(rng, population.radius_nm**power / (1.5 * HORIZON_S), 0.3)
    settings = DissolutionSettings(
        population=population,
        rate=RateLaw(at_reference=rate, drives=DissolutionSettings().rate.drives),
        exponent=power,
        facet_spread=0.2,
    )
    name = f"dissolution, {'reaction' if power == 1 else 'diffusion'}-limited"
    truth = {"rate_nm_per_s" if power == 1 else "rate_nm2_per_s": rate}
    return name, truth, _of(Dissolution(settings, holder_of(False, seed), seed)), 3


def _ripening(rng: np.random.Generator, seed: int) -> Any:
    radius = log_normal(rng, 5.0, 0.12)
    rate, energy = log_normal(rng, radius**3 * 3.0 / HORIZON_S, 0.3), float(rng.normal(1.5, 0.25))
    settings = CoarseningSettings(per_um2=log_normal(rng, 600.0, 0.2), mean_radius_nm=radius, rate=_heat(rate, energy))
    truth = {"rate_nm3_per_s": rate, "activation_eV": energy}
    return "Ostwald ripening", truth, _of(Coarsening(settings, holder_of(True, seed), seed)), 0


def _front(rng: np.random.Generator, seed: int) -> Any:
    speed, energy, start = log_normal(rng, 4.0, 0.25), float(rng.normal(1.5, 0.25)), float(rng.uniform(-1100.0, -700.0))
    settings = FrontSettings(
        population=_population(rng), velocity=_heat(speed, energy), start_nm=start, direction_deg=0.0, roughness_nm=30.0
    )
    truth = {"speed_nm_per_s": speed, "start_nm": start, "activation_eV": energy}
    return "first-order front", truth, _of(Front(settings, holder_of(True, seed), seed)), 4


def _exchange(rng: np.random.Generator, seed: int) -> Any:
    name, truth, process, main = exchange(rng, holder_of(False, seed), seed)
    return name, truth, _of(process), main


def _annealing(rng: np.random.Generator, seed: int) -> Any:
    """Every defect waits for its own escape; a part is pinned for good."""
    del seed
    rate, energy = log_normal(rng, 1.5 / HORIZON_S, 0.3), float(rng.normal(1.5, 0.25))
    stays = float(rng.uniform(0.08, 0.25))
    x, y, radius = scattered(rng, log_normal(rng, 450.0, 0.2), log_normal(rng, 7.0, 0.15))
    waits = np.where(rng.random(len(x)) < stays, np.inf, rng.exponential(1 / rate, len(x)))

    def particles(xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        there = inside(x, y, xs, ys) & (waits > heated_time_s(energy, np.array([t_s]))[0])
        return radius[there], np.zeros(int(there.sum()))

    return "defect annealing, first order", {"rate_per_s": rate, "activation_eV": energy}, particles, 0


_GRID, _CELL_NM = 200, 10.0
"""Of the phase field: 2 µm, with an interface some cells wide."""
_DRIVE, _STEP = 0.25, 0.1


@cache
def _speed_cells() -> float:
    """Of a plane interface in cells per unit of the field's time: measured, not assumed."""
    field_ = np.zeros((4, 400))
    field_[:, :60] = 1.0
    places = []
    for n in range(3000):
        field_ = _relax(field_)
        if n in (1000, 2999):
            places.append(float(field_[0].sum()))
    return (places[1] - places[0]) / (1999 * _STEP)


def _relax(phi: Array) -> Array:
    """One explicit step of φ̇ = ∇²φ + φ(1 − φ)(φ − ½ + drive)."""
    rate = ndimage.laplace(phi, mode="nearest") + phi * (1 - phi) * (phi - 0.5 + _DRIVE)
    return np.asarray(np.clip(phi + _STEP * rate, 0.0, 1.0))


def _transformation(rng: np.random.Generator, seed: int) -> Any:
    """Discs of a new phase spread from nuclei: in two dimensions, with all nuclei there, Avrami's exponent is 2."""
    del seed
    rate, energy = log_normal(rng, 1.3 / HORIZON_S, 0.25), float(rng.normal(1.5, 0.25))
    x, y, radius = scattered(rng, log_normal(rng, 350.0, 0.2), log_normal(rng, 7.0, 0.15))
    count = int(rng.integers(12, 23))
    phi = np.zeros((_GRID, _GRID))
    rows, columns = np.mgrid[:_GRID, :_GRID]
    for row, column in rng.uniform(0, _GRID, (count, 2)):
        phi = np.maximum(phi, np.hypot(rows - row, columns - column) < 4.5)
    density = count / _GRID**2
    per_time = math.sqrt(math.pi * density) * _speed_cells()
    frames, taken = [], 8
    while frames == [] or (frames[-1] < 0.5).mean() > 0.002:
        frames.append(phi.astype(np.float32))
        for _ in range(taken):
            phi = _relax(phi)
        if len(frames) > 900:
            break
    stack = np.array(frames)
    i = np.clip(((y + HALF_NM) / _CELL_NM).astype(int), 0, _GRID - 1)
    j = np.clip(((x + HALF_NM) / _CELL_NM).astype(int), 0, _GRID - 1)

    def particles(xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        there = inside(x, y, xs, ys)
        own = heated_time_s(energy, np.array([t_s]))[0] * rate / per_time / (_STEP * taken)
        n = min(int(own), len(stack) - 1)
        m, part = min(n + 1, len(stack) - 1), min(own - int(own), 1.0)
        now = (1 - part) * stack[n][i[there], j[there]] + part * stack[m][i[there], j[there]]
        return radius[there], now.astype(np.float64)

    truth = {"rate_per_s": rate, "exponent": 2.0, "activation_eV": energy}
    return "transformation after Avrami", truth, particles, 4


_MAKERS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "growth": _growth,
    "dissolution": _dissolution,
    "ripening": _ripening,
    "front": _front,
    "annealing": _annealing,
    "transformation": _transformation,
    "exchange": _exchange,
    "coalescence": coalescence,
    "stick_slip": stick_slip,
    "relapse": relapse,
}
