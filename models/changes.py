"""Whether something has changed, at a rate of false alarms that is set, and when."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Doubles: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_JUMPS = np.array([1.0, 2.0, 4.0, 8.0])
"""In standard deviations, to either side."""


class ChangeDetector:
    """The statistic of Shiryaev and Roberts over a mixture of jumps.

    While nothing changes its mean grows by one a look, so that it exceeds ``looks ÷ false_alarms`` within so many looks
    in at most that share of runs (Doob's inequality; Tartakovsky, Nikiforov & Basseville, Sequential Analysis, 2014).
    """

    def __init__(self, looks: int, false_alarms: Ratio = 0.05) -> None:
        """Raises ValueError for a number of looks or a rate that is none."""
        if looks < 1 or not 0 < false_alarms < 1:
            raise ValueError(f"{looks} looks at a rate of {false_alarms}: give at least one look, and a rate in 0…1")
        self._log_threshold = float(np.log(looks / false_alarms))
        self._log_sum = -np.inf

    def learn(self, off_sds: float) -> bool:
        """One look: how far it lies from what was foretold, in standard deviations. Whether that is an alarm.

        After an alarm it begins anew.
        """
        log_ratio = np.logaddexp(_JUMPS * off_sds, -_JUMPS * off_sds) - np.log(2) - _JUMPS**2 / 2
        ratio = float(np.logaddexp.reduce(log_ratio) - np.log(len(_JUMPS)))
        self._log_sum = float(np.logaddexp(0.0, self._log_sum)) + ratio
        alarm = self._log_sum >= self._log_threshold
        if alarm:
            self._log_sum = -np.inf
        return alarm


class Steady:
    """Whether a quantity stays where it was: each value against the mean of those since the last change."""

    def __init__(self, looks: int, false_alarms: Ratio = 0.05) -> None:
        """As of ``ChangeDetector``."""
        self._detector = ChangeDetector(looks, false_alarms)
        self._sum, self._weight = 0.0, 0.0

    def learn(self, value: float, sd: float) -> bool:
        """One value with its standard deviation. Whether that is an alarm: then the mean begins anew with it."""
        alarm = False
        if self._weight > 0:
            off = (value - self._sum / self._weight) / np.sqrt(sd**2 + 1 / self._weight)
            alarm = self._detector.learn(float(off))
        if alarm:
            self._sum, self._weight = 0.0, 0.0
        self._sum += value / sd**2
        self._weight += 1 / sd**2
        return alarm


def step_at(values: Doubles) -> Doubles:
    """(T,) values in time order → (T − 1,) probability that their one step lies before each value but the first.

    Levels on both sides and the scatter about them are unknown, every place of the step as likely before: the scatter
    is integrated over 1/σ, levels over a flat prior. Raises ValueError for fewer than four values.
    """
    number = len(values)
    if number < 4:
        raise ValueError(f"{number} values cannot tell where they step: give four at least")
    even, at = values - values.mean(), np.arange(1, number)
    sums = np.cumsum(even)[:-1]
    # squares about two means: all squares less what the means take, of values about their common mean
    left = (even**2).sum() - sums**2 / at - sums**2 / (number - at)
    left = np.maximum(left, 1e-12 * max(float((even**2).sum()), 1e-300))
    logs = -(number - 2) / 2 * np.log(left) - np.log(at * (number - at)) / 2
    told = np.exp(logs - logs.max())
    return np.asarray(told / told.sum())
