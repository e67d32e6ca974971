"""Evidence that none of the theories is right, at a rate of false alarms that is set.

A theory that is right foretells readings with the doubt that it says and to no side. Who bets against it that a
descriptor's own trend foretells better, that readings scatter more than it says, or that they go on lying to one side,
wins only by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from models.kinetics import DESCRIPTORS, Array

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

_SCATTERS: tuple[Ratio, ...] = (1.5, 2.5, 4.0)
"""Times what is foretold."""
_SIDE = 1.0
"""Variance of what readings lie to one side, of that of a reading, before any."""
_TURNS: Ratio = 0.03
"""By how much it may change from reading to reading."""
_MOST_SURPRISING = 35.0
"""Standard deviations: beyond, probabilities are 0."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What all theories together foretold of one reading's m descriptors, by two moments, and what came."""

    told: Bools
    """(descriptors,), m of which are True."""
    off: Array
    """(m,) read less foretold."""
    covariance: Array
    """(m, m)"""


def surprise(seen: Foreseen) -> float:
    """How far a reading lies from what was foretold, by all that it told together (χ²), as a standard normal number.

    Above 0, whichever side it lies on.
    """
    squares = float(seen.off @ np.linalg.solve(seen.covariance, seen.off))
    return float(min(norm.isf(chi2.sf(squares, len(seen.off)) / 2), _MOST_SURPRISING))


class Doubts:
    """Forecasts that begin from the theories' own, and differ from them: more scatter, or to one side."""

    COUNT = len(_SCATTERS) + 1

    def __init__(self) -> None:
        self._side = np.zeros(len(DESCRIPTORS))
        self._unsure = np.full(len(DESCRIPTORS), _SIDE)

    def learn(self, seen: Foreseen) -> Array:
        """(COUNT,) ln of the density that each gave to a reading."""
        sds = np.sqrt(np.diag(seen.covariance))
        found = [_log_normal(seen.off, scatter**2 * seen.covariance) for scatter in _SCATTERS]
        side, unsure = self._side[seen.told], self._unsure[seen.told]
        found.append(_log_normal(seen.off - side * sds, seen.covariance + np.diag(unsure * sds**2)))
        gain = unsure / (unsure + 1)
        self._side[seen.told] = side + gain * (seen.off / sds - side)
        self._unsure[seen.told] = (1 - gain) * unsure + _TURNS
        return np.array(found)


class NoneOfThese:
    """The wealth of bets against all theories together, each begun at a moment that is not known.

    Were one of the theories right, with the priors that they were given, the mean of the wealths would exceed 1/α at
    any time in at most a share α of runs (Ville's inequality; Ramdas et al., Stat. Sci. 38, 576 (2023)): each is a
    mixture over all beginnings, and half of the stake is the trends'.
    """

    def __init__(self, false_alarms: Ratio = 0.05) -> None:
        self.log_threshold = float(-np.log(false_alarms))
        self._log_stakes = np.log([0.5] + [0.5 / Doubts.COUNT] * Doubts.COUNT)
        self._log_wealth, self._turns = np.full(1 + Doubts.COUNT, -np.inf), 0
        self.log_highest = -np.inf

    def bet(self, log_trend: float | None, log_doubts: Array, log_theories: float) -> None:
        """One reading: ln of the density that each foretold of it; None: the trends did not bet."""
        self._turns += 1
        share = -np.log(self._turns * (self._turns + 1.0))  # sums to 1 over all beginnings
        against = np.array([log_theories if log_trend is None else log_trend, *log_doubts]) - log_theories
        self._log_wealth = np.logaddexp(self._log_wealth, share) + against
        self.log_highest = max(self.log_highest, self.log_evidence)

    @property
    def log_evidence(self) -> float:
        """Ln of the present wealth."""
        unspent = -np.log(self._turns + 1.0)
        return float(np.logaddexp.reduce(self._log_stakes + np.logaddexp(self._log_wealth, unspent)))

    @property
    def said(self) -> bool:
        """Whether none of the theories explains what was seen."""
        return self.log_highest >= self.log_threshold


def _log_normal(off: Array, covariance: Array) -> float:
    logdet = float(np.linalg.slogdet(covariance)[1])
    return -0.5 * (logdet + len(off) * float(np.log(2 * np.pi)) + float(off @ np.linalg.solve(covariance, off)))
