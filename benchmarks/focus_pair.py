"""Two wide frames tell defocus and astigmatism: the network beside the likelihood and the rings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.focus_methods import (
    Found,
    Method,
    by_likelihood,
    by_network,
    by_rings,
    over_worlds,
    row,
    told,
    verdict,
)
from benchmarks.focus_worlds import COARSE, UNSEEN, Array, CLEAR_nm, World, defoci
from models.focus import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.focus_methods import Keep

TASK, FLUENCE, SETTINGS_nm = "pair", 1e3, defoci(-50, 50)
ASTIGMATIC_nm = (200.0, 40.0, 40.0, 20.0, 20.0, 20.0, 20.0, 500.0)
"""Half widths of what the true coefficients are drawn from."""
FIRST = UNSEEN + 5000
"""Seed of the first world: none of the other tasks'."""
METHODS: dict[str, Method] = {
    "likelihood": by_likelihood(Search(c10_nm=200, c12_nm=40), (0.0,)),
    "network": by_network,
    "ring fit": by_rings(200, 40, 20, 0.6),
}


class Outcome(NamedTuple):
    found: list[Found]
    """By each of ``METHODS``, from the same images."""
    bound_nm: Array
    """(3,)"""


def one(n: int) -> Outcome:
    def world() -> World:
        return World(FIRST, n, COARSE, ASTIGMATIC_nm)

    return Outcome(
        found=[told(world(), SETTINGS_nm, FLUENCE, method) for method in METHODS.values()],
        bound_nm=world().bound_nm(SETTINGS_nm, FLUENCE / len(SETTINGS_nm), (0, 1, 2)),
    )


def table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    clear = np.array([each.bound_nm.max() for each in outcomes]) < CLEAR_nm
    rows = []
    for k, name in enumerate(METHODS):
        found = [each.found[k] for each in outcomes]
        rows += verdict(TASK, name, 2, found, clear)
        stig_nm = np.array([np.hypot(*each.error_nm[1:3]) for each in found])
        rows.append(row(TASK, name, 2, "C12 error in nm, of bound < 1 nm, median", stig_nm[clear], np.median))
    return rows


def pair(count: int, _tuning: int, jobs: int, keep: Keep) -> list[dict[str, Any]]:
    """C10 within ±200 nm and C12 within ±40 nm from two frames, with 1000 e/Å² in all."""
    return over_worlds(one, count, TASK, jobs, table, keep)
