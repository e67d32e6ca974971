"""Which law governs a specimen, and with which parameters: a particle filter over all laws at once.

Each law carries P parameter sets (sequential Monte Carlo with tempering, Del Moral, Doucet & Jasra, J. R. Stat. Soc. B
68, 411 (2006); for fixed parameters Chopin, Biometrika 89, 539 (2002)). A law is deterministic, so a set's state
follows from its parameters and the holder's history: sets that go astray are replaced, and live through the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import NUMBER, Array, Conditions, Law, State, shown, values_of
from models.kinetics_nuisance import Calibration, Nuisance, Reading, Seen

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

_LEAST_ESS: Ratio = 0.5
_UNLIKELY: Ratio = 1e-4
"""A law with a lower probability is not refreshed: it goes on with the sets it has."""
_SWEEPS = 5
_STAGES = 12
_JITTER = 0.02


@dataclass
class _Ensemble:
    """One law's parameter sets."""

    law: Law
    z: Array
    values: Array
    state: State
    guesses: Array
    log_weights: Array
    """(P,) normalised."""
    log_evidence: float


@dataclass(frozen=True, slots=True)
class _Passed:
    duration_s: float
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Estimate:
    """One parameter of one law."""

    law: str
    name: str
    mean: float
    low: float
    high: float
    """With ``low`` the middle 90 %."""
    counts: bool
    log_sd: float
    """Of its logarithm, or of itself where it is not log-normal."""


@dataclass
class KineticFilter:
    """The posterior over laws and their parameters, as readings come. Deterministic by its seed."""

    laws: Sequence[Law]
    places: int
    horizon_s: float
    calibration: Calibration = field(default_factory=Calibration)
    sets: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._history: list[_Passed | Seen] = []
        self.time_s = 0.0
        self._counts = np.full(self.places, 50.0)
        """Particles that were last seen at each place."""
        self.nuisance = Nuisance.begin(self.calibration, self.places, self.horizon_s)
        self._ensembles = [self._begin(law) for law in self.laws]
        self.last_log_density = 0.0
        """Of the latest reading, foretold by all laws together."""

    def _begin(self, law: Law) -> _Ensemble:
        z = self._rng.standard_normal((self.sets, len(law.parameters)))
        values = values_of(law, z)
        even = np.full(self.sets, -np.log(self.sets))
        guesses = np.zeros((self.sets, len(self.nuisance.covariance)))
        return _Ensemble(law, z, values, law.start(values), guesses, even, 0.0)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(law.name for law in self.laws)

    def probabilities(self) -> Array:
        """(laws,) given that it is one of them."""
        logs = np.array([each.log_evidence for each in self._ensembles])
        likely = np.exp(logs - logs.max())
        return np.asarray(likely / likely.sum())

    def wait(self, duration_s: float, conditions: Conditions) -> None:
        """Time passes under conditions that hold meanwhile."""
        if duration_s <= 0:
            return
        last = self._history[-1] if self._history else None
        if isinstance(last, _Passed) and last.conditions == conditions:
            self._history[-1] = _Passed(last.duration_s + duration_s, conditions)
        else:
            self._history.append(_Passed(duration_s, conditions))
        self.nuisance = self.nuisance.later(duration_s, self._counts)
        self.time_s += duration_s
        for each in self._ensembles:
            each.state = each.law.advance(each.state, each.values, duration_s, conditions)

    def learn(self, reading: Reading) -> None:
        """Take up a reading of now."""
        if reading.told[NUMBER]:
            self._counts[reading.view.place] = max(np.exp(reading.values[NUMBER]) * reading.view.area_um2, 0.5)
        foretold = self.nuisance.foretold(reading)
        after, gain = self.nuisance.learned(foretold)
        seen = Seen.of(reading, foretold, gain)
        logs = np.array([each.log_evidence for each in self._ensembles])
        before = float(np.logaddexp.reduce(logs))
        judged = [self._judge(each, seen) for each in self._ensembles]
        new: list[float] = [
            each.log_evidence + _log_mean(each, likely)
            for each, (likely, _) in zip(self._ensembles, judged, strict=True)
        ]
        best: float = max(new)
        self._history.append(seen)
        self.nuisance = after
        for each, log_evidence, (likely, guesses) in zip(self._ensembles, new, judged, strict=True):
            self._take(each, likely, guesses, refresh=log_evidence > best + np.log(_UNLIKELY))
        after_all = float(np.logaddexp.reduce([each.log_evidence for each in self._ensembles]))
        self.last_log_density = after_all - before

    def _judge(self, each: _Ensemble, seen: Seen) -> tuple[Array, Array]:
        sizes = each.law.sizes(each.state, each.values, seen.reading.view)
        return seen.judge(shown(sizes, seen.reading.view), each.guesses)

    def _take(self, each: _Ensemble, likely: Array, guesses: Array, *, refresh: bool) -> None:
        """Weigh the sets; where few carry the weight, in stages, with new sets after each."""
        done: Ratio = 0.0
        for _ in range(_STAGES):
            part = 1.0 - done
            if refresh and _ess(each.log_weights + part * likely) < _LEAST_ESS * self.sets:
                part = _part(each.log_weights, likely, 1.0 - done, _LEAST_ESS * self.sets)
            each.log_evidence += _log_mean(each, part * likely)
            each.log_weights = _normal(each.log_weights + part * likely)
            done += part
            if not refresh or (part == 1.0 and done == 1.0):
                break
            likely = self._refresh(each, done)
            guesses = each.guesses
            if done >= 1.0 - 1e-9:
                break
        else:
            each.log_evidence += _log_mean(each, (1.0 - done) * likely)
            each.log_weights = _normal(each.log_weights + (1.0 - done) * likely)
        each.guesses = guesses

    def _refresh(self, each: _Ensemble, done: Ratio) -> Array:
        """Sets anew from where the weight lies; returns what the latest reading says of them.

        Moved by differential evolution (ter Braak, Stat. Comput. 16, 239 (2006)), so that they follow the posterior in
        which the latest reading counts by ``done``.
        """
        each_z, (past, newest, state, guesses) = self._drawn(each)
        for _ in range(_SWEEPS):
            tried = self._steps(each_z)
            found = self._live(each.law, tried)
            log_ratio = (found[0] + done * found[1]) - (past + done * newest)
            log_ratio += 0.5 * (each_z**2 - tried**2).sum(axis=1)
            taken = np.log(self._rng.random(self.sets)) < log_ratio
            each_z = np.where(taken[:, None], tried, each_z)
            past, newest = np.where(taken, found[0], past), np.where(taken, found[1], newest)
            guesses = np.where(taken[:, None], found[3], guesses)
            state = {name: _where(taken, found[2][name], state[name]) for name in state}
        each.z, each.values, each.state, each.guesses = each_z, values_of(each.law, each_z), state, guesses
        each.log_weights = np.full(self.sets, -np.log(self.sets))
        return newest

    def _drawn(self, each: _Ensemble) -> tuple[Array, tuple[Array, Array, State, Array]]:
        weights = np.exp(each.log_weights)
        places = (self._rng.random() + np.arange(self.sets)) / self.sets
        kept = np.minimum(np.searchsorted(np.cumsum(weights), places), self.sets - 1)
        z = each.z[kept]
        return z, self._live(each.law, z)

    def _steps(self, z: Array) -> Array:
        first, second = (self._rng.permutation(self.sets) for _ in range(2))
        length = 2.38 / np.sqrt(2 * z.shape[1]) * np.where(self._rng.random((self.sets, 1)) < 0.1, 1.0, 0.7)
        return np.asarray(z + length * (z[first] - z[second]) + _JITTER * self._rng.standard_normal(z.shape))

    def _live(self, law: Law, z: Array) -> tuple[Array, Array, State, Array]:
        """Parameter sets live through the history.

        ln of the probability of all readings but the latest, of the latest, their state, and their guesses at the
        common errors.
        """
        values = values_of(law, z)
        state, guesses = law.start(values), np.zeros((len(z), len(self.nuisance.covariance)))
        past, newest = np.zeros(len(z)), np.zeros(len(z))
        for item in self._history:
            if isinstance(item, _Passed):
                state = law.advance(state, values, item.duration_s, item.conditions)
            else:
                past = past + newest
                newest, guesses = item.judge(
                    shown(law.sizes(state, values, item.reading.view), item.reading.view), guesses
                )
        return past, newest, state, guesses

    def estimates(self, law: str) -> tuple[Estimate, ...]:
        """The parameters of one law, if it is that one."""
        each = self._ensembles[self.names.index(law)]
        weights, found = np.exp(each.log_weights), []
        for n, parameter in enumerate(each.law.parameters):
            column = each.values[:, n]
            order = np.argsort(column)
            low, high = np.interp((0.05, 0.95), np.cumsum(weights[order]) - weights[order] / 2, column[order])
            scaled = np.log(column) if parameter.log else column
            middle = float(weights @ scaled)
            sd = float(np.sqrt(weights @ np.square(scaled - middle)))
            mean = float(np.exp(middle)) if parameter.log else middle
            found.append(Estimate(law, parameter.name, mean, float(low), float(high), parameter.counts, sd))
        return tuple(found)

    def ensembles(self, least: Ratio = 0.01) -> list[tuple[Law, Ratio, Array, State, Array, Array]]:
        """Of every law with at least this probability: law, probability, values, state, guesses, weights."""
        return [
            (each.law, float(p), each.values, each.state, each.guesses, np.exp(each.log_weights))
            for each, p in zip(self._ensembles, self.probabilities(), strict=True)
            if p >= least
        ]


def _where(taken: Bools, new: Array, old: Array) -> Array:
    return np.where(taken.reshape(-1, *([1] * (new.ndim - 1))), new, old)


def _normal(log_weights: Array) -> Array:
    return np.asarray(log_weights - np.logaddexp.reduce(log_weights))


def _ess(log_weights: Array) -> float:
    weights = np.exp(_normal(log_weights))
    return float(1 / (weights**2).sum())


def _log_mean(each: _Ensemble, likely: Array) -> float:
    return float(np.logaddexp.reduce(each.log_weights + likely))


def _part(log_weights: Array, likely: Array, most: Ratio, ess: float) -> Ratio:
    """How much of a reading may count at once so that the weight stays with enough sets."""
    low, high = 0.0, most
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if _ess(log_weights + middle * likely) > ess else (low, middle)
    return max(low, 0.02 * most)
