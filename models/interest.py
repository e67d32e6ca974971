"""What a person finds interesting, learned from verdicts: a Gaussian process on numbers that describe a place.

Verdicts of 1 … 5 are regressed, as Protege does for astronomers (Lochner & Rudick, arXiv:2411.04188), on descriptors
that are counted in their own specimen's spreads, so that what one night taught holds on another specimen. The prior
mean is linear in how surprising a place is: with few verdicts the order is that of surprise. numpy alone: the
computer beside the instrument judges with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from collections.abc import Mapping

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

FEWEST = 12
"""Verdicts below which nothing is learned."""
LENGTHS = (3.0, 5.0, 8.0, 12.0, 20.0)
SIGNALS = (0.25, 0.5, 1.0, 2.0)
NOISES = (0.25, 0.5, 1.0)
_MIDDLE = 3.0
"""The verdict that says neither."""
_SLOPE_SD = 0.5
"""Of the prior of the slope of a verdict over a spread of surprise."""


@dataclass(frozen=True, slots=True)
class Interest:
    """Fitted on (N, F) rows and N verdicts."""

    rows: Array
    """(N, F) rows that it was fitted on."""
    surprise: Array
    """(N,) of them."""
    weights: Array
    """(N,) of the kernel's functions about them."""
    scale: Array
    """(4,): length, signal variance, mean surprise, spread of it."""

    @classmethod
    def fitted(cls, rows: Array, surprise: Array, verdicts: Array) -> Interest:
        """Length, signal and noise are those under which the verdicts are likeliest.

        ``rows``: (N, F) finite; ``surprise``: (N,); ``verdicts``: (N,) from 1 to 5, means of several people too.
        Raises ValueError for fewer than ``FEWEST`` of them, for numbers that are not finite, or all verdicts alike.
        """
        if len(verdicts) < FEWEST or float(np.ptp(verdicts)) == 0.0:
            raise ValueError(
                f"{len(verdicts)} verdicts, {len(set(verdicts.tolist()))} of them different: judge {FEWEST} at least, "
                "and among them what is interesting and what is not"
            )
        if not (np.isfinite(rows).all() and np.isfinite(surprise).all() and np.isfinite(verdicts).all()):
            raise ValueError("descriptors, surprise or verdicts are not finite: leave such places out")
        middle, spread = float(surprise.mean()), max(float(surprise.std()), 1e-9)
        slopes = _slopes(surprise, surprise, middle, spread)
        distance = cdist(rows, rows)
        values = verdicts - _MIDDLE
        best = (-np.inf, np.zeros(0), (0.0, 0.0))
        for length in LENGTHS:
            shape = np.exp(-0.5 * (distance / length) ** 2)
            for signal in SIGNALS:
                for noise in NOISES:
                    factor = cho_factor(signal * shape + slopes + noise * np.eye(len(values)), lower=True)
                    weights = cho_solve(factor, values)
                    told = -0.5 * float(values @ weights) - float(np.log(np.diag(factor[0])).sum())
                    if told > best[0]:
                        best = (told, weights, (length, signal))
        return cls(rows, surprise, best[1], np.array([*best[2], middle, spread]))

    def verdict(self, rows: Array, surprise: Array) -> Array:
        """(K, F), (K,) → (K,) the verdict to expect."""
        length, signal, middle, spread = self.scale.tolist()
        near = signal * np.exp(-0.5 * (cdist(rows, self.rows) / length) ** 2)
        return np.asarray(_MIDDLE + (near + _slopes(surprise, self.surprise, middle, spread)) @ self.weights)

    def arrays(self) -> dict[str, Array]:
        """What is to be kept of it."""
        return {"rows": self.rows, "surprise": self.surprise, "weights": self.weights, "scale": self.scale}

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Interest:
        """The inverse of ``arrays``. Raises ValueError for arrays that are no such model."""
        try:
            found = cls(**{name: arrays[name] for name in ("rows", "surprise", "weights", "scale")})
        except KeyError as error:
            raise ValueError(f"no array {error}") from error
        count = len(found.rows)
        shapes = found.surprise.shape == found.weights.shape == (count,) and found.scale.shape == (4,)
        if found.rows.ndim != 2 or not shapes or not all(np.isfinite(each).all() for each in found.arrays().values()):
            raise ValueError("its arrays do not fit together")
        return found


def _slopes(one: Array, other: Array, middle: float, spread: float) -> Array:
    """Covariance of the prior mean: a verdict's offset, and its slope over surprise."""
    a, b = (one - middle) / spread, (other - middle) / spread
    return np.asarray(1.0 + _SLOPE_SD**2 * np.outer(a, b))
