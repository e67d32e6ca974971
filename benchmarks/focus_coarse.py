"""Coarse focus: from anywhere within ± 200 nm, on wide frames."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.focus_methods import (
    Choice,
    Found,
    Method,
    by_likelihood,
    by_network,
    by_rings,
    over_worlds,
    row,
    swept,
    told,
    tuned,
    verdict,
)
from benchmarks.focus_worlds import COARSE, TUNING, UNSEEN, CLEAR_nm, FAR_nm, World, defoci
from models.focus import Search
from models.focus_classical import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.focus_methods import Keep

TASK, FLUENCE, SETTINGS_nm = "coarse", 1e3, defoci(0, 100, -100)
BANDS = ((0.01, 0.1), (0.02, 0.3), (0.05, 0.6))
SERIES: dict[int, list[Choice]] = {
    3: [((Sweep("C10", width, 3),), band) for width in (100, 150, 200) for band in BANDS],
    9: [((Sweep("C10", 200, 9),), band) for band in BANDS]
    + [((Sweep("C10", 200, 5), Sweep("C10", width, 4)), band) for width in (30, 60) for band in BANDS],
}


METHODS: dict[str, Method] = {
    "likelihood": by_likelihood(Search(c10_nm=200), (0.0,)),
    "network": by_network,
    "ring fit": by_rings(200, 0, 10, 0.6),
}


class Outcome(NamedTuple):
    found: list[Found]
    """By each of ``METHODS``, from the same images."""
    bound_nm: float
    """Of C10."""
    swept_nm: list[float]
    """Error of C10 of each series."""


def chosen(tuning: int) -> dict[int, Choice]:
    """The best series of each number of images."""
    return {
        n: tuned(tried, lambda m: World(TUNING, m, COARSE, FAR_nm), tuning, FLUENCE, 5.0) for n, tried in SERIES.items()
    }


def one(n: int, choices: Sequence[Choice]) -> Outcome:
    def world() -> World:
        return World(UNSEEN, n, COARSE, FAR_nm)

    return Outcome(
        found=[told(world(), SETTINGS_nm, FLUENCE, method) for method in METHODS.values()],
        bound_nm=float(world().bound_nm(SETTINGS_nm, FLUENCE / len(SETTINGS_nm), (0,))[0]),
        swept_nm=[float(swept(world(), choice, FLUENCE)[0]) for choice in choices],
    )


def table(outcomes: Sequence[Outcome], choices: Mapping[int, Choice]) -> list[dict[str, Any]]:
    clear = np.array([each.bound_nm for each in outcomes]) < CLEAR_nm
    rows = []
    for k, name in enumerate(METHODS):
        rows += verdict(TASK, name, 3, [each.found[k] for each in outcomes], clear)
    swept_off = np.abs([each.swept_nm for each in outcomes])
    for k, n in enumerate(choices):
        rows.append(row(TASK, "variance sweep", n, "within 5 nm, of all", swept_off[:, k] < 5, np.mean))
        rows.append(row(TASK, "variance sweep", n, "within 5 nm, of bound < 1 nm", swept_off[clear, k] < 5, np.mean))
    return rows


def coarse(count: int, tuning: int, jobs: int, keep: Keep) -> list[dict[str, Any]]:
    """Any focus within ±200 nm to within 5 nm, with 1000 e/Å² in all."""
    choices = chosen(tuning)
    measure = partial(one, choices=list(choices.values()))
    return over_worlds(measure, count, TASK, jobs, partial(table, choices=choices), keep)
