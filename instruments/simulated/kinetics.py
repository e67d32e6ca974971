"""Rates that follow a holder's conditions, their integrals over time, and the size law of coarsening.

A process knows how far it has come by one number, its progress ∫ rate dt. Gauss–Legendre panels between the bends of
the conditions give it to about ten digits; what was worked out is remembered, and holding still costs nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from configs.load import Settings
from instruments.simulated.hashing import Doubles, uniform
from instruments.simulated.holders import Amount
from instruments.simulated.numbers import NotNegative, Positive

if TYPE_CHECKING:
    import numpy.typing as npt

    from instruments.simulated.conditions import Conditions

BOLTZMANN_EV_PER_K = 8.617333262e-5
"""CODATA 2018."""
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_POINTS, _WEIGHTS = (_POINTS + 1) / 2, _WEIGHTS / 2
LSW_LARGEST = 1.5
"""Radius of the largest particle of the LSW distribution, in mean radii."""


class Drive(Settings):
    """How a rate follows one condition besides temperature. ``reference`` is in that condition's unit."""

    condition: str
    """concentration_mM, bias_V, …"""
    law: Literal["power", "exponential", "nucleation"]
    """power: (c/c₀)^strength. exponential: exp((c − c₀)/strength), as Tafel's law, in the condition's unit. nucleation:
    exp(−strength/ln²(c/c₀)) above c₀ and 0 below, the supersaturation term of classical nucleation theory (Volmer &
    Weber 1926; Becker & Döring 1935) at constant temperature."""
    reference: Amount
    strength: Positive


class RateLaw(Settings):
    """rate = at_reference × exp(−(E/k)(1/T − 1/T₀)) × the drives. Its unit is that of the process it drives."""

    at_reference: NotNegative
    activation_eV: NotNegative = 0.0
    """0: temperature does not matter, and the holder need not have one."""
    reference_K: Positive = 298.15
    drives: tuple[Drive, ...] = ()


def rate_along(law: RateLaw, conditions: Conditions, times_s: Doubles) -> Doubles:
    """The rate at many times (N,).

    Raises:
        NotSupported: the holder lacks a condition that the law follows.
        ValueError: the rate is not finite, as of a power law below 0.
    """
    exponent = np.zeros(times_s.shape)
    factor = np.full(times_s.shape, law.at_reference)
    if law.activation_eV:
        temperature = conditions.along("temperature_K", times_s)
        exponent -= law.activation_eV / BOLTZMANN_EV_PER_K * (1 / temperature - 1 / law.reference_K)
    for drive in law.drives:
        values = conditions.along(drive.condition, times_s)
        if drive.law == "exponential":
            exponent += (values - drive.reference) / drive.strength
        elif drive.law == "power":
            with np.errstate(invalid="ignore", divide="ignore"):
                factor = factor * (values / drive.reference) ** drive.strength
        else:
            above = values > drive.reference
            logs = np.log(np.where(above, values, 2 * drive.reference) / drive.reference)
            exponent -= np.where(above, drive.strength / logs**2, np.inf)
    with np.errstate(over="ignore"):
        rates = factor * np.exp(exponent)
    if not np.all(np.isfinite(rates)):
        raise ValueError(f"the rate of {law!r} is not finite under these conditions; narrow the holder's range")
    return np.asarray(rates)


class Progress:
    """∫ rate dt from time 0, and the time at which it reaches an amount: functions of the holder's history.

    Raises:
        NotSupported: the holder lacks a condition that the law follows.
        ValueError: the rate is not finite; at once, or later when the conditions take it there.
    """

    def __init__(self, law: RateLaw, conditions: Conditions) -> None:
        self._law, self._conditions = law, conditions
        self._edges, self._sums = np.zeros(1), np.zeros(1)
        self._version = -1
        rate_along(law, conditions, self._edges)

    def total(self, times_s: npt.ArrayLike) -> Doubles:
        """Progress at times (N,)."""
        self._update()
        times = np.atleast_1d(np.asarray(times_s, dtype=np.float64))
        panel = np.searchsorted(self._edges, times, side="right") - 1
        return np.asarray(self._sums[panel] + self._gained(self._edges[panel], times, panel))

    def when(self, amounts: Doubles) -> Doubles:
        """The first times (N,) at which the progress reaches ``amounts``; inf: never, as things stand."""
        self._update()
        panel = np.clip(np.searchsorted(self._sums, amounts, side="left") - 1, 0, None)
        low = self._edges[panel]
        last = panel == len(self._edges) - 1
        high = self._edges[np.where(last, 0, panel + 1)]
        wanted = amounts - self._sums[panel]
        times = np.full(amounts.shape, np.inf)
        tail = rate_along(self._law, self._conditions, self._edges[-1:])[0]
        if tail > 0:
            times[last] = low[last] + wanted[last] / tail
        times[amounts <= 0] = 0.0
        inside = ~last & (amounts > 0)
        times[inside] = self._invert(low[inside], high[inside], wanted[inside])
        return times

    def _invert(self, starts: Doubles, ends: Doubles, wanted: Doubles) -> Doubles:
        """Newton steps, or halving where one would leave its bracket; each element for itself, whatever its company."""
        low, high = starts.copy(), ends.copy()
        times = 0.5 * (low + high)
        done = np.zeros(times.shape, dtype=bool)
        for _ in range(80):
            missing = wanted - self._quadrature(starts, times)
            low, high = np.where(missing >= 0, times, low), np.where(missing <= 0, times, high)
            rate = rate_along(self._law, self._conditions, times)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                tried = times + missing / rate
            good = (tried >= low) & (tried <= high)
            following = np.where(done, times, np.where(good, tried, 0.5 * (low + high)))
            done |= np.abs(following - times) <= 4 * np.spacing(ends)
            times = following
            if done.all():
                break
        return times

    def _gained(self, starts: Doubles, times: Doubles, panel: npt.NDArray[np.intp]) -> Doubles:
        last = panel == len(self._edges) - 1
        gained = np.empty(times.shape)
        gained[~last] = self._quadrature(starts[~last], times[~last])
        if last.any():
            gained[last] = rate_along(self._law, self._conditions, self._edges[-1:]) * (times[last] - starts[last])
        return gained

    def _quadrature(self, starts: Doubles, ends: Doubles) -> Doubles:
        """∫ rate dt from starts to ends (N,), each pair within one panel."""
        widths = ends - starts
        nodes = starts[:, None] + widths[:, None] * _POINTS
        rates = rate_along(self._law, self._conditions, nodes.ravel()).reshape(nodes.shape)
        return np.asarray(widths * (rates * _WEIGHTS).sum(axis=1))

    def _update(self) -> None:
        """Work out the panels that orders since the last time have changed; the past stays."""
        if self._version == self._conditions.version:
            return
        edges = self._conditions.edges_s()
        kept = 1
        if self._version >= 0:
            since_s = self._conditions.history[self._version].t_s
            kept = max(1, int(np.searchsorted(self._edges, since_s, side="right")))
            kept = min(kept, len(edges))
        gains = self._quadrature(edges[kept - 1 : -1], edges[kept:])
        # summed from the left, one by one: the same whether orders came before or between the visits
        self._sums = np.concatenate([self._sums[: kept - 1], np.cumsum([self._sums[kept - 1], *gains])])
        self._edges = edges
        self._version = self._conditions.version


def fine_uniform(seed: int, stream: int, *indices: npt.ArrayLike) -> Doubles:
    """Numbers in (0, 1) with 48 random bits, for tails that 24 bits would cut; indices broadcast."""
    coarse = uniform(seed, 2 * stream, *indices).astype(np.float64)
    rest = uniform(seed, 2 * stream + 1, *indices).astype(np.float64)
    return np.asarray(coarse + (rest + 2.0**-25) * 2.0**-24)


def lsw_survival(rho: Doubles) -> Doubles:
    """Part of an LSW population with a radius above ``rho`` mean radii (N,), 0 ≤ rho < 1.5.

    From the steady equation of Lifshitz & Slyozov, J. Phys. Chem. Solids 19, 35 (1961), and Wagner, Z. Elektrochem.
    65, 581 (1961): −ln of it is the integral of 3ρ²/((3/2 − ρ)²(ρ + 3)).

    >>> lsw_survival(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 0.575]
    """
    return np.asarray(np.exp(-_lsw_depth(rho)))


def lsw_radius(survival: Doubles) -> Doubles:
    """Radius in mean radii that a part ``survival`` (N,), 1e-20…1, of an LSW population exceeds.

    Raises:
        ValueError: a part outside that range.
    """
    if np.any(~((survival >= 1e-20) & (survival <= 1))):
        raise ValueError("a surviving part outside 1e-20…1 was asked; the largest particles end at 1.5 mean radii")
    depth = -np.log(survival)
    rho = np.interp(np.cbrt(depth), _LSW_CUBE_ROOT, _LSW_RHO)
    for _ in range(2):  # Newton; below 0.02 the table is the better one, as the depth is a difference of near equals
        slope = 3 * rho**2 / ((LSW_LARGEST - rho) ** 2 * (rho + 3))
        rho -= np.where(rho > 0.02, (_lsw_depth(rho) - depth) / np.maximum(slope, 1e-9), 0.0)
    return np.asarray(rho)


def _lsw_depth(rho: Doubles) -> Doubles:
    left = LSW_LARGEST - rho
    logs = 4 / 3 * np.log1p(rho / 3) + 5 / 3 * np.log1p(-rho / LSW_LARGEST)
    return np.asarray(logs + rho / left)


_LSW_RHO = np.linspace(0, 1.48, 2049)
_LSW_CUBE_ROOT = np.cbrt(_lsw_depth(_LSW_RHO))


def cap_fraction(depth: Doubles) -> Doubles:
    """Part of a sphere's volume that a plane has swept at ``depth`` diameters from its first touch (0…1).

    >>> cap_fraction(np.array([0.0, 0.5, 1.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(depth**2 * (3 - 2 * depth))


def cap_depth(fraction: Doubles) -> Doubles:
    """The inverse of ``cap_fraction``.

    >>> cap_depth(np.array([0.0, 0.5, 1.0])).round(12).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 - np.sin(np.arcsin(1 - 2 * fraction) / 3))


def sphere_nm3(radius_nm: Doubles) -> Doubles:
    """Volume of spheres."""
    return np.asarray(4 / 3 * math.pi * radius_nm**3)
