"""How surprising the cells of a folder of images are: as wholes, and by the most extreme object in each.

Nobody surveyed these images, so that less is known of what is ordinary than in a survey. As a whole a cell has to stand
out beyond the tail that the folder itself shows: three particles where most cells hold none are no rare feature.
Objects are judged one by one where nearly every cell holds some: then cut and touching ones are known to be ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import NAMES
from surveys.significance import object_p_values, own_p_values, single_tail

if TYPE_CHECKING:
    from envs.explanations import ObjectScorer

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

FEWEST_CELLS = 150
"""From which objects are judged: fewer do not tell how far ordinary ones reach."""
_HOLDING = 0.85
"""Share of the cells that hold an object, from which objects are judged."""
_LATTICE = 50.0
"""Diffraction spot over its ring from which columns are what stands out, and which of them run into each other is
chance: on noise it is 17, on particles 16, on lattices hundreds."""
_WHOLE, _OBJECT = 0.3, 0.7
"""Weights of both kinds of evidence: where objects tell, they find more, and less that is wrong. All fixed on the
folders and specimens that ``surveys.significance`` names."""
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


def surprise(scores: Array, rows: Array, look: str, judge: ObjectScorer | None) -> Surprise:
    """``scores``: (N,) of cells as wholes; ``rows``: (N, F) their descriptors.

    ``judge``: has observed all of them; None = objects are not judged.
    Raises ValueError for fewer than 20 cells.
    """
    whole = np.maximum(single_tail(scores).p_values(scores), own_p_values(scores))
    why = "the network judges cells as wholes" if judge is None else _without_objects(rows)
    if judge is None or why:
        return Surprise(whole, np.zeros(len(rows), dtype=bool), why)
    objects = object_p_values(judge.extreme(look, rows), FEWEST_CELLS) / _OBJECT
    whole = whole / _WHOLE
    return Surprise(np.minimum(np.minimum(whole, objects), 1.0), objects < whole, "")


def _without_objects(rows: Array) -> str:
    if len(rows) < FEWEST_CELLS:
        return f"{len(rows)} cells are too few to know how far ordinary objects reach: {FEWEST_CELLS} are needed"
    if float(np.median(rows[:, _SPOTS])) >= _LATTICE:
        return "a lattice fills most cells"
    holding = float((rows[:, _AREAS] > 0).any(axis=1).mean())
    if holding < _HOLDING:
        return f"{1 - holding:.0%} of the cells hold none; larger ones, by --cell, hold more"
    return ""
