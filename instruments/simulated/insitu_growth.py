"""Nucleation on scattered sites, and growth that a block's reservoir ends, as of metals in a liquid cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from configs.load import Settings
from instruments.simulated.hashing import Doubles
from instruments.simulated.insitu import (
    BLOCK_NM,
    KEPT_BLOCKS,
    Event,
    Happenings,
    Particles,
    Range,
    draws,
    gather,
    list_events,
    scatter,
)
from instruments.simulated.kinetics import Drive, Progress, RateLaw, sphere_nm3
from instruments.simulated.numbers import NotNegative, Positive, Ratio

if TYPE_CHECKING:
    import numpy.typing as npt

    from instruments.simulated.conditions import Conditions

_AWAKE = 701
_SPENT: Ratio = 1e-9
"""A reservoir with less than this part left gives nothing more."""
_PORTION: Ratio = 0.25
"""Of the reservoir, at most, in one step of the depletion table."""
_SUPPLY = Drive(condition="concentration_mM", law="power", reference=1.0, strength=1.0)


class GrowthSettings(Settings):
    """Nucleation and growth.

    Sites wake up one by one, each at the rate ``nucleation`` (Avrami, J. Chem. Phys. 7, 1103 (1939): finitely many
    sites; with many sites and a low rate this is homogeneous nucleation). The rate does not feel the depletion of a
    block, but a nucleus that its reservoir cannot pay for is not born. The defaults are of the order of silver in a
    liquid cell (Woehl et al., ACS Nano 6, 8599 (2012)) and of platinum (Zheng et al., Science 324, 1309 (2009)).
    """

    sites_per_um2: NotNegative = 150.0
    nucleation: RateLaw = RateLaw(at_reference=0.01, drives=(_SUPPLY,))
    """Per site, in 1/s."""
    growth: RateLaw = RateLaw(at_reference=0.02, drives=(_SUPPLY,))
    """In nm/s for exponent 1, in nm²/s for exponent 2."""
    exponent: Literal[1, 2] = 1
    """1: limited by the reaction, dr/dt = k. 2: limited by diffusion, d(r²)/dt = k."""
    nucleus_nm: Positive = 0.5
    """Radius at birth."""
    reservoir_nm: Annotated[float, Field(gt=0)] | None = 1.0
    """What a block can give, as the thickness of an even layer; None: without end."""


@dataclass(frozen=True, slots=True)
class _Nuclei:
    """The sites of one block (N,) with their births, and its growth coordinate θ as a table over progress (M,)."""

    sites: Particles
    births_s: Doubles
    births_at: Doubles
    """θ at birth; inf: never born."""
    progress: Doubles
    theta: Doubles
    slope: Doubles

    def theta_at(self, progress: float) -> float:
        """θ between its nodes, by cubic Hermite."""
        n = int(np.searchsorted(self.progress, progress, side="right")) - 1
        if n < 0 or n == len(self.progress) - 1:
            return float(self.theta[n]) if n >= 0 else 0.0
        h = self.progress[n + 1] - self.progress[n]
        s = (progress - self.progress[n]) / h
        rise = self.theta[n + 1] - self.theta[n]
        bend = (1 - s) * (self.slope[n] * h - rise) + s * (rise - self.slope[n + 1] * h)
        return float(self.theta[n] + s * rise + s * (1 - s) * bend)


class Growth:
    """A ``Process``: births are exactly Poisson in space and time; all particles of a block share its reservoir."""

    def __init__(self, settings: GrowthSettings, conditions: Conditions, seed: int) -> None:
        self._settings, self._conditions, self._seed = settings, conditions, seed
        self._nucleation = Progress(settings.nucleation, conditions)
        self._growth = Progress(settings.growth, conditions)
        self._nuclei = lru_cache(maxsize=KEPT_BLOCKS)(self._make)

    def particles(self, x_range_nm: Range, y_range_nm: Range, t_s: float) -> Particles:
        return gather(lambda block: self._grown(block, t_s), x_range_nm, y_range_nm, t_s)

    def largest_nm(self, t_s: float) -> float:
        power = self._settings.exponent  # of one born at the beginning, whose reservoir had no end
        return float((self._settings.nucleus_nm**power + self._growth.total(t_s)[0]) ** (1 / power))

    def events(self, x_range_nm: Range, y_range_nm: Range, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        return list_events(self._happenings, x_range_nm, y_range_nm, (t0_s, t1_s))

    def spent(self, block: tuple[int, int], t_s: float) -> Ratio:
        """Part of a block's reservoir that is used up; 0 where it has no end."""
        if self._settings.reservoir_nm is None:
            return 0.0
        volume_nm3 = float(sphere_nm3(self._grown(block, t_s).radius_nm).sum())
        return volume_nm3 / (self._settings.reservoir_nm * BLOCK_NM**2)

    def _grown(self, block: tuple[int, int], t_s: float) -> Particles:
        nuclei, power = self._nuclei(block, self._conditions.version), self._settings.exponent
        progress = float(self._growth.total(t_s)[0])
        theta = progress if self._settings.reservoir_nm is None else nuclei.theta_at(progress)
        born = np.isfinite(nuclei.births_at) & (nuclei.births_s <= t_s)
        sites = nuclei.sites.where(born)
        grown = np.maximum(theta - nuclei.births_at[born], 0.0)
        radius = (self._settings.nucleus_nm**power + grown) ** (1 / power)
        return Particles(sites.id, sites.x_nm, sites.y_nm, radius, sites.fraction)

    def _happenings(self, block: tuple[int, int]) -> tuple[Particles, list[Happenings]]:
        nuclei = self._nuclei(block, self._conditions.version)
        times_s = np.where(np.isfinite(nuclei.births_at), nuclei.births_s, np.inf)
        return nuclei.sites, [Happenings("birth", times_s, np.full(len(times_s), self._settings.nucleus_nm))]

    def _make(self, block: tuple[int, int], version: int) -> _Nuclei:
        """``version`` is only a key: what was made under another history is made anew."""
        settings = self._settings
        sites = scatter(self._seed, settings.sites_per_um2, block)
        births_s = self._nucleation.when(-np.log(draws(self._seed, _AWAKE, block, len(sites.id))))
        births = np.full(len(births_s), np.inf)
        ever = np.isfinite(births_s)
        births[ever] = self._growth.total(births_s[ever])
        if settings.reservoir_nm is None:
            return _Nuclei(sites, births_s, births, *np.zeros((3, 1)))
        order = np.argsort(births_s, kind="stable")[: np.count_nonzero(ever)]
        depletion = _Depletion(settings, settings.reservoir_nm * BLOCK_NM**2)
        starts = np.full(len(births), np.inf)
        for n in order:
            depletion.advance(births[n])
            starts[n] = depletion.bear()
        depletion.advance(math.inf)
        return _Nuclei(sites, births_s, starts, *np.array(depletion.nodes).T)


class _Depletion:
    """θ(K) of one block: dθ/dK = the part of the reservoir that is left, K the growth progress.

    A particle born at θ₀ has rᵖ = nucleusᵖ + θ − θ₀, so that θ alone tells every radius and the volume used.
    """

    def __init__(self, settings: GrowthSettings, reservoir_nm3: float) -> None:
        self._power, self._nucleus_nm3 = settings.exponent, 4 / 3 * math.pi * settings.nucleus_nm**3
        self._base = settings.nucleus_nm**settings.exponent
        self._reservoir_nm3 = reservoir_nm3
        self._births: npt.NDArray[np.float64] = np.empty(0)
        self._at, self._theta = 0.0, 0.0
        self.nodes = [(0.0, 0.0, 1.0)]

    def bear(self) -> float:
        """θ at the birth of one more particle now; inf where the reservoir cannot pay for its nucleus."""
        if self._left(self._theta) * self._reservoir_nm3 < self._nucleus_nm3:
            return math.inf
        self._births = np.append(self._births, self._theta)
        self.nodes.append((self._at, self._theta, self._left(self._theta)))  # a nucleus takes its volume at once
        return self._theta

    def advance(self, until: float) -> None:
        """Runge–Kutta steps (classical, fourth order), short where the particles take much."""
        while self._at < until:
            left = self._left(self._theta)
            if left < _SPENT or not len(self._births):
                step = until - self._at
                self._theta += 0.0 if len(self._births) or math.isinf(step) else step * left
            else:
                step = min(self._step(), until - self._at)
                k2 = self._left(self._theta + step / 2 * left)
                k3 = self._left(self._theta + step / 2 * k2)
                k4 = self._left(self._theta + step * k3)
                self._theta += step / 6 * (left + 2 * k2 + 2 * k3 + k4)
            if math.isinf(step):
                return
            self._at += step
            self.nodes.append((self._at, self._theta, self._left(self._theta)))

    def _left(self, theta: float) -> float:
        grown = self._grown(theta)
        cubes_nm3 = float(grown @ (grown * grown if self._power == 1 else np.sqrt(grown)))
        return max(0.0, 1 - 4 / 3 * math.pi * cubes_nm3 / self._reservoir_nm3)

    def _step(self) -> float:
        portion_nm3 = _PORTION * self._reservoir_nm3
        grown = self._grown(self._theta)
        intake = 4 * math.pi * float(grown @ grown) if self._power == 1 else 2 * math.pi * float(np.sqrt(grown).sum())
        fresh = (portion_nm3 / (len(grown) * 4 / 3 * math.pi)) ** (self._power / 3)
        return float(min(portion_nm3 / intake, fresh))

    def _grown(self, theta: float) -> npt.NDArray[np.float64]:
        """rᵖ of every particle."""
        return self._base + theta - self._births
