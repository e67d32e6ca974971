"""Following a specimen that changes: the next look is the one that tells most about its law for what it costs.

holder, clock ─► wait ─┐                                        ┌─► Choice: a look at a place now, or none yet
                       ├─► KineticFilter ─► what looks would show ─► plan
measured ─► observe ───┘        └─► probabilities of laws, parameters, none of these, changes
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agent.tracking_mission import Change, Choice, Known, Mission
from agent.tracking_plan import UNTOLD, Offers, plan
from models.changes import ChangeDetector
from models.kinetics import DESCRIPTORS, Array, Conditions, View, shown, stacked
from models.kinetics_ensemble import alike
from models.kinetics_filter import KineticFilter
from models.kinetics_loose import Rivals
from models.kinetics_nuisance import Chance
from models.none_of_these import Doubts, NoneOfThese, surprise
from models.trend import Trend

if TYPE_CHECKING:
    from models.kinetics import State
    from models.kinetics_ensemble import Live
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float
Forecast: TypeAlias = Callable[[float, float], Sequence[tuple[float, Conditions]]]
"""(from, to) in s → (duration in s, conditions) that are expected, in order."""

_SETS = 48
"""Parameter sets that a plan is made with."""
_CHANCE_SETS = 8
"""Of them, by which it is reckoned how chance moves what a look shows."""
_AHEAD = 3
"""Later times that a plan weighs against now."""
_MOST_PICKS = 24
_PACE: Ratio = 0.9
"""Of what an even course would have spent by now, that is spent at least: a plan is only as good as the laws."""
_LIVE: Ratio = 0.02


class Tracker:
    """Knows what was seen, and chooses. Deterministic by the mission's seed."""

    def __init__(self, mission: Mission, forecast: Forecast) -> None:
        self.mission, self._forecast = mission, forecast
        places = len(mission.places_nm)
        widths_nm = [look.field_of_view_nm for look in mission.looks]
        known = mission.laws, places, mission.horizon_s, mission.calibration, mission.sets, mission.seed, widths_nm
        self.filter, self.rivals = KineticFilter(*known), Rivals(*known)
        self.trend = Trend(places, mission.horizon_s, mission.calibration.gain)
        self.doubts = Doubts()
        self.none = NoneOfThese(self.doubts.shares, Rivals.count, mission.false_alarms / 2)
        looks = max(round(mission.horizon_s / mission.tick_s), 1)
        self._detectors = [ChangeDetector(looks, mission.false_alarms / 2 / places) for _ in range(places)]
        self.changes: list[Change] = []
        self.spent = 0.0
        self.fluence_e_per_A2 = np.zeros(places)
        self._unbet: deque[Callable[[], None]] = deque()
        """What the rivals have still to live through, in order."""
        self._refused: set[tuple[int, int]] = set()
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
        self._unbet.append(partial(self.rivals.wait, duration_s, dict(conditions)))

    def observe(self, reading: Reading) -> None:
        """Take up what an exposure has told."""
        look_fluence = reading.electrons / (reading.view.width_nm**2 * 100.0)
        self.spent += reading.electrons
        self.fluence_e_per_A2[reading.view.place] += look_fluence
        if not reading.told.any():
            return
        self.filter.learn(reading)  # first: where that fails, nothing else has learned of it either
        self._watch(reading)
        known = self.trend.knows(reading)
        log_trend = self.trend.learn(reading)
        doubts = self.doubts.learn(self.filter.last_foreseen)
        self._unbet.append(
            partial(self._bet, reading, log_trend if known else None, doubts, self.filter.last_log_density)
        )

    def failed(self, look: int, place: int, electrons: float, *, lasting: bool) -> None:
        """A look told nothing; where that will last it is not offered again. ``electrons``: spent all the same."""
        self.spent += electrons
        self.fluence_e_per_A2[place] += electrons / (self.mission.looks[look].field_of_view_nm ** 2 * 100.0)
        if lasting:
            self._refused.add((look, place))

    def settle(self) -> None:
        """Make the bets on all that was read: no look depends on them, so that they may be made after a choice."""
        while self._unbet:
            self._unbet.popleft()()

    def _bet(self, reading: Reading, log_trend: float | None, doubts: Array, log_laws: float) -> None:
        self.none.bet(log_trend, doubts, self.rivals.learn(reading), log_laws)

    @property
    def none_of_these(self) -> bool:
        """Whether none of the laws explains what was seen: bets against all were won, or something was not foretold.

        As far as bets are settled.
        """
        return self.none.said or bool(self.changes)

    def _watch(self, reading: Reading) -> None:
        """Whether what was told is what the laws together foretold at this place."""
        off = surprise(self.filter.last_foreseen)
        if self._detectors[reading.view.place].learn(off):
            self.changes.append(Change(reading.t_s, reading.view.place, f"{off:.1f} standard deviations"))

    def act(self) -> Choice:
        """What to do now. No side effect."""
        return replace(self._act(), known=self.known())

    def worth(self, forecast: Forecast) -> float:
        """Nats that the electrons left would tell of laws and parameters, were conditions to go on as ``forecast``."""
        left = self.mission.electrons - self.spent
        allowed = self._allowed(left)
        if not allowed.any():
            return 0.0
        offers = self._in_bundles(self._offers(allowed, forecast)[0], left)
        later = replace(offers, room=np.append(0, offers.room[1:]))
        return sum(pick.nats for pick in plan(later, left, _MOST_PICKS))

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
        picks = plan(self._in_bundles(offers, left), left, _MOST_PICKS)
        now = picks[-1] if picks else None
        if self.spent < _PACE * self.mission.electrons * self.now_s / self.mission.horizon_s and (
            now is None or offers.slot[now.candidate] != 0
        ):
            picks = plan(replace(offers, room=np.where(np.arange(len(offers.room)) == 0, 1, 0)), left, 1)
            now = picks[-1] if picks else None
        if now is None or offers.slot[now.candidate] != 0:
            later = f"{len(picks)} looks are planned for later" if picks else "no look would tell anything"
            return Choice(None, 0, 0.0, 0.0, later)
        n, place = self._offered[index[now.candidate]]
        electrons, name = float(self._electrons[index[now.candidate]]), self.mission.looks[n].name
        return Choice(n, place, now.nats, electrons, self._why(name, place, now.nats, electrons, len(picks)))

    def _in_bundles(self, offers: Offers, left: float) -> Offers:
        """Later looks by so many at once that a plan of some picks spends all that is left."""
        many = max(int(np.ceil(left / (_MOST_PICKS * float(offers.cost.min())))), 1)
        later = offers.slot > 0
        noise = np.where(later[:, None] & (offers.noise < UNTOLD), offers.noise / many, offers.noise)
        cost = np.where(later, many * offers.cost, offers.cost)
        return replace(offers, noise=noise, cost=cost, room=np.append(offers.room[:1], offers.room[1:] // many))

    def _allowed(self, left: float) -> np.ndarray:
        widths = np.array([view.width_nm for view in self._views])
        fluence = self._electrons / (widths**2 * 100.0)
        taken = self.fluence_e_per_A2[[place for _, place in self._offered]]
        wanted = np.array([offer not in self._refused for offer in self._offered])
        return np.asarray(wanted & (self._electrons <= left) & (taken + fluence <= self.mission.max_fluence_e_per_A2))

    def _offers(self, allowed: np.ndarray, forecast: Forecast | None = None) -> tuple[Offers, list[int]]:
        """Every allowed look now and at some later times; and which offer each of a time is."""
        mission, chosen = self.mission, np.flatnonzero(allowed)
        views = [(self._views[n], self._channels[self._offered[n][0]]) for n in chosen]
        left_s = max(mission.horizon_s - self.now_s, mission.tick_s)
        ticks = max(int(left_s / mission.tick_s), 1)
        ahead = min(_AHEAD, max(ticks - 1, 0))
        sets = _drawn(self.filter, _SETS)
        weights = np.concatenate([np.full(len(each.values), each.probability / len(each.values)) for each in sets])
        moments, at_s = [[each.state] for each in sets], self.now_s
        for n in range(ahead):
            to_s = self.now_s + left_s * (n + 0.6) / ahead
            coming = (forecast or self._forecast)(at_s, to_s)
            for each, states in zip(sets, moments, strict=True):
                states.append(_lived(each, states[-1], coming))
            at_s = to_s
        slots = 1 + ahead
        every = [self._foretell(each, states, views) for each, states in zip(sets, moments, strict=True)]
        shows = np.concatenate([shows for shows, _ in every])
        weights = weights / weights.sum()
        noise = self._noise(np.tensordot(weights, shows, axes=1), chosen)
        told = np.flatnonzero(noise < UNTOLD)
        common = np.zeros((len(told), len(told)))
        for each, (_, effect) in zip(sets, every, strict=True):
            common += each.probability * self._common(each, effect[told])
        return Offers(
            foretold=shows.reshape(len(shows), -1, len(DESCRIPTORS)),
            weights=weights,
            common=common / sum(each.probability for each in sets),
            noise=noise.reshape(-1, len(DESCRIPTORS)),
            cost=np.tile(self._cost(chosen), slots),
            slot=np.repeat(np.arange(slots), len(chosen)),
            room=np.array([1] + [max(ticks // max(ahead, 1), 1)] * ahead),
        ), [int(n) for n in np.tile(chosen, slots)]

    def _foretell(self, each: Live, states: list[State], views: Sequence[tuple[View, str]]) -> tuple[Array, Array]:
        """Of T moments and C looks: what a law's sets show (P, T, C, descriptors), and effects (T·C·descriptors, M)."""
        every, times = len(each.values), len(states)
        some = slice(None, None, max(every // _CHANCE_SETS, 1))
        few, now = each.values[some], stacked(states)
        some_now = {name: column[:, some] for name, column in now.items()}
        groups = alike(each.law, [view for view, _ in views])
        unlike = [views[group[0]][0] for group in groups]
        chances = Chance.of(each.law, some_now, few, np.full(len(few), 1 / len(few)), unlike)
        layout = each.told.nuisance.layout
        shows = np.empty((every, times, len(views), len(DESCRIPTORS)))
        effects = np.empty((times, len(views), len(DESCRIPTORS), layout.count))
        for group, chance in zip(groups, chances, strict=True):
            view = views[group[0]][0]
            shows[:, :, group] = np.nan_to_num(shown(each.law.sizes(now, each.values, view), view)).swapaxes(0, 1)[
                :, :, None
            ]
            for n in group:
                effects[:, n] = layout.effect(*views[n], chance)
        effect = effects.reshape(-1, layout.count)
        return shows + (each.guesses @ effect.T).reshape(shows.shape), effect

    def _common(self, each: Live, effect: Array) -> Array:
        """(n, n) covariance of n numbers by what is left unknown of the common errors."""
        known = effect @ each.told.reach.T
        begun = effect * np.sqrt(each.told.nuisance.at(np.asarray(self.now_s)))
        return np.asarray(begun @ begun.T - known @ known.T)

    def _cost(self, chosen: np.ndarray) -> Array:
        """Electrons, and time as far as it runs out: a look that takes as much of both as there is costs twice."""
        mission = self.mission
        seconds = np.array([mission.looks[self._offered[n][0]].exposure.duration_s for n in chosen])
        return np.asarray(self._electrons[chosen] + seconds / mission.horizon_s * mission.electrons)

    def _noise(self, middle: Array, chosen: np.ndarray) -> Array:
        """(T·C·descriptors,) variances that are expected where the mean (T, C, descriptors) of what is foretold is."""
        found = np.full(middle.shape, UNTOLD)
        looks = np.array([self._offered[n][0] for n in chosen])
        for n in dict.fromkeys(looks.tolist()):
            look, mine = self.mission.looks[n], np.flatnonzero(looks == n)
            electrons = self.mission.electrons_of(look)
            variances = self.mission.sensors[look.signal].sds(look, electrons, middle[:, mine]) ** 2
            found[:, mine] = np.where(np.isfinite(variances), variances + self.mission.calibration.theory**2, UNTOLD)
        return found.reshape(-1)

    def _why(self, name: str, place: int, nats: float, electrons: float, picks: int) -> str:
        likely = sorted(zip(self.filter.probabilities(), self.filter.names, strict=True), reverse=True)[:2]
        laws = ", ".join(f"{law} {p:.2f}" for p, law in likely)
        return f"{name} at place {place}: {nats:.2f} nats for {electrons:.2g} e, number {picks} of the plan ({laws})"


def _lived(each: Live, state: State, coming: Sequence[tuple[float, Conditions]]) -> State:
    for duration_s, conditions in coming:
        state = each.law.advance(state, each.values, duration_s, conditions)
    return state


def _drawn(known: KineticFilter, count: int) -> list[Live]:
    """Of each law that is not out of the question some sets, drawn evenly by weight."""
    found = []
    for each in known.ensembles(_LIVE):
        n = max(round(count * each.probability), 8)
        kept = np.searchsorted(np.cumsum(each.weights), (np.arange(n) + 0.5) / n).clip(0, len(each.weights) - 1)
        state = {name: column[kept] for name, column in each.state.items()}
        found.append(replace(each, values=each.values[kept], state=state, white=each.white[kept]))
    return found
