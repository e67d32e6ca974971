"""Fine focus: defocus and two-fold astigmatism, on frames that show atoms."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.focus_methods import P95, Choice, Found, by_likelihood, over_worlds, root, row, swept, told, tuned
from benchmarks.focus_worlds import FINE, TUNING, UNSEEN, Array, NEAR_nm, SOUND_nm, World, defoci
from models.focus import Search
from models.focus_classical import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.focus_methods import Keep

TASK, FLUENCE, SETTINGS_nm = "fine", 1e4, defoci(-4, -12, 4, 12)
BANDS = ((0.5, 6.0), (1.0, 10.0), (2.0, 12.0))
PAIRS = [(Sweep("C12a", width, 3), Sweep("C12b", width, 3)) for width in (4, 8)]
SERIES: dict[str, list[Choice]] = {
    "variance sweep": [((Sweep("C10", width, 4),), band) for width in (8, 12) for band in BANDS],
    "variance sweep of C10": [((Sweep("C10", width, 9),), band) for width in (8, 12, 16) for band in BANDS],
    "variance sweeps of C10, C12a, C12b": [
        ((Sweep("C10", width, 3), *pair), band) for width in (8, 12) for pair in PAIRS for band in BANDS
    ],
}


class Outcome(NamedTuple):
    found: Found
    bound_nm: Array
    """(3,)"""
    swept_nm: list[Array]
    """(8,) errors of each series."""


def chosen(tuning: int) -> dict[str, Choice]:
    """The best series of each kind."""
    return {
        name: tuned(tried, lambda m: World(TUNING, m, FINE, NEAR_nm), tuning, FLUENCE, 0.5)
        for name, tried in SERIES.items()
    }


def one(n: int, choices: Sequence[Choice]) -> Outcome:
    world = World(UNSEEN, n, FINE, NEAR_nm)
    bound_nm = world.bound_nm(SETTINGS_nm, FLUENCE / len(SETTINGS_nm), (0, 1, 2))
    found = told(world, SETTINGS_nm, FLUENCE, by_likelihood(Search(c10_nm=10, c12_nm=5)))
    return Outcome(found, bound_nm, [swept(World(UNSEEN, n, FINE, NEAR_nm), choice, FLUENCE) for choice in choices])


def table(outcomes: Sequence[Outcome], choices: Mapping[str, Choice]) -> list[dict[str, Any]]:
    found = [each.found for each in outcomes]
    task = TASK
    off, std = (np.array([getattr(f, name)[:3] for f in found]) for name in ("error_nm", "std_nm"))
    settled, bound = np.array([f.settled for f in found]), np.array([each.bound_nm for each in outcomes])
    sound = bound.max(1) < SOUND_nm
    rows = []
    for where, views in (("sound", sound), ("other", ~sound)):
        these = f"{task}, {where} views"
        rows.append(row(these, "estimator", 4, "refused", ~settled[views], np.mean))
        seen = views & settled
        for name, error in (("C10", abs(off[seen, 0])), ("C12", np.hypot(off[seen, 1], off[seen, 2]))):
            rows.append(row(these, "estimator", 4, f"{name} error in nm, median", error, np.median))
            rows.append(row(these, "estimator", 4, f"{name} error in nm, 95 %", error, P95))
        rows.append(row(these, "estimator", 4, "C10 error over bound, rms", np.square(off / bound)[seen, 0], root))
        rows.append(row(these, "estimator", 4, "C10, 1.48 median |z|", 1.4826 * abs(off / std)[seen, 0], np.median))
        rows.append(row(these, "estimator", 4, "C10 off by over 3 std", abs(off / std)[seen, 0] > 3, np.mean))
    rows.append(row(task, "estimator", 4, "CPU seconds, median", np.array([f.cpu_s for f in found]), np.median))
    swept_nm = np.array([each.swept_nm for each in outcomes])
    for where, views in (("sound views", sound), ("sound views that the estimator does not refuse", sound & settled)):
        errors, these = swept_nm[views], f"{task}, {where}"
        for k, (name, choice) in enumerate(choices.items()):
            images = sum(sweep.images for sweep in choice[0])
            for what, error in (("C10", abs(errors[:, k, 0])), ("C12", np.hypot(errors[:, k, 1], errors[:, k, 2]))):
                if what == "C10" or len(choice[0]) > 1:
                    rows.append(row(these, name, images, f"{what} error in nm, median", error, np.median))
                    rows.append(row(these, name, images, f"{what} error in nm, 95 %", error, P95))
    return rows


def fine(count: int, tuning: int, jobs: int, keep: Keep) -> list[dict[str, Any]]:
    """C10 within ±8 nm and C12 with 10⁴ e/Å² in all."""
    choices = chosen(tuning)
    measure = partial(one, choices=list(choices.values()))
    return over_worlds(measure, count, TASK, jobs, partial(table, choices=choices), keep)
