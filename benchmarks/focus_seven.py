"""Seven coefficients: defocus, two- and three-fold astigmatism and coma, in rounds of five exposures."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.focus_methods import row
from benchmarks.focus_worlds import FINE, UNSEEN, SOUND_nm, UNTUNED_nm, World, defoci
from models.focus import Search
from models.focus_plan import correct, phase_rad


def seven(count: int, _tuning: int) -> list[dict[str, Any]]:
    """C10, C12, C21 and C23 in at most 15 exposures of 2000 e/Å², where the view is sound."""
    task, search = "seven", Search(c10_nm=10, c12_nm=5, c21_nm=100, c23_nm=100)
    settings = defoci(*np.linspace(-10, 10, 15))
    after, sure, spent = [], [], []
    for n in track(range(count), "seven"):
        world = World(UNSEEN, n, FINE, UNTUNED_nm)
        if world.bound_nm(settings, 2e3, (0, 1, 2)).max() >= SOUND_nm:
            continue
        about: dict[str, Any] = {**world.known, "depths_nm": world.depths_nm}
        start = time.process_time()
        sure.append(0.0)
        after.append(phase_rad(world.truth_nm, world.aperture))
        with suppress(ValueError):  # an image counted nothing
            found = correct(partial(world.expose, fluence_e_per_A2=2e3), world.aperture, search=search, **about)
            sure[-1], after[-1] = found.confidence, phase_rad(world.truth_nm + found.settings_nm, world.aperture)
        spent.append(time.process_time() - start)
    phases, confident, name = np.array(after).reshape(-1, 2), np.array(sure) > 0.9, f"{task}, sound views"
    over = phases[:, 1] >= math.pi / 4
    rows = [
        row(name, "estimator", 15, "largest phase under π/4", ~over, np.mean),
        row(name, "estimator", 15, "rms phase under π/4", phases[:, 0] < math.pi / 4, np.mean),
        row(name, "estimator", 15, "largest phase in rad, median", phases[:, 1], np.median),
        row(name, "estimator", 15, "confident of it to 0.9", confident, np.mean),
        row(name, "estimator", 15, "of those, over π/4", over[confident], np.mean),
    ]
    rows.append(row(task, "estimator", 15, "CPU seconds, median", np.array(spent), np.median))
    return rows
