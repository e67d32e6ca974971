"""What worlds that change draw: sizes, places, and the time that a heating programme is worth."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Range: TypeAlias = tuple[float, float]

HORIZON_S = 600.0
HALF_NM = 1000.0
"""Everything that is looked at lies within."""
T0_K = 730.0
STEPS_K = ((0.0, 700.0), (200.0, 730.0), (400.0, 760.0))
"""From when on a heated holder is how hot."""
BOLTZMANN_EV_PER_K = 8.617333e-5


def log_normal(rng: np.random.Generator, middle: float, width: float = 0.35) -> float:
    return float(middle * math.exp(width * rng.standard_normal()))


def heated_time_s(energy_eV: float, t_s: Array) -> Array:
    """Time at T0 that does as much as the programme until t (N,)."""
    edges = np.array([s for s, _ in STEPS_K] + [np.inf])
    kelvin = np.array([k for _, k in STEPS_K])
    speed = np.exp(-energy_eV / BOLTZMANN_EV_PER_K * (1 / kelvin - 1 / T0_K))
    spent = np.clip(t_s[:, None], edges[:-1], edges[1:]) - edges[:-1]
    return np.asarray(spent @ speed)


def scattered(rng: np.random.Generator, per_um2: float, radius_nm: float) -> tuple[Array, Array, Array]:
    count = rng.poisson(per_um2 * (2 * HALF_NM) ** 2 * 1e-6)
    x, y = rng.uniform(-HALF_NM, HALF_NM, (2, count))
    return x, y, radius_nm * np.exp(0.2 * rng.standard_normal(count))


def inside(x: Array, y: Array, xs: Range, ys: Range) -> npt.NDArray[np.bool_]:
    return np.asarray((x >= xs[0]) & (x < xs[1]) & (y >= ys[0]) & (y < ys[1]))
