"""Which law governs a specimen, and with which parameters: a particle filter over all laws at once.

Each law carries P parameter sets (sequential Monte Carlo with tempering, Del Moral, Doucet & Jasra, J. R. Stat. Soc. B
68, 411 (2006); for fixed parameters Chopin, Biometrika 89, 539 (2002)). A law is deterministic, so a set's state
follows from its parameters and the holder's history: sets that go astray are replaced, and live through the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import DESCRIPTORS, FRACTION, Array, Conditions, Law, State, shown, stacked, values_of
from models.kinetics_ensemble import (
    Ensemble,
    Estimate,
    Live,
    alike,
    chosen,
    effective,
    log_mean,
    normalised,
    part_of,
    shown_at,
)
from models.kinetics_nuisance import Calibration, Chance, Layout, Nuisance, Reading
from models.kinetics_told import Foretold, Told
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
        self._unseen = Nuisance.begin(
            self.calibration, Layout.of(self.places, self.widths_nm, self.calibration), self.horizon_s
        )
        self._ensembles = [self._begin(law) for law in self.laws]
        self.last_log_density = 0.0
        """Of the latest reading, foretold by all laws together."""
        self.last_foreseen = Foreseen(np.zeros(0, dtype=bool), np.zeros(0), np.zeros((0, 0)))

    def _begin(self, law: Law) -> Ensemble:
        z = self._rng.standard_normal((self.sets, len(law.parameters)))
        values = values_of(law, z)
        even = np.full(self.sets, -np.log(self.sets))
        told = Told.nothing(self._unseen)
        return Ensemble(law, z, values, law.start(values), even, 0.0, told, np.zeros((self.sets, 0)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.law.name for each in self._ensembles)

    def probabilities(self) -> Array:
        """(laws,) given that it is one of them."""
        logs = np.array([each.log_evidence for each in self._ensembles])
        likely = np.exp(logs - logs.max())
        return np.asarray(likely / likely.sum())

    def forget(self, least: Ratio) -> None:
        """Laws with a lower probability are out of the question from now on."""
        self._ensembles = [self._ensembles[n] for n in np.flatnonzero(self.probabilities() >= least)]

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
            each.state = each.law.advance(each.state, each.values, duration_s, conditions)

    @property
    def lived(self) -> list[tuple[float, Conditions]]:
        """(duration in s, conditions that held) so far, in order."""
        return [(item.duration_s, item.conditions) for item in self._history if isinstance(item, _Passed)]

    def learn(self, reading: Reading) -> None:
        """Take up a reading of now. Where that fails nothing is changed."""
        before, history = [replace(each) for each in self._ensembles], list(self._history)
        try:
            self._learn(reading)
        except BaseException:
            self._ensembles, self._history = before, history
            raise

    def _learn(self, reading: Reading) -> None:
        logs = np.array([each.log_evidence for each in self._ensembles])
        before = float(np.logaddexp.reduce(logs))
        judged = [self._judge(each, reading) for each in self._ensembles]
        self.last_foreseen = self._foreseen(reading, np.exp(logs - before), [(f, s) for f, s, *_ in judged])
        new: list[float] = [
            each.log_evidence + log_mean(each, likely)
            for each, (_, _, likely, _) in zip(self._ensembles, judged, strict=True)
        ]
        best: float = max(new)
        self._history.append(reading)
        for each, (foretold, _, _, white) in zip(self._ensembles, judged, strict=True):
            each.told, each.white = each.told.after(foretold), white
        moved = [
            self._take(each, likely, refresh=log_evidence > best + np.log(_UNLIKELY))
            for each, log_evidence, (_, _, likely, _) in zip(self._ensembles, new, judged, strict=True)
        ]
        after_all = float(np.logaddexp.reduce([each.log_evidence for each in self._ensembles]))
        self.last_log_density = after_all - before
        for each, anew in zip(self._ensembles, moved, strict=True):
            each.moved |= anew
            if each.moved and len(each.told.readings) >= each.linear_at * _LINEAR:
                self._relinearise(each)

    def _judge(self, each: Ensemble, reading: Reading) -> tuple[Foretold, Array, Array, Array]:
        """How a law foretold a reading; what its sets say, their densities, and how far off they are by then."""
        now = stacked([each.state])
        chance = Chance.of(each.law, now, each.values, np.exp(each.log_weights), [reading.view])[0]
        moved = self._effect(reading, chance)
        foretold = each.told.foretold(reading, self.time_s, moved[0])
        sizes = each.law.sizes(each.state, each.values, reading.view)
        return foretold, *foretold.judge(shown(sizes, reading.view), each.white)

    def _effect(self, reading: Reading, chance: Chance) -> Array:
        told = reading.values[[FRACTION]] if reading.told[FRACTION] else None
        return self._unseen.layout.effect(reading.view, reading.channel, chance, told, reading.before_e_per_A2)

    def _foreseen(self, reading: Reading, probabilities: Array, judged: list[tuple[Foretold, Array]]) -> Foreseen:
        """What all laws together foretold, before any set is weighed by it."""
        means, spreads = [], []
        for each, (foretold, said) in zip(self._ensembles, judged, strict=True):
            weights = np.exp(each.log_weights)
            mean = weights @ said
            off = said - mean
            means.append(mean)
            spreads.append((off * weights[:, None]).T @ off + foretold.covariance)
        all_means = np.array(means)
        mean = probabilities @ all_means
        between = all_means - mean
        covariance = np.tensordot(probabilities, np.array(spreads), axes=1)
        covariance = covariance + (between * probabilities[:, None]).T @ between
        return Foreseen(reading.told, reading.values[reading.told] - mean, covariance)

    def _relinearise(self, each: Ensemble) -> None:
        """Sets that have moved see chance otherwise: all readings are foretold anew, and the sets weighed by that."""
        before = np.add(*each.told.weigh(each.white))
        states, at_s = self._states(each.law, each.values)[0], self._times_s()
        readings, weights = each.told.readings, np.exp(each.log_weights)
        moved = np.empty((len(readings), len(DESCRIPTORS), self._unseen.layout.count))
        for some in alike(each.law, [reading.view for reading in readings]):
            view = readings[some[0]].view
            chance = Chance.of(each.law, stacked([states[n] for n in some]), each.values, weights, [view])[0]
            for k, n in enumerate(some):
                moved[n] = self._effect(readings[n], chance.of_moment(k))[0]
        each.told = Told.all(self._unseen, readings, at_s, moved)
        each.moved, each.linear_at = False, len(readings)
        each.white = each.told.white(shown_at(each.law, each.values, states, each.told))
        change = np.add(*each.told.weigh(each.white)) - before
        each.log_evidence += log_mean(each, change)
        each.log_weights = normalised(each.log_weights + change)

    def _times_s(self) -> list[float]:
        """Of every reading."""
        at_s, found = 0.0, []
        for item in self._history:
            if isinstance(item, _Passed):
                at_s += item.duration_s
            else:
                found.append(at_s)
        return found

    def _take(self, each: Ensemble, likely: Array, *, refresh: bool) -> bool:
        """Weigh the sets; where few carry the weight, in stages, with new sets after each. Whether there are any."""
        done, anew = 0.0, False
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
            if done >= 1.0 - 1e-9:
                break
        else:
            each.log_evidence += log_mean(each, (1.0 - done) * likely)
            each.log_weights = normalised(each.log_weights + (1.0 - done) * likely)
        return anew

    def _refresh(self, each: Ensemble, done: Ratio) -> Array:
        """Sets anew from where the weight lies; returns what the latest reading says of them.

        Moved by differential evolution (ter Braak, Stat. Comput. 16, 239 (2006)), so that they follow the posterior in
        which the latest reading counts by ``done``.
        """
        each_z, state, white = self._drawn(each)
        past, newest = each.told.weigh(white)
        for _ in range(_SWEEPS):
            tried = self._steps(each_z)
            tried_state, tried_white = self._live(each, tried)
            found = each.told.weigh(tried_white)
            log_ratio = (found[0] + done * found[1]) - (past + done * newest)
            log_ratio += 0.5 * (each_z**2 - tried**2).sum(axis=1)
            taken = np.log(self._rng.random(self.sets)) < log_ratio
            each_z = np.where(taken[:, None], tried, each_z)
            past, newest = np.where(taken, found[0], past), np.where(taken, found[1], newest)
            white = np.where(taken[:, None], tried_white, white)
            state = {name: chosen(taken, tried_state[name], state[name]) for name in state}
        each.z, each.values, each.state, each.white = each_z, values_of(each.law, each_z), state, white
        each.log_weights = np.full(self.sets, -np.log(self.sets))
        return newest

    def _drawn(self, each: Ensemble) -> tuple[Array, State, Array]:
        """By weight: z, states, and how far off they are."""
        places = (self._rng.random() + np.arange(self.sets)) / self.sets
        kept = np.minimum(np.searchsorted(np.cumsum(np.exp(each.log_weights)), places), self.sets - 1)
        return each.z[kept], {name: column[kept] for name, column in each.state.items()}, each.white[kept]

    def _steps(self, z: Array) -> Array:
        first, second = (self._rng.permutation(self.sets) for _ in range(2))
        length = 2.38 / np.sqrt(2 * z.shape[1]) * np.where(self._rng.random((self.sets, 1)) < 0.1, 1.0, 0.7)
        return np.asarray(z + length * (z[first] - z[second]) + _JITTER * self._rng.standard_normal(z.shape))

    def _live(self, each: Ensemble, z: Array) -> tuple[State, Array]:
        """Parameter sets live through the history: their state, and how far they are off what was told."""
        values = values_of(each.law, z)
        states, state = self._states(each.law, values)
        return state, each.told.white(shown_at(each.law, values, states, each.told))

    def _states(self, law: Law, values: Array) -> tuple[list[State], State]:
        """At every reading, and now."""
        state, states = law.start(values), []
        for item in self._history:
            if isinstance(item, _Passed):
                state = law.advance(state, values, item.duration_s, item.conditions)
            else:
                states.append(state)
        return states, state

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
            Live(each.law, float(p), each.values, each.state, np.exp(each.log_weights), each.told, each.white)
            for each, p in zip(self._ensembles, self.probabilities(), strict=True)
            if p >= least
        ]
