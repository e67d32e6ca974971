"""Seven coefficients: defocus, two- and three-fold astigmatism and coma, in rounds of five exposures."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.focus_methods import over_worlds, row
from benchmarks.focus_worlds import FINE, UNSEEN, SOUND_nm, UNTUNED_nm, World, defoci
from models.focus import Search
from models.focus_plan import LIMIT_rad, correct, phase_rad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.focus_methods import Keep

TASK, FLUENCE = "seven", 4e3
"""Of each exposure, in e/Å². With half of it a monolayer of MoS₂ says too little: a fit that starts at the truth, drift
and all, leaves more than π/4 in a quarter of the worlds."""
JUDGED_FLUENCE = 2e3
"""Of each of 15 exposures by which a view counts as sound."""
SEARCH = Search(c10_nm=10, c12_nm=5, c21_nm=100, c23_nm=100)


class Outcome(NamedTuple):
    rms_rad: float
    most_rad: float
    """Of the phase that is left over the aperture."""
    confidence: float
    cpu_s: float


def one(n: int) -> Outcome | None:
    """None where the view is not sound."""
    world = World(UNSEEN, n, FINE, UNTUNED_nm)
    if world.bound_nm(defoci(*np.linspace(-10, 10, 15)), JUDGED_FLUENCE, (0, 1, 2)).max() >= SOUND_nm:
        return None
    about: dict[str, Any] = {**world.known, "depths_nm": world.depths_nm}
    start = time.process_time()
    left_nm, sure = world.truth_nm, 0.0
    with suppress(ValueError):  # an image counted nothing
        found = correct(partial(world.expose, fluence_e_per_A2=FLUENCE), world.aperture, search=SEARCH, **about)
        left_nm, sure = world.truth_nm + found.settings_nm, found.confidence
    return Outcome(*phase_rad(left_nm, world.aperture), sure, time.process_time() - start)


def table(outcomes: Sequence[Outcome | None]) -> list[dict[str, Any]]:
    seen = np.array([each for each in outcomes if each is not None]).reshape(-1, 4)
    rms, most, sure, spent = seen.T
    name, confident, over = f"{TASK}, sound views", sure > 0.9, most >= LIMIT_rad
    return [
        row(name, "estimator", 15, "largest phase under π/4", ~over, np.mean),
        row(name, "estimator", 15, "rms phase under π/4", rms < LIMIT_rad, np.mean),
        row(name, "estimator", 15, "largest phase in rad, median", most, np.median),
        row(name, "estimator", 15, "confident of it to 0.9", confident, np.mean),
        row(name, "estimator", 15, "of those, over π/4", over[confident], np.mean),
        row(TASK, "estimator", 15, "CPU seconds, median", spent, np.median),
    ]


def seven(count: int, _tuning: int, jobs: int, keep: Keep) -> list[dict[str, Any]]:
    """C10, C12, C21 and C23 in at most 15 exposures, 6·10⁴ e/Å² in all, where the view is sound."""
    return over_worlds(one, count, TASK, jobs, table, keep)
