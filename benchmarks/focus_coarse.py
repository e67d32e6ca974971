"""Coarse focus: from anywhere within ± 200 nm, on wide frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.focus_methods import Choice, ours, row, swept, tuned
from benchmarks.focus_worlds import COARSE, TUNING, UNSEEN, CLEAR_nm, FAR_nm, World, defoci
from models.focus import Search
from models.focus_classical import Sweep


def coarse(count: int, tuning: int) -> list[dict[str, Any]]:
    """Any focus within ±200 nm to within 5 nm, with 1000 e/Å² in all."""
    task, fluence, settings = "coarse", 1e3, defoci(0, 100, -100)
    bands = ((0.01, 0.1), (0.02, 0.3), (0.05, 0.6))
    series: dict[int, list[Choice]] = {
        3: [((Sweep("C10", width, 3),), band) for width in (100, 150, 200) for band in bands],
        9: [((Sweep("C10", 200, 9),), band) for band in bands]
        + [((Sweep("C10", 200, 5), Sweep("C10", width, 4)), band) for width in (30, 60) for band in bands],
    }
    chosen = {
        n: tuned(tried, lambda m: World(TUNING, m, COARSE, FAR_nm), tuning, fluence, 5.0) for n, tried in series.items()
    }
    found, bounds, classical = [], [], []
    for n in track(range(count), "coarse"):
        bounds.append(World(UNSEEN, n, COARSE, FAR_nm).bound_nm(settings, fluence / 3, (0,))[0])
        found.append(ours(World(UNSEEN, n, COARSE, FAR_nm), settings, fluence, Search(c10_nm=200), (0.0,)))
        classical.append([swept(World(UNSEEN, n, COARSE, FAR_nm), choice, fluence)[0] for choice in chosen.values()])
    off, std = (np.array([getattr(f, name)[0] for f in found]) for name in ("error_nm", "std_nm"))
    claimed = np.array([f.settled for f in found]) & (2 * std < 5)
    clear, swept_off = np.array(bounds) < CLEAR_nm, np.abs(np.array(classical))
    rows = [
        row(task, "estimator", 3, "within 5 nm and claimed so, of all", claimed & (abs(off) < 5), np.mean),
        row(task, "estimator", 3, "within 5 nm, of all", abs(off) < 5, np.mean),
        row(task, "estimator", 3, "within 5 nm, of those claimed", abs(off[claimed]) < 5, np.mean),
        row(task, "estimator", 3, "within 5 nm, of bound < 1 nm", abs(off[clear]) < 5, np.mean),
        row(task, "estimator", 3, "not claimed, of all", ~claimed, np.mean),
        row(task, "estimator", 3, "median error in nm, of those claimed", abs(off[claimed]), np.median),
        row(task, "estimator", 3, "1.48 median |z|, of those claimed", 1.4826 * abs(off / std)[claimed], np.median),
        row(task, "estimator", 3, "CPU seconds, median", np.array([f.cpu_s for f in found]), np.median),
    ]
    for k, n in enumerate(chosen):
        rows.append(row(task, "variance sweep", n, "within 5 nm, of all", swept_off[:, k] < 5, np.mean))
        rows.append(row(task, "variance sweep", n, "within 5 nm, of bound < 1 nm", swept_off[clear, k] < 5, np.mean))
    return rows
