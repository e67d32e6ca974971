"""Following a specimen that changes: the next look is the one that tells most about its law for what it costs.

holder, clock ─► wait ─┐                                        ┌─► Choice: a look at a place now, or none yet
                       ├─► KineticFilter ─► what looks would show ─► plan
measured ─► observe ───┘        └─► probabilities of laws, parameters, none of these, changes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agent.tracking_mission import Change, Choice, Known, Mission
from agent.tracking_plan import UNTOLD, Offers, plan
from models.changes import ChangeDetector
from models.kinetics import FRACTION, Array, Conditions, Law, View, shown
from models.kinetics_filter import KineticFilter
from models.trend import NoneOfThese, Trend

if TYPE_CHECKING:
    from models.kinetics import State
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float
Forecast: TypeAlias = Callable[[float, float], Sequence[tuple[float, Conditions]]]
"""(from, to) in s → (duration in s, conditions) that are expected, in order."""

_SETS = 64
"""Parameter sets that a plan is made with."""
_AHEAD = 3
"""Later times that a plan weighs against now."""
_MOST_PICKS = 24
_LIVE: Ratio = 0.02


class Tracker:
    """Knows what was seen, and chooses. Deterministic by the mission's seed."""

    def __init__(self, mission: Mission, forecast: Forecast) -> None:
        self.mission, self._forecast = mission, forecast
        places = len(mission.places_nm)
        self.filter = KineticFilter(
            mission.laws, places, mission.horizon_s, mission.calibration, mission.sets, mission.seed
        )
        self.trend = Trend(places, mission.horizon_s, mission.calibration.gain)
        self.none = NoneOfThese(mission.false_alarms)
        looks = max(round(mission.horizon_s / mission.tick_s), 1)
        self._detectors = [ChangeDetector(looks, mission.false_alarms / places) for _ in range(places)]
        self.changes: list[Change] = []
        self.spent = 0.0
        self.fluence_e_per_A2 = np.zeros(places)
        self._offered = [(n, place) for n in range(len(mission.looks)) for place in range(places)]
        self._channels = [
            mission.sensors[look.signal].sight(look, mission.electrons_of(look)).channel for look in mission.looks
        ]
        self._views = [mission.view(mission.looks[n], place) for n, place in self._offered]
        self._electrons = np.array([mission.electrons_of(mission.looks[n]) for n, _ in self._offered])

    @property
    def now_s(self) -> float:
        return self.filter.time_s

    def wait(self, duration_s: float, conditions: Conditions) -> None:
        """Time passes under conditions that hold meanwhile."""
        self.filter.wait(duration_s, conditions)

    def observe(self, reading: Reading) -> None:
        """Take up what an exposure has told."""
        look_fluence = reading.electrons / (reading.view.width_nm**2 * 100.0)
        self.spent += reading.electrons
        self.fluence_e_per_A2[reading.view.place] += look_fluence
        if not reading.told.any():
            return
        if self.trend.knows(reading):
            self._watch(reading)
            log_trend = self.trend.learn(reading)
            self.filter.learn(reading)
            self.none.bet(log_trend, self.filter.last_log_density)
        else:
            self.trend.learn(reading)
            self.filter.learn(reading)

    def _watch(self, reading: Reading) -> None:
        """Whether what was told lies where the place's own trend leads."""
        mean, variance = self.trend.foretell(reading.view.place, reading.t_s)
        told = np.flatnonzero(reading.told)
        off = (reading.values[told] - mean[told]) / np.sqrt(variance[told] + reading.sds[told] ** 2)
        worst = int(np.argmax(np.abs(off)))
        together = float(np.sign(off[worst]) * np.sqrt((off**2).sum() / len(off)))
        if self._detectors[reading.view.place].learn(together):
            self.changes.append(Change(reading.t_s, reading.view.place, f"{off[worst]:+.1f} standard deviations"))

    def act(self) -> Choice:
        """What to do now. No side effect."""
        return replace(self._act(), known=self.known())

    def known(self) -> Known:
        """What is known now."""
        probabilities = tuple(float(p) for p in self.filter.probabilities())
        return Known(probabilities, float(np.clip(self.none.log_evidence, -700.0, 700.0)), len(self.changes))

    def _act(self) -> Choice:
        left = self.mission.electrons - self.spent
        allowed = self._allowed(left)
        if not allowed.any():
            return Choice(None, 0, 0.0, 0.0, "no look can be paid any more")
        offers, index = self._offers(allowed)
        picks = plan(offers, left, _MOST_PICKS)
        now = next((pick for pick in picks if offers.slot[pick.candidate] == 0), None)
        if now is None:
            later = f"{len(picks)} looks are planned for later" if picks else "no look would tell anything"
            return Choice(None, 0, 0.0, 0.0, later)
        n, place = self._offered[index[now.candidate]]
        electrons, name = float(self._electrons[index[now.candidate]]), self.mission.looks[n].name
        return Choice(n, place, now.nats, electrons, self._why(name, place, now.nats, electrons, len(picks)))

    def _allowed(self, left: float) -> np.ndarray:
        widths = np.array([view.width_nm for view in self._views])
        fluence = self._electrons / (widths**2 * 100.0)
        taken = self.fluence_e_per_A2[[place for _, place in self._offered]]
        return np.asarray((self._electrons <= left) & (taken + fluence <= self.mission.max_fluence_e_per_A2))

    def _offers(self, allowed: np.ndarray) -> tuple[Offers, list[int]]:
        """Every allowed look now and at some later times; and which offer each of a time is."""
        mission, chosen = self.mission, np.flatnonzero(allowed)
        views = [self._views[n] for n in chosen]
        left_s = max(mission.horizon_s - self.now_s, mission.tick_s)
        ticks = max(int(left_s / mission.tick_s), 1)
        ahead = min(_AHEAD, max(ticks - 1, 0))
        sets = _drawn(self.filter, _SETS)
        weights = np.concatenate([np.full(len(values), p / len(values)) for _, p, values, _, _ in sets])
        guesses = np.concatenate([part for *_, part in sets])
        shows, at_s = [self._shows(sets, views)], self.now_s
        for n in range(ahead):
            to_s = self.now_s + left_s * (n + 0.6) / ahead
            sets = [(law, p, v, _lived(law, v, s, self._forecast(at_s, to_s)), g) for law, p, v, s, g in sets]
            shows.append(self._shows(sets, views))
            at_s = to_s
        middles = [np.tensordot(weights, each, axes=1) for each in shows]
        effects = [self._effect(middle, views, chosen) for middle in middles]
        moved = [np.einsum("cdm,pm->pcd", effect, guesses) for effect in effects]
        noise = [self._noise(middle, chosen) for middle in middles]
        slots = len(shows)
        return Offers(
            foretold=np.concatenate([each + off for each, off in zip(shows, moved, strict=True)], axis=1),
            weights=weights / weights.sum(),
            common=np.concatenate(effects),
            unknown=self.filter.nuisance.covariance,
            noise=np.concatenate(noise),
            cost=np.tile(self._cost(chosen), slots),
            slot=np.repeat(np.arange(slots), len(chosen)),
            room=np.array([1] + [max(ticks // max(ahead, 1), 1)] * ahead),
        ), [int(n) for n in np.tile(chosen, slots)]

    def _effect(self, middle: Array, views: list[View], chosen: np.ndarray) -> Array:
        """(C, descriptors, M) of the common errors where the mean of what is foretold is."""
        nuisance = self.filter.nuisance
        return np.stack(
            [
                nuisance.effect(view, self._channels[self._offered[n][0]], float(middle[row, FRACTION]))
                for row, (view, n) in enumerate(zip(views, chosen, strict=True))
            ]
        )

    def _cost(self, chosen: np.ndarray) -> Array:
        """Electrons, and time as far as it runs out: a look that takes as much of both as there is costs twice."""
        mission = self.mission
        seconds = np.array([mission.looks[self._offered[n][0]].exposure.duration_s for n in chosen])
        return np.asarray(self._electrons[chosen] + seconds / mission.horizon_s * mission.electrons)

    def _shows(self, sets: list[tuple[Law, Ratio, Array, State, Array]], views: list[View]) -> Array:
        """(P, C, descriptors)."""
        parts = []
        for law, _, values, state, _ in sets:
            everywhere = None if law.local else law.sizes(state, values, views[0])
            known: dict[tuple[float, ...], Array] = {}
            for view in views:
                if (key := _key(view, law)) not in known:
                    known[key] = shown(everywhere or law.sizes(state, values, view), view)
            parts.append(np.stack([known[_key(view, law)] for view in views], axis=1))
        return np.nan_to_num(np.concatenate(parts))

    def _noise(self, middle: Array, chosen: np.ndarray) -> Array:
        """(C, descriptors) variances that are expected where the mean of what is foretold is."""
        found = np.full(middle.shape, UNTOLD)
        for row, n in enumerate(chosen):
            look = self.mission.looks[self._offered[n][0]]
            sds = self.mission.sensors[look.signal].sds(look, float(self._electrons[n]), middle[row])
            told = np.isfinite(sds)
            found[row, told] = sds[told] ** 2 + self.mission.calibration.theory**2
        return found

    def _why(self, name: str, place: int, nats: float, electrons: float, picks: int) -> str:
        likely = sorted(zip(self.filter.probabilities(), self.filter.names, strict=True), reverse=True)[:2]
        laws = ", ".join(f"{law} {p:.2f}" for p, law in likely)
        return f"{name} at place {place}: {nats:.2f} nats for {electrons:.2g} e, the best of {picks} planned ({laws})"


def _key(view: View, law: Law) -> tuple[float, ...]:
    """Views of one key show the same of a law."""
    where = view.x_nm if law.local else 0.0
    return view.width_nm, view.smallest_nm, view.volume_floor_nm, view.new_contrast, where


def _lived(law: Law, values: Array, state: State, coming: Sequence[tuple[float, Conditions]]) -> State:
    for duration_s, conditions in coming:
        state = law.advance(state, values, duration_s, conditions)
    return state


def _drawn(known: KineticFilter, count: int) -> list[tuple[Law, Ratio, Array, State, Array]]:
    """Of each law that is not out of the question: probability, and some of its sets, drawn evenly by weight."""
    found = []
    for law, p, values, state, guesses, weights in known.ensembles(_LIVE):
        n = max(round(count * p), 8)
        kept = np.searchsorted(np.cumsum(weights), (np.arange(n) + 0.5) / n).clip(0, len(weights) - 1)
        found.append((law, p, values[kept], {name: each[kept] for name, each in state.items()}, guesses[kept]))
    return found
