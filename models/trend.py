"""What a specimen does when no theory is asked: each descriptor at each place goes on as it did, with kinks.

A bank of local linear trends (Harvey, Forecasting, Structural Time Series Models, 1989), stiff to loose, weighted by
how well each foretold. It is what a theory has to beat, and what is left where none is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from models.kinetics import DESCRIPTORS, FRACTION, SPREAD, Array

if TYPE_CHECKING:
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float

_LOOSENESS = np.array([0.1, 0.5, 2.0, 8.0, 30.0])
"""By how much a trend's slope may change within the time that is followed, times the size of the descriptor."""
_STEPS: Ratio = 0.1
"""Level by itself, of that."""
_UNKNOWN = 9.0
_LEAST_SEEN = 2
"""A trend foretells a place from its so-manieth reading on."""


class Trend:
    """Level and slope of every descriptor at every place, as they follow from the readings so far."""

    def __init__(self, places: int, horizon_s: float, gain: Ratio = 0.10) -> None:
        self._gain = gain
        size = np.ones(len(DESCRIPTORS))
        size[SPREAD], size[FRACTION] = 0.1, 0.5
        bank = (places, len(DESCRIPTORS), len(_LOOSENESS))
        bends = (_LOOSENESS / horizon_s) ** 2 / horizon_s
        self._bend = np.broadcast_to(size[:, None] ** 2 * bends, bank).copy()
        self._step = np.broadcast_to(size[:, None] ** 2 * (_STEPS * _LOOSENESS) ** 2 / horizon_s, bank).copy()
        self._mean = np.zeros((*bank, 2))
        self._cov = np.zeros((*bank, 2, 2))
        self._cov[..., 0, 0] = _UNKNOWN * np.broadcast_to(size[:, None] ** 2, bank)
        self._cov[..., 1, 1] = np.broadcast_to((3 * size[:, None] / horizon_s) ** 2, bank)
        self._log_weights = np.full(bank, -np.log(len(_LOOSENESS)))
        self._at_s = np.zeros((places, len(DESCRIPTORS)))
        self._seen = np.zeros((places, len(DESCRIPTORS)), dtype=int)

    def knows(self, reading: Reading) -> bool:
        """Whether everything that a reading tells was seen there often enough to be foretold."""
        return bool((self._seen[reading.view.place][reading.told] >= _LEAST_SEEN).all())

    def foretell(self, place: int, t_s: float) -> tuple[Array, Array]:
        """Mean and variance (descriptors,) at a place and time."""
        mean, cov = self._moved(place, t_s)
        weights = np.exp(self._log_weights[place])
        level = (weights * mean[..., 0]).sum(axis=-1)
        spread = (weights * (cov[..., 0, 0] + (mean[..., 0] - level[:, None]) ** 2)).sum(axis=-1)
        return level, spread

    def learn(self, reading: Reading) -> float:
        """Take up a reading; ln of its probability density as it was foretold."""
        place, told = reading.view.place, reading.told
        mean, cov = self._moved(place, reading.t_s)
        sds = reading.sds.copy()
        sds[3] = np.hypot(sds[3], self._gain if reading.channel != "image" else 0.0)
        off = reading.values[:, None] - mean[..., 0]
        total = cov[..., 0, 0] + (sds**2)[:, None]
        with np.errstate(invalid="ignore"):
            logs = -0.5 * (np.log(2 * np.pi * total) + off**2 / total)
            joint = self._log_weights[place] + logs
        density = 0.0
        for n in np.flatnonzero(told):
            first = self._seen[place, n] == 0
            gain = cov[n, :, :, 0] / total[n][:, None]
            self._mean[place, n] = mean[n] + gain * off[n][:, None]
            self._cov[place, n] = cov[n] - gain[:, :, None] * cov[n][:, None, 0, :]
            evidence = float(np.logaddexp.reduce(joint[n]))
            if not first:
                self._log_weights[place, n] = joint[n] - evidence
            density += evidence
            self._at_s[place, n] = reading.t_s
            self._seen[place, n] += 1
        return density

    def _moved(self, place: int, t_s: float) -> tuple[Array, Array]:
        """Means (descriptors, bank, 2) and covariances at a time. Before its first reading a place stays unknown."""
        dt = np.where(self._seen[place] > 0, np.maximum(t_s - self._at_s[place], 0.0), 0.0)[:, None]
        mean, cov = self._mean[place].copy(), self._cov[place].copy()
        mean[..., 0] += dt * mean[..., 1]
        bend, step = self._bend[place], self._step[place]
        cross = cov[..., 0, 1] + dt * cov[..., 1, 1] + bend * dt**2 / 2
        cov[..., 0, 0] += 2 * dt * cov[..., 0, 1] + dt**2 * cov[..., 1, 1] + bend * dt**3 / 3 + step * dt
        cov[..., 0, 1] = cov[..., 1, 0] = cross
        cov[..., 1, 1] += bend * dt
        return mean, cov
