"""What earlier surveys of like specimens left: plain numbers that a survey may hand to its agent before it begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from envs.overviews import LEVELS

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EarlierSurvey:
    """Sites of one earlier survey that were seen from above and had a look of their own. n sites, F descriptors."""

    name: str
    rows: Array
    """(n, F) what they look like from above, natural values."""
    above: Array
    """(n,) their interest from above, robust spreads."""
    outcome: Array
    """(n,) what their own look showed, in interest (robust spreads; 0 = ordinary), or what a person said of it."""
    quantiles: Array
    """(Q, F) of all that the survey saw from above, as ``envs.overviews`` has them."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The earlier surveys that are like this one."""

    names: tuple[str, ...]
    """Of the F descriptors."""
    surveys: tuple[EarlierSurvey, ...]

    def __post_init__(self) -> None:
        """Raises ValueError for numbers that do not fit together, or are not finite."""
        for one in self.surveys:
            count, wide = len(one.outcome), len(self.names)
            shapes = one.rows.shape, one.above.shape, one.quantiles.shape
            if shapes != ((count, wide), (count,), (len(LEVELS), wide)):
                raise ValueError(f"{one.name}: {count} sites and {wide} descriptors, found arrays of {shapes}")
            if not all(np.isfinite(part).all() for part in (one.rows, one.above, one.outcome, one.quantiles)):
                raise ValueError(f"{one.name}: it holds numbers that are not finite")

    @property
    def sites(self) -> int:
        """Of all surveys."""
        return sum(len(one.outcome) for one in self.surveys)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that change with any number: part of the name of an agent that uses it."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for one in self.surveys:
            digest.update(one.name.encode())
            for part in (one.rows, one.above, one.outcome, one.quantiles):
                digest.update(np.ascontiguousarray(part, dtype="<f8").tobytes())
        return digest.hexdigest()[:8]
