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

from models.kinetics import FRACTION, Array, Conditions, Law, State, shown, values_of
from models.kinetics_ensemble import (
    Ensemble,
    Estimate,
    Live,
    chosen,
    effective,
    log_mean,
    normalised,
    part_of,
    shown_at,
)
from models.kinetics_nuisance import Calibration, Chance, Layout, Nuisance, Reading, Seen
from models.none_of_these import Foreseen

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

_LEAST_ESS: Ratio = 0.5
_UNLIKELY: Ratio = 1e-4
"""A law with a lower probability is not refreshed: it goes on with the sets it has."""
_SWEEPS = 5
_STAGES = 12
_JITTER = 0.02
_LINEAR: Ratio = 1.25
"""Readings are foretold anew by moved sets when there are so many times as many as before."""


@dataclass(frozen=True, slots=True)
class _Passed:
    duration_s: float
    conditions: Conditions


@dataclass
class KineticFilter:
    """The posterior over laws and their parameters, as readings come. Deterministic by its seed."""

    laws: Sequence[Law]
    places: int
    horizon_s: float
    calibration: Calibration = field(default_factory=Calibration)
    sets: int = 256
    seed: int = 0
    widths_nm: Sequence[float] = (400.0,)
    """Of all views."""

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._history: list[_Passed | Reading] = []
        self.time_s = 0.0
        self._unseen = Nuisance.begin(self.calibration, Layout.of(self.places, self.widths_nm), self.horizon_s)
        self._ensembles = [self._begin(law) for law in self.laws]
        self.last_log_density = 0.0
        """Of the latest reading, foretold by all laws together."""
        self.last_foreseen = Foreseen(np.zeros(0, dtype=bool), np.zeros(0), np.zeros((0, 0)))

    def _begin(self, law: Law) -> Ensemble:
        z = self._rng.standard_normal((self.sets, len(law.parameters)))
        values = values_of(law, z)
        even = np.full(self.sets, -np.log(self.sets))
        guesses = np.zeros((self.sets, self._unseen.layout.count))
        return Ensemble(law, z, values, law.start(values), guesses, even, 0.0, self._unseen)

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
        self.time_s += duration_s
        for each in self._ensembles:
            each.nuisance = each.nuisance.later(duration_s)
            each.state = each.law.advance(each.state, each.values, duration_s, conditions)

    def learn(self, reading: Reading) -> None:
        """Take up a reading of now."""
        logs = np.array([each.log_evidence for each in self._ensembles])
        before = float(np.logaddexp.reduce(logs))
        likely_before = np.exp(logs - before)
        judged = [self._judge(each, reading) for each in self._ensembles]
        self.last_foreseen = self._foreseen(reading, likely_before)
        new: list[float] = [
            each.log_evidence + log_mean(each, likely)
            for each, (likely, _) in zip(self._ensembles, judged, strict=True)
        ]
        best: float = max(new)
        self._history.append(reading)
        moved = [
            self._take(each, likely, guesses, refresh=log_evidence > best + np.log(_UNLIKELY))
            for each, log_evidence, (likely, guesses) in zip(self._ensembles, new, judged, strict=True)
        ]
        after_all = float(np.logaddexp.reduce([each.log_evidence for each in self._ensembles]))
        self.last_log_density = after_all - before
        for each, anew in zip(self._ensembles, moved, strict=True):
            each.moved |= anew
            if each.moved and len(each.seen) >= each.linear_at * _LINEAR:
                self._relinearise(each)

    def _judge(self, each: Ensemble, reading: Reading) -> tuple[Array, Array]:
        seen, each.nuisance = self._seen(each, each.state, each.nuisance, reading)
        each.seen.append(seen)
        sizes = each.law.sizes(each.state, each.values, reading.view)
        return seen.judge(shown(sizes, reading.view), each.guesses)

    def _foreseen(self, reading: Reading, probabilities: Array) -> Foreseen:
        """By the latest of every law's readings, before any set is weighed by it."""
        means, spreads = [], []
        for each in self._ensembles:
            seen = each.seen[-1]
            told = shown(each.law.sizes(each.state, each.values, reading.view), reading.view)[:, seen.told]
            told = told + each.guesses @ seen.moved.T
            weights = np.exp(each.log_weights)
            mean = weights @ told
            off = told - mean
            means.append(mean)
            spreads.append((off * weights[:, None]).T @ off + np.linalg.inv(seen.precision))
        all_means = np.array(means)
        mean = probabilities @ all_means
        between = all_means - mean
        covariance = np.tensordot(probabilities, np.array(spreads), axes=1)
        covariance = covariance + (between * probabilities[:, None]).T @ between
        return Foreseen(reading.told, reading.values[reading.told] - mean, covariance)

    def _seen(self, each: Ensemble, state: State, nuisance: Nuisance, reading: Reading) -> tuple[Seen, Nuisance]:
        """A reading of a moment as the law foretells it, and what is left unknown after it."""
        weights = np.exp(each.log_weights)
        chance = Chance.of(each.law, state, each.values, weights, [reading.view])[0]
        told = reading.values[[FRACTION]] if reading.told[FRACTION] else None
        effect = nuisance.layout.effect(reading.view, reading.channel, chance, told)[0]
        foretold = nuisance.foretold(reading, effect)
        after, gain = nuisance.learned(foretold)
        return Seen.of(reading, foretold, gain), after

    def _relinearise(self, each: Ensemble) -> None:
        """Sets that have moved see chance otherwise: all readings are foretold anew, and the sets weighed by that."""
        before = self._likely(each)
        state, nuisance, seen = each.law.start(each.values), self._unseen, []
        for item in self._history:
            if isinstance(item, _Passed):
                state = each.law.advance(state, each.values, item.duration_s, item.conditions)
                nuisance = nuisance.later(item.duration_s)
            else:
                one, nuisance = self._seen(each, state, nuisance, item)
                seen.append(one)
        each.seen, each.nuisance = seen, nuisance
        each.moved, each.linear_at = False, len(seen)
        past, newest, each.state, each.guesses = self._live(each, each.z)
        change = past + newest - before
        each.log_evidence += log_mean(each, change)
        each.log_weights = normalised(each.log_weights + change)

    def _likely(self, each: Ensemble) -> Array:
        past, newest, *_ = self._live(each, each.z)
        return past + newest

    def _take(self, each: Ensemble, likely: Array, guesses: Array, *, refresh: bool) -> bool:
        """Weigh the sets; where few carry the weight, in stages, with new sets after each. Whether there are any."""
        done: Ratio = 0.0
        anew = False
        for _ in range(_STAGES):
            part = 1.0 - done
            if refresh and effective(each.log_weights + part * likely) < _LEAST_ESS * self.sets:
                part = part_of(each.log_weights, likely, 1.0 - done, _LEAST_ESS * self.sets)
            each.log_evidence += log_mean(each, part * likely)
            each.log_weights = normalised(each.log_weights + part * likely)
            done += part
            if not refresh or (part == 1.0 and done == 1.0):
                break
            likely, anew = self._refresh(each, done), True
            guesses = each.guesses
            if done >= 1.0 - 1e-9:
                break
        else:
            each.log_evidence += log_mean(each, (1.0 - done) * likely)
            each.log_weights = normalised(each.log_weights + (1.0 - done) * likely)
        each.guesses = guesses
        return anew

    def _refresh(self, each: Ensemble, done: Ratio) -> Array:
        """Sets anew from where the weight lies; returns what the latest reading says of them.

        Moved by differential evolution (ter Braak, Stat. Comput. 16, 239 (2006)), so that they follow the posterior in
        which the latest reading counts by ``done``.
        """
        each_z, (past, newest, state, guesses) = self._drawn(each)
        for _ in range(_SWEEPS):
            tried = self._steps(each_z)
            found = self._live(each, tried)
            log_ratio = (found[0] + done * found[1]) - (past + done * newest)
            log_ratio += 0.5 * (each_z**2 - tried**2).sum(axis=1)
            taken = np.log(self._rng.random(self.sets)) < log_ratio
            each_z = np.where(taken[:, None], tried, each_z)
            past, newest = np.where(taken, found[0], past), np.where(taken, found[1], newest)
            guesses = np.where(taken[:, None], found[3], guesses)
            state = {name: chosen(taken, found[2][name], state[name]) for name in state}
        each.z, each.values, each.state, each.guesses = each_z, values_of(each.law, each_z), state, guesses
        each.log_weights = np.full(self.sets, -np.log(self.sets))
        return newest

    def _drawn(self, each: Ensemble) -> tuple[Array, tuple[Array, Array, State, Array]]:
        weights = np.exp(each.log_weights)
        places = (self._rng.random() + np.arange(self.sets)) / self.sets
        kept = np.minimum(np.searchsorted(np.cumsum(weights), places), self.sets - 1)
        z = each.z[kept]
        return z, self._live(each, z)

    def _steps(self, z: Array) -> Array:
        first, second = (self._rng.permutation(self.sets) for _ in range(2))
        length = 2.38 / np.sqrt(2 * z.shape[1]) * np.where(self._rng.random((self.sets, 1)) < 0.1, 1.0, 0.7)
        return np.asarray(z + length * (z[first] - z[second]) + _JITTER * self._rng.standard_normal(z.shape))

    def _live(self, each: Ensemble, z: Array) -> tuple[Array, Array, State, Array]:
        """Parameter sets live through the history.

        ln of the probability of all readings but the latest, of the latest, their state, and their guesses at the
        common errors.
        """
        law, values = each.law, values_of(each.law, z)
        state, states = law.start(values), []
        for item in self._history:
            if isinstance(item, _Passed):
                state = law.advance(state, values, item.duration_s, item.conditions)
            else:
                states.append(state)
        guesses = np.zeros((len(z), self._unseen.layout.count))
        past, newest = np.zeros(len(z)), np.zeros(len(z))
        for told, seen in zip(shown_at(law, values, states, each.seen), each.seen, strict=True):
            past = past + newest
            newest, guesses = seen.judge(told, guesses)
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

    def ensembles(self, least: Ratio = 0.01) -> list[Live]:
        """Of every law with at least this probability."""
        return [
            Live(each.law, float(p), each.values, each.state, each.guesses, np.exp(each.log_weights), each.nuisance)
            for each, p in zip(self._ensembles, self.probabilities(), strict=True)
            if p >= least
        ]
