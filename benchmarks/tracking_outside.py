"""Worlds that change by a process that no candidate law describes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.tracking_draws import HORIZON_S, Array, Range, heated_time_s, inside, log_normal, scattered


def coalescence(rng: np.random.Generator, seed: int) -> Any:
    """Particles meet at random and merge; each merger keeps the volume."""
    del seed
    x, y, radius = scattered(rng, log_normal(rng, 600.0, 0.2), log_normal(rng, 5.0, 0.12))
    energy, rate = float(rng.normal(1.5, 0.25)), log_normal(rng, 3.0 / HORIZON_S, 0.3)
    count, at, events = len(x), 0.0, []
    there = list(range(count))
    volume = radius**3
    while len(there) > 0.05 * count:
        at += float(rng.exponential(count / (rate * len(there) * (len(there) - 1) / 2)))
        a = there.pop(int(rng.integers(len(there))))
        near = min(rng.choice(len(there), min(30, len(there)), replace=False), key=lambda n: abs(x[there[n]] - x[a]))
        b = there[int(near)]
        events.append((at, a, b))
    times = np.array([event[0] for event in events])

    def particles(xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        cubes, alive = volume.copy(), np.ones(count, dtype=bool)
        for _, a, b in events[: int(np.searchsorted(times, heated_time_s(energy, np.array([t_s]))[0]))]:
            cubes[b] += cubes[a]
            alive[a] = False
        seen = alive & inside(x, y, xs, ys)
        return np.cbrt(cubes[seen]), np.zeros(int(seen.sum()))

    return None, {}, particles, 0


def stick_slip(rng: np.random.Generator, seed: int) -> Any:
    """A front that is pinned for random times and then jumps far."""
    del seed
    x, y, radius = scattered(rng, log_normal(rng, 350.0, 0.2), log_normal(rng, 7.0, 0.15))
    at, where, jumps = 0.0, -1000.0, []
    while where < 1200.0:
        at += float(rng.exponential(0.18 * HORIZON_S))
        where += float(rng.exponential(450.0))
        jumps.append((at, where))

    def particles(xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        there = inside(x, y, xs, ys)
        front = max([place for t, place in jumps if t <= t_s], default=-1000.0)
        return radius[there], (x[there] < front).astype(np.float64)

    return None, {}, particles, 4


def relapse(rng: np.random.Generator, seed: int) -> Any:
    """Particles that grow and dissolve in turn."""
    del seed
    x, y, radius = scattered(rng, log_normal(rng, 350.0, 0.2), log_normal(rng, 7.0, 0.15))
    period, phase = float(rng.uniform(0.35, 0.7)) * HORIZON_S, float(rng.uniform(0, 2 * math.pi))

    def particles(xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        there = inside(x, y, xs, ys)
        return radius[there] * (1 + 0.35 * math.sin(2 * math.pi * t_s / period + phase)), np.zeros(int(there.sum()))

    return None, {}, particles, 3
