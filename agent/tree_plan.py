"""The best plan over a tree of holes when every hole's worth is known: an exact knapsack over minutes.

Going on within a patch costs least, so an optimal way finishes with a patch before it leaves it, a square and a grid
likewise, and its cost is that of its images plus what opening each patch, square and grid costs beyond. What the plan
takes of a patch are its best holes. So the best of a patch in so many minutes is a running sum; patches are put
together to squares, squares to grids, grids to the whole, each time by the best split of the minutes (max-plus
convolution). Numbers of minutes are whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]

_WORTHLESS = 1e-4
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """What to image."""

    worth: float
    """Sum over all that is imaged."""
    counts: Whole
    """(P,) best holes to take of each patch."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Whole minutes that an image takes, and those that opening a patch, square or grid takes beyond it."""

    image_min: int
    patch_min: int
    square_min: int
    grid_min: int


@dataclass(slots=True)
class _Joined:
    """Tables joined one by one, so that the split can be read back. ``best``[c]: worth of at most c minutes."""

    best: Floats
    parts: list[tuple[int, Floats, Floats]]
    """(which, best before it was joined, its own table)."""

    def join(self, which: int, table: Floats) -> None:
        self.parts.append((which, self.best, table))
        spent = np.flatnonzero(table[1:] - table[:-1] > _EQUAL) + 1  # only where more time pays more
        if len(spent) == 0:
            return
        latest = int(spent[-1])
        before = np.concatenate([np.full(latest, -np.inf), self.best])
        starts = before[(latest - spent)[:, None] + np.arange(len(self.best))]
        self.best = np.maximum(self.best, (starts + table[spent, None]).max(axis=0))

    def split(self, minutes: int) -> dict[int, int]:
        """Minutes of each part in the best division of so many."""
        found = {}
        for which, before, table in reversed(self.parts):
            worth = before[minutes::-1] + table[: minutes + 1]
            found[which] = int(np.argmax(worth >= worth.max() - _EQUAL))
            minutes -= found[which]
        return found


class HoleTree:
    """The tree of a table of holes."""

    def __init__(self, parents: Whole) -> None:
        """``parents`` (N, 3): grid, square and patch of each hole."""
        first = np.unique(parents[:, 2], return_index=True)[1]
        self.square_of_patch = parents[first, 1]
        self.grid_of_square = parents[np.unique(parents[:, 1], return_index=True)[1], 0]
        self._patch = parents[:, 2]

    def ranked(self, worth: Floats, left: npt.NDArray[np.bool_]) -> list[Whole]:
        """The holes of each patch that are left, the best first."""
        rows = np.flatnonzero(left)
        order = rows[np.lexsort((-worth[rows], self._patch[rows]))]
        return np.split(order, np.searchsorted(self._patch[order], np.arange(1, len(self.square_of_patch))))

    def plan(self, worth: Floats, ranked: Sequence[Whole], here: Whole, minutes: int, ways: Ways) -> Plan:
        """The best that can be had in so many minutes.

        Args:
            worth: (N,) of each hole, 0 to 1.
            ranked: as of ``ranked``.
            here: (3,) grid, square and patch, which are open already.
            minutes: left.
            ways: what moving costs.
        """
        patches = self._patches(worth, ranked, here, minutes, ways)
        squares = {square: _opened(of.best, square == here[1], ways.square_min) for square, of in patches.items()}
        grids = {int(grid): _empty(minutes) for grid in np.unique(self.grid_of_square)}
        for square, table in squares.items():
            grids[int(self.grid_of_square[square])].join(square, table)
        whole = _empty(minutes)
        for grid, of in grids.items():
            whole.join(grid, _opened(of.best, grid == here[0], ways.grid_min))
        counts = np.zeros(len(self.square_of_patch), dtype=np.int64)
        for grid, in_grid_min in whole.split(minutes).items():
            beyond = in_grid_min - (0 if grid == here[0] else ways.grid_min)
            for square, in_square_min in grids[grid].split(beyond).items() if beyond > 0 else ():
                beyond_square = in_square_min - (0 if square == here[1] else ways.square_min)
                for patch, spent in patches[square].split(beyond_square).items() if beyond_square > 0 else ():
                    if spent:
                        counts[patch] = (spent - (0 if patch == here[2] else ways.patch_min)) // ways.image_min
        return Plan(float(whole.best[minutes]), counts)

    def _patches(
        self, worth: Floats, ranked: Sequence[Whole], here: Whole, minutes: int, ways: Ways
    ) -> dict[int, _Joined]:
        squares = {int(square): _empty(minutes) for square in np.unique(self.square_of_patch)}
        for patch, holes in enumerate(ranked):
            each = worth[holes]
            each = each[each > _WORTHLESS]
            opening = 0 if patch == here[2] else ways.patch_min
            ends = opening + ways.image_min * np.arange(1, len(each) + 1)
            ends = ends[ends <= minutes]
            if len(ends):
                table = np.zeros(minutes + 1)
                table[ends] = each[: len(ends)]
                squares[int(self.square_of_patch[patch])].join(patch, np.cumsum(table))
        return squares


def _empty(minutes: int) -> _Joined:
    return _Joined(np.zeros(minutes + 1), [])


def _opened(table: Floats, is_open: bool, minutes: int) -> Floats:
    if is_open:
        return table
    shifted = np.zeros_like(table)
    shifted[minutes:] = table[: max(len(table) - minutes, 0)]
    return shifted
