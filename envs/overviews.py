"""How what an overview shows is spread: by it one specimen is compared with another, before any close look."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import NAMES, shows_nothing, transformed

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the quantiles: the middle alone does not tell a film with holes from one without."""
LEAST_SPREAD = 0.02
"""On the scale on which a descriptor spreads evenly."""
MOST_SPREADS = 5.0
"""A descriptor farther off than this counts as this far off."""
_QUARTILES_SD = 1.349
"""Between the quartiles of a normal distribution lie so many standard deviations."""


def scaled(rows: npt.ArrayLike, names: Sequence[str]) -> Array:
    """(n, F) descriptors on the scales on which they spread evenly; those of a user's own scorer as they are."""
    values = np.atleast_2d(np.asarray(rows, dtype=np.float64)).reshape(-1, len(names))
    return transformed(values) if tuple(names) == NAMES else values


def telling(rows: npt.ArrayLike, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) which of (n, F) natural descriptors are finite, and of a window that shows something."""
    values = np.atleast_2d(np.asarray(rows, dtype=np.float64)).reshape(-1, len(names))
    told = np.asarray(np.isfinite(values).all(axis=1))
    if tuple(names) == NAMES:
        told[told] = ~shows_nothing(values[told])
    return told


def quantiles_of(on_scale: Array) -> Array:
    """(Q, F) at ``LEVELS``, of (n, F) that ``scaled`` gave."""
    return np.asarray(np.quantile(on_scale, LEVELS, axis=0))


def in_spreads(on_scale: Array, quantiles: Array) -> Array:
    """(n, F) how far off the median of an overview with ``quantiles`` (Q, F), in its robust standard deviations."""
    off = (on_scale - quantiles[LEVELS.index(0.5)]) / _spread(quantiles)
    return np.asarray(np.clip(off, -MOST_SPREADS, MOST_SPREADS))


def apart(theirs: Array, ours: Array) -> Ratio:
    """Root mean square difference of two overviews' quantiles (Q, F), in spreads of the wider.

    >>> apart(np.zeros((5, 1)), np.full((5, 1), 0.02))
    1.0
    """
    off = (theirs - ours) / np.maximum(_spread(theirs), _spread(ours))
    return float(np.sqrt(np.mean(np.clip(off, -MOST_SPREADS, MOST_SPREADS) ** 2)))


def _spread(quantiles: Array) -> Array:
    """(F,) robust standard deviation: of a normal distribution, that of its quartiles."""
    between = quantiles[LEVELS.index(0.75)] - quantiles[LEVELS.index(0.25)]
    return np.asarray(np.maximum(between / _QUARTILES_SD, LEAST_SPREAD))
