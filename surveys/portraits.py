"""A place in numbers that hold from one specimen to the next: its descriptors, in spreads of its own survey."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import NAMES, transformed
from surveys.sights import by_look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surveys.sights import Sight

Array: TypeAlias = npt.NDArray[np.float64]

LOOKS = ("overview", "detail")
MOST_SPREADS = 5.0
"""A descriptor farther off than this counts as this far off."""
_MAD_TO_SD = 1.4826
_LEAST_SPREAD = 0.02
"""On the scale on which a descriptor spreads evenly."""


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """What the numbers of a portrait are, for a scorer's ``names``."""
    return tuple(f"{look}: {name}" for look in LOOKS for name in names)


class Portraits:
    """The places of one specimen, each as a row (2F,): what the overview shows, then what a look of its own shows.

    Zero is the survey's median, and what a look did not show. Control frames, of which ``surveys.sights.sights`` knows
    nothing, are never portrayed: no row that teaches, or is judged, has anything of them. They count in how surprising
    a control is (``surveys.verdicts.surprises``), as they do at night.
    """

    def __init__(self, seen: Sequence[Sight], names: Sequence[str]) -> None:
        """``names``: of the scorer's F descriptors."""
        self.columns = columns_of(names)
        self._wide = len(names)
        self._shown: dict[tuple[int, str], Array] = {}
        scaled = transformed if tuple(names) == NAMES else np.atleast_2d
        for look, group in by_look(seen).items():
            if look not in LOOKS:
                continue
            base = scaled(np.array([sight.descriptors for sight in group]))
            middle = np.median(base, axis=0)
            spread = np.maximum(_MAD_TO_SD * np.median(np.abs(base - middle), axis=0), _LEAST_SPREAD)
            rows = np.clip((base - middle) / spread, -MOST_SPREADS, MOST_SPREADS)
            for sight, row in zip(group, rows, strict=True):
                self._shown[sight.target, look] = row

    def row(self, target: int) -> Array:
        """(2F,); all zeros for a place that nothing showed."""
        nothing = np.zeros(self._wide)
        return np.concatenate([self._shown.get((target, look), nothing) for look in LOOKS])

    def rows(self, targets: Sequence[int]) -> Array:
        """(N, 2F)."""
        return np.array([self.row(target) for target in targets]).reshape(len(targets), 2 * self._wide)

    @property
    def targets(self) -> list[int]:
        """Those that anything showed."""
        return sorted({target for target, _ in self._shown})
