"""Whether something has changed, at a rate of false alarms that is set, and when."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Doubles: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_JUMPS = np.array([1.0, 2.0, 4.0, 8.0])
"""In standard deviations, to either side."""
_LEVELS: Ratio = 0.5
"""Of a number of things: levels lie so far about the mean of all values, a share of it (a normal prior's deviation)."""


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


def first_fall(values: Doubles, sds: Doubles, chances: Doubles) -> Doubles:
    """(T,) values in time order, with standard deviations → (T,) probability of where they first fall.

    Element n < T − 1: between value n and the next; the last: nowhere. Between changes lies one level, each with a
    prior of its own; ``chances`` (T − 1,) of a change between neighbours; summed over every set of changes (Fearnhead,
    Statistics and Computing 16, 203, 2006). A fall is a change to a level that is lower in the mean. Raises ValueError
    for lengths that do not fit, a value or deviation that is not above 0, a chance that is not between 0 and 1.
    """
    number = len(values)
    if number < 2 or len(sds) != number or len(chances) != number - 1:
        raise ValueError(
            f"{number} values, {len(sds)} deviations, {len(chances)} chances: give two values at least, a deviation "
            "for each and a chance between each two"
        )
    if not ((values > 0).all() and (sds > 0).all() and (chances > 0).all() and (chances < 1).all()):
        raise ValueError("a value or deviation is not above 0, or a chance not between 0 and 1: give such alone")
    weights, even = 1 / sds**2, values - values.mean()
    prior = 1 / (_LEVELS * values.mean()) ** 2
    stays, changes = np.concatenate([[0.0], np.cumsum(np.log1p(-chances))]), np.concatenate([[0.0], np.log(chances)])
    mean, piece = np.zeros((number, number + 1)), np.full((number, number + 1), -np.inf)
    for i in range(number):  # values i to j as one level, and a change before it
        for j in range(i + 1, number + 1):
            w, x = weights[i:j], even[i:j]
            total = float(w.sum()) + prior
            mean[i, j] = (w * x).sum() / total
            fit = (np.log(w).sum() + np.log(prior / total) - (w * x**2).sum() + total * mean[i, j] ** 2) / 2
            piece[i, j] = fit + stays[j - 1] - stays[i] + changes[i]
    after = np.zeros(number + 1)  # whatever comes from there on
    for i in range(number - 1, -1, -1):
        after[i] = np.logaddexp.reduce(piece[i, i + 1 :] + after[i + 1 :])
    still = np.full((number, number + 1), -np.inf)  # no fall so far, values i to j the last level
    still[0] = piece[0]
    falls = np.full(number, -np.inf)
    for j in range(1, number):
        for k in range(j + 1, number + 1):
            lower = mean[:j, j] > mean[j, k]
            still[j, k] = np.logaddexp.reduce(np.where(lower, -np.inf, still[:j, j])) + piece[j, k]
            fell = np.logaddexp.reduce(np.where(lower, still[:j, j], -np.inf)) + piece[j, k] + after[k]
            falls[j - 1] = np.logaddexp(falls[j - 1], fell)
    falls[-1] = np.logaddexp.reduce(still[:, number])
    told = np.exp(falls - falls.max())
    return np.asarray(told / told.sum())
