"""How surprising the cells of a folder of images are: as wholes, and by the most extreme object in each.

Nobody surveyed these images, so that less is known of what is ordinary than in a survey. Where many cells hold
nothing, or a lattice fills them, a cell has to stand out beyond the tail that the folder itself shows: three particles
where most cells hold none, two that touch, or columns that run into each other are no rare feature. Where nearly every
cell holds objects, cells are judged as in a survey, and given enough of them, so are their objects one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import NAMES
from surveys.significance import FEWEST_OBJECT_SCORES, object_p_values, own_p_values, single_tail

if TYPE_CHECKING:
    from envs.explanations import ObjectScorer

Array: TypeAlias = npt.NDArray[np.float64]

_HOLDING = 0.85
"""Share of the cells that hold an object, from which cells are alike enough to be judged as in a survey."""
_LATTICE = 50.0
"""Diffraction spot over its ring from which columns are what stands out, and which of them run into each other is
chance: on noise it is 17, on particles 16, on lattices hundreds."""
_FILLED = "a lattice fills most cells"
_WHOLE, _OBJECT = 0.5, 0.5
"""Weights of both kinds of evidence. All fixed on the folders and specimens that ``surveys.significance`` names."""
_AREAS = [NAMES.index(f"{sign}_area_ratio") for sign in ("bright", "dark")]
_SPOTS = NAMES.index("lattice_strength_ratio")


@dataclass(frozen=True, slots=True)
class Surprise:
    """Of N cells."""

    p_values: Array
    """(N,)."""
    by_object: npt.NDArray[np.bool_]
    """(N,) whether its most extreme object is what speaks for it."""
    without_objects: str
    """Why objects were not judged; empty where they were."""


def surprise(
    scores: Array, rows: Array, places: npt.NDArray[np.int_], look: str, judge: ObjectScorer | None
) -> Surprise:
    """``scores``: (N,) of cells as wholes; ``rows``: (N, F) their descriptors; ``places``: (N, 3) image, row, column.

    ``judge``: has observed all of them; None = objects are not judged.
    Raises ValueError for fewer than 20 cells.
    """
    whole, why = single_tail(scores).p_values(scores), _unlike(rows)
    if why:
        own = own_p_values(scores, places, alike=why == _FILLED)
        return Surprise(np.maximum(whole, own), _nowhere(rows), why)
    if judge is None:
        return Surprise(whole, _nowhere(rows), "the network judges cells as wholes")
    if len(rows) < FEWEST_OBJECT_SCORES:
        needed = f"{FEWEST_OBJECT_SCORES} are needed"
        why = f"{len(rows)} cells are too few to know how far ordinary objects reach: {needed}"
        return Surprise(whole, _nowhere(rows), why)
    whole, objects = whole / _WHOLE, object_p_values(judge.extreme(look, rows)) / _OBJECT
    return Surprise(np.minimum(np.minimum(whole, objects), 1.0), objects < whole, "")


def _nowhere(rows: Array) -> npt.NDArray[np.bool_]:
    return np.zeros(len(rows), dtype=bool)


def _unlike(rows: Array) -> str:
    """Why cells of (N, F) differ in how many objects they hold, or in which columns touch; empty where they do not."""
    if float(np.median(rows[:, _SPOTS])) >= _LATTICE:
        return _FILLED
    holding = float((rows[:, _AREAS] > 0).any(axis=1).mean())
    if holding < _HOLDING:
        return f"{1 - holding:.0%} of the cells hold none; larger ones, by --cell, hold more"
    return ""
