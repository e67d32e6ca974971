"""How well outlines of one frame agree: in pixels, and object by object."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

Labels: TypeAlias = npt.NDArray[np.integer]
Ratio: TypeAlias = float

LEAST_PX = 6
"""Smaller objects are noise."""


def agreement(mine: Labels, theirs: Labels) -> tuple[Ratio, Ratio]:
    """Dice of pixels and F1 of objects, both frames (H, W) a number for each object, 0 outside.

    An object is right where half of what it and one of theirs cover is common to both, one to one; mine that are
    smaller than 6 pixels are none. Two empty frames agree in nothing (0, 0).

    >>> one, other = np.zeros((8, 8), dtype=int), np.zeros((8, 8), dtype=int)
    >>> one[:3, :3], other[:3, :3], other[5:, 5:] = 1, 1, 2
    >>> [round(each, 2) for each in agreement(one, other)]
    [0.67, 0.67]
    """
    common, covered, right, objects = tally(mine, theirs)
    return 2 * common / max(covered, 1.0), 2 * right / max(objects, 1.0)


def tally(mine: Labels, theirs: Labels) -> tuple[float, float, float, float]:
    """What ``agreement`` is made of: pixels in common, pixels of both; objects that are right, objects of both."""
    both = np.zeros((int(mine.max()) + 1, int(theirs.max()) + 1))
    np.add.at(both, (mine.ravel(), theirs.ravel()), 1)
    ours, others = both.sum(axis=1)[1:], both.sum(axis=0)[1:]
    shared = both[1:, 1:]
    overlap = shared / np.maximum(ours[:, None] + others[None] - shared, 1)
    right = float((overlap[linear_sum_assignment(overlap, maximize=True)] >= 0.5).sum()) if overlap.size else 0.0
    objects = float((ours >= LEAST_PX).sum() + (others > 0).sum())
    covered = float((mine > 0).sum() + (theirs > 0).sum())
    return float(((mine > 0) & (theirs > 0)).sum()), covered, right, objects
