"""Evidence that none of the theories is right, at a rate of false alarms that is set.

A theory that is right foretells readings with the doubt that it says and to no side. Who bets against it that a
descriptor's own trend foretells better, that readings scatter more than it says, that they go on lying to one side, or
that what is like the theories but held less to the letter (``models.kinetics_loose``) foretells better, wins only by
chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from models.kinetics import DESCRIPTORS, FRACTION, Array

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

_SCATTERS: tuple[Ratio, ...] = (1.5, 2.5, 4.0)
"""Times what is foretold, of all descriptors."""
_SCATTERS_OF_ONE: tuple[Ratio, ...] = (2.0, 4.0)
"""Of one descriptor alone."""
_SIDES: tuple[tuple[Ratio, Ratio], ...] = tuple((side, turn) for side in (0.25, 1.0, 4.0) for turn in (0.0, 0.03, 0.3))
"""Variance of what readings lie to one side before any, of that of a reading; by how much it grows with each."""
_SIDES_OF_ONE: tuple[tuple[Ratio, Ratio], ...] = ((1.0, 0.03), (4.0, 0.03))
"""Of one descriptor alone; but of none of the part changed, which seldom lies to one side by itself."""
_TRENDS: Ratio = 0.2
_DOUBTS: Ratio = 0.2
"""Of the stake against all theories; the rest is the rivals', each kind of doubt has as much of the doubts'."""
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
    """Forecasts that begin from the theories' own, and differ from them: more scatter, or to one side.

    Of all descriptors alike, or of one: a law that is wrong is often wrong in one alone, as in the spread of sizes.
    """

    def __init__(self) -> None:
        each = np.eye(len(DESCRIPTORS))
        every = [np.full(len(DESCRIPTORS), scatter) for scatter in _SCATTERS]
        alone = [1 + (scatter - 1) * one for one in each for scatter in _SCATTERS_OF_ONE]
        self._scatter = np.array(every + alone)
        asides = [np.full(len(DESCRIPTORS), side) for side, _ in _SIDES]
        asides += [side * one for one in each[:FRACTION] for side, _ in _SIDES_OF_ONE]
        self._unsure = np.array(asides)
        self._turns = np.array([turn for _, turn in _SIDES] + [turn for _, turn in _SIDES_OF_ONE] * FRACTION)
        self._side = np.zeros_like(self._unsure)
        counts = len(every), len(alone), len(_SIDES), len(asides) - len(_SIDES)
        self.shares = np.concatenate([np.full(count, 1 / len(counts) / count) for count in counts])
        """(D,) of the stake that each has; their sum is 1."""

    def learn(self, seen: Foreseen) -> Array:
        """(D,) ln of the density that each gave to a reading."""
        sds, told = np.sqrt(np.diag(seen.covariance)), seen.told
        scatter, side, unsure = self._scatter[:, told], self._side[:, told], self._unsure[:, told]
        wider = scatter[:, :, None] * scatter[:, None] * seen.covariance
        aside = seen.covariance + (unsure * sds**2)[:, :, None] * np.eye(len(sds))
        off = np.concatenate([np.broadcast_to(seen.off, scatter.shape), seen.off - side * sds])
        gain = unsure / (unsure + 1)
        self._side[:, told] = side + gain * (seen.off / sds - side)
        self._unsure[:, told] = (1 - gain) * unsure + self._turns[:, None] * (unsure > 0)
        return _log_normal(off, np.concatenate([wider, aside]))


class NoneOfThese:
    """The wealth of bets against all theories together, each begun at a moment that is not known.

    Were one of the theories right, with the priors that they were given, the mean of the wealths would exceed 1/α at
    any time in at most a share α of runs (Ville's inequality; Ramdas et al., Stat. Sci. 38, 576 (2023)): each is a
    mixture over all beginnings.
    """

    def __init__(self, shares: Array, rivals: int, false_alarms: Ratio = 0.05) -> None:
        """``shares`` (D,): of the doubts' stake, the part that each has; ``rivals``: R ≥ 1, each has as much."""
        self.log_threshold = float(-np.log(false_alarms))
        each = (1 - _TRENDS - _DOUBTS) / rivals
        self._log_stakes = np.log([_TRENDS, *(_DOUBTS * shares), *[each] * rivals])
        self._log_wealth, self._turns = np.full(len(self._log_stakes), -np.inf), 0
        self.log_highest = -np.inf

    def bet(self, log_trend: float | None, log_doubts: Array, log_rivals: Array, log_theories: float) -> None:
        """One reading: ln of the density that each foretold of it, (D,), (R,); None: the trends did not bet."""
        self._turns += 1
        share = -np.log(self._turns * (self._turns + 1.0))  # sums to 1 over all beginnings
        trend = log_theories if log_trend is None else log_trend
        against = np.array([trend, *log_doubts, *log_rivals]) - log_theories
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


def _log_normal(off: Array, covariance: Array) -> Array:
    """(D,) ln of D normal densities, of (D, m) with covariances (D, m, m)."""
    squares = (off * np.linalg.solve(covariance, off[..., None])[..., 0]).sum(axis=-1)
    logdet = np.linalg.slogdet(covariance)[1]
    return np.asarray(-0.5 * (logdet + off.shape[-1] * float(np.log(2 * np.pi)) + squares))
