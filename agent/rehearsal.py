"""Before the start: whether the dose that is allowed can tell the laws apart, by playing each of them through.

A law's parameters are drawn, the looks are taken in turn within the budget, and what they would tell is given to the
same filter that will judge the specimen. Nothing moves and nothing is exposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from envs.particles import Measured
from models.kinetics import shown, values_of
from models.kinetics_filter import KineticFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.tracking import Forecast
    from agent.tracking_mission import Mission
    from models.kinetics import Law

Ratio: TypeAlias = float

_TYPICAL = 1.0
"""Parameters are drawn within so many standard deviations of the middle."""
_SETS = 96
_WORTH_TOLD: Ratio = 0.8


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One law, played through."""

    law: str
    probability: Ratio
    """That the filter gave to it at the end, in the mean."""
    likeliest: str
    """The law that it was taken for most often where it was taken for another; empty: never."""
    looks: int
    """That the budget paid."""

    @property
    def told(self) -> bool:
        """Whether it would be told from the others."""
        return self.probability >= _WORTH_TOLD


def rehearse(mission: Mission, forecast: Forecast, plays: int = 2) -> Iterable[Rehearsed]:
    """Every law of the mission in turn."""
    for law in mission.laws:
        found, others, looks = [], [], 0
        for play in range(plays):
            known, looks = _play(mission, forecast, law, play)
            probabilities = known.probabilities()
            best = int(np.argmax(probabilities))
            found.append(float(probabilities[known.names.index(law.name)]))
            if known.names[best] != law.name:
                others.append(known.names[best])
        yield Rehearsed(law.name, float(np.mean(found)), max(others, key=others.count, default=""), looks)


def _play(mission: Mission, forecast: Forecast, law: Law, play: int) -> tuple[KineticFilter, int]:
    rng = np.random.default_rng([mission.seed, play, sum(map(ord, law.name))])
    values = values_of(law, np.clip(rng.standard_normal((1, len(law.parameters))), -_TYPICAL, _TYPICAL))
    places, widths_nm = len(mission.places_nm), [look.field_of_view_nm for look in mission.looks]
    known = KineticFilter(mission.laws, places, mission.horizon_s, mission.calibration, _SETS, play, widths_nm)
    state = law.start(values)
    order = _in_turn(mission)
    each = float(np.mean([mission.electrons_of(mission.looks[n]) for n, _ in order])) if order else np.inf
    count = min(int(mission.electrons / each), round(mission.horizon_s / mission.tick_s)) if order else 0
    for n in range(count):
        look_n, place = order[n % len(order)]
        look = mission.looks[look_n]
        electrons = mission.electrons_of(look)
        view = mission.view(look, place)
        truth = shown(law.sizes(state, values, view), view)[0]
        sds = mission.sensors[look.signal].sds(look, electrons, truth)
        told = np.where(np.isfinite(sds), truth + np.nan_to_num(sds) * rng.standard_normal(len(sds)), np.nan)
        measured = Measured(told, sds, 0, view.smallest_nm, view.volume_floor_nm)
        reading = mission.reading(look, place, known.time_s, measured)
        if reading.told.any():
            known.learn(reading)
        for duration_s, conditions in forecast(known.time_s, mission.horizon_s * (n + 1) / count):
            state = law.advance(state, values, duration_s, conditions)
            known.wait(duration_s, conditions)
    return known, count


def _in_turn(mission: Mission) -> list[tuple[int, int]]:
    """(look, place): of each signal the cheapest look, one place after another."""
    cheapest: dict[str, int] = {}
    for n, look in enumerate(mission.looks):
        best = cheapest.get(look.signal)
        if best is None or mission.electrons_of(look) < mission.electrons_of(mission.looks[best]):
            cheapest[look.signal] = n
    affordable = [n for n in cheapest.values() if mission.electrons_of(mission.looks[n]) <= mission.electrons]
    return [(n, place) for place in range(len(mission.places_nm)) for n in affordable]
