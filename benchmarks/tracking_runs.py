"""One followed process on particles that are not rendered: what a policy looked at, and what was known at its end.

Readings are what a look would show of the particles in view, with noise of the size that the sensor states, and the
world's own errors of pixel size and gain: held against rendered frames by ``--only calibration``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agent.tracking import Tracker
from agent.tracking_mission import Choice, Mission
from benchmarks.tracking_draws import HORIZON_S, Array
from benchmarks.tracking_exchange import exchange_sensors
from benchmarks.tracking_worlds import PLACES_NM, World
from envs.particles import Measured
from envs.track_standards import standards
from envs.track_worlds import copper
from envs.tracked import TrackLook
from models.changes import Steady
from models.kinetics import Sizes, shown
from models.kinetics_laws import all_laws
from models.kinetics_nuisance import CHANNELS, Calibration, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envs.tracked import Sensor
    from models.kinetics import View

Ratio: TypeAlias = float

LOOKS = (
    TrackLook(name="quick image", signal="HAADF", field_of_view_nm=400.0, pixels=128, dwell_us=1.0),
    TrackLook(name="image", signal="HAADF", field_of_view_nm=400.0, pixels=256, dwell_us=1.0),
    TrackLook(name="wide image", signal="HAADF", field_of_view_nm=600.0, pixels=256, dwell_us=2.0),
    TrackLook(name="loss spectra", signal="EELS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0),
    TrackLook(name="X-ray spectra", signal="EDS", field_of_view_nm=400.0, pixels=16, dwell_us=250.0),
)
QUICK, IMAGE, WIDE, LOSS, XRAY = range(len(LOOKS))
CURRENT_PA = 50.0
TICK_S = 7.5
CALIBRATION = Calibration()
SETS = 96


@dataclass(frozen=True)
class Wrong:
    """What is wrong with an instrument: logarithms of pixel size, and of the gain of each channel."""

    pixel: float
    gains: tuple[float, ...]


def drawn_wrong(seed: int) -> Wrong:
    rng = np.random.default_rng([seed, 77])
    pixel = CALIBRATION.pixel_size * rng.standard_normal()
    return Wrong(float(pixel), tuple(float(CALIBRATION.gain * z) for z in rng.standard_normal(len(CHANNELS))))


def ten_percent(seed: int) -> Wrong:
    rng = np.random.default_rng([seed, 78])
    signs = rng.choice((-1.0, 1.0), 1 + len(CHANNELS)) * np.log(1.1)
    return Wrong(float(signs[0]), tuple(float(s) for s in signs[1:]))


def as_shown(radii: Array, fraction: Array, view: View) -> Array:
    """(descriptors,) of these particles (N,) in a view, without noise."""
    if not len(radii):
        radii, fraction = np.zeros(1), np.zeros(1)
    cubes = radii**3
    part = float((fraction * cubes).sum() / max(cubes.sum(), 1e-12))
    number = float((radii > 0).sum()) / view.area_um2
    sizes = Sizes(np.array([number]), radii[None], np.full(len(radii), 1 / len(radii)), np.array([part]))
    return np.asarray(shown(sizes, view)[0])


@dataclass
class Seen:
    """What the microscope would tell of a world."""

    world: World
    mission: Mission
    wrong: Wrong
    rng: np.random.Generator

    def truth(self, look: TrackLook, place: int, t_s: float) -> Array:
        """(descriptors,) of the particles in view, as the look would show them without noise."""
        x, y = self.mission.places_nm[place]
        half = look.field_of_view_nm / 2
        radii, fraction = self.world.particles((x - half, x + half), (y - half, y + half), t_s)
        return as_shown(radii, fraction, self.mission.view(look, place))

    def take(self, look: TrackLook, place: int, t_s: float) -> Measured:
        sensor: Sensor = self.mission.sensors[look.signal]
        electrons = self.mission.electrons_of(look)
        truth = self.truth(look, place, t_s)
        sds = sensor.sds(look, electrons, truth)
        sight = sensor.sight(look, electrons)
        off = np.zeros(len(truth))
        off[0], off[1] = -2 * self.wrong.pixel, self.wrong.pixel
        off[3] = self.wrong.gains[CHANNELS.index(sight.channel)]
        values = np.where(np.isfinite(sds), truth + off + np.nan_to_num(sds) * self.rng.standard_normal(5), np.nan)
        return Measured(values, sds, 0, sight.smallest_nm, sight.volume_floor_nm)


Policy: TypeAlias = "Callable[[Tracker, int, list[Reading]], Choice]"


@dataclass
class Run:
    """One world, one policy."""

    tracker: Tracker
    looks: list[tuple[float, str, int]] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    """Of the processor, for each tick: a choice, and what a reading changes where there was one."""
    read: list[bool] = field(default_factory=list)
    """Of each tick, whether there was one."""
    readings: list[Reading] = field(default_factory=list)


def all_sensors() -> dict[str, dict[str, Sensor]]:
    """By specimen."""
    return {"copper": standards(copper("front"), LOOKS), "nickel": exchange_sensors(LOOKS)}


def mission_of(
    world: World, sensors: Mapping[str, dict[str, Sensor]], electrons: float, seed: int, oracle: bool = False
) -> Mission:
    """``oracle``: told the right law."""
    laws = [law for law in all_laws(world.expected) if not oracle or law.name == world.law]
    return Mission(
        laws=laws,
        looks=LOOKS,
        sensors=sensors[world.specimen],
        places_nm=PLACES_NM,
        current_pA=CURRENT_PA,
        electrons=electrons,
        horizon_s=HORIZON_S,
        tick_s=TICK_S,
        calibration=CALIBRATION,
        sets=SETS,
        seed=seed,
    )


def follow(world: World, mission: Mission, policy: Policy, wrong: Wrong, seed: int) -> Run:
    tracker = Tracker(mission, world.coming)
    run = Run(tracker)
    seen = Seen(world, mission, wrong, np.random.default_rng([seed, 79]))
    for tick in range(round(HORIZON_S / TICK_S)):
        began_s, rendered_s = time.process_time(), 0.0
        choice = policy(tracker, tick, run.readings)
        if choice.look is not None and tracker.spent + choice.electrons <= mission.electrons * (1 + 1e-9):
            look, taken_s = mission.looks[choice.look], time.process_time()
            measured = seen.take(look, choice.place, tracker.now_s)
            rendered_s = time.process_time() - taken_s
            reading = mission.reading(look, choice.place, tracker.now_s, measured)
            tracker.observe(reading)
            run.readings.append(reading)
            run.looks.append((tracker.now_s, look.name, choice.place))
        run.latency_s.append(time.process_time() - began_s - rendered_s)
        run.read.append(rendered_s > 0)
        tracker.settle()
        t_s = tick * TICK_S
        for duration_s, conditions in world.coming(t_s, t_s + TICK_S):
            tracker.wait(duration_s, conditions)
    return run


def _chosen(tracker: Tracker, look: int, place: int, why: str) -> Choice:
    return Choice(look, place, 0.0, tracker.mission.electrons_of(tracker.mission.looks[look]), why)


_NOTHING = Choice(None, 0, 0.0, 0.0, "not yet")


def agent(tracker: Tracker, tick: int, readings: list[Reading]) -> Choice:
    del tick, readings
    return tracker.act()


def in_turn(*looks: int, places: tuple[int, ...] = (0, 1, 2), mixed: bool = False) -> Policy:
    """Evenly over the time, one look after another, so that the budget lasts.

    ``mixed``: the next look is at the next place; else all looks are taken at a place before the next.
    """

    def policy(tracker: Tracker, tick: int, readings: list[Reading]) -> Choice:
        mission = tracker.mission
        each = float(np.mean([mission.electrons_of(mission.looks[n]) for n in looks]))
        count = max(int(mission.electrons / each * (1 + 1e-9)), 1)
        due = len(readings) * HORIZON_S / count
        if tick * TICK_S + 1e-9 < due or len(readings) >= count:
            return _NOTHING
        n = len(readings)
        place = places[(n if mixed else n // len(looks)) % len(places)]
        return _chosen(tracker, looks[n % len(looks)], place, "in turn")

    return policy


def triggered() -> Policy:
    """Images of one place, slowly; after a change of number, size or volume, at a rate of false alarms of 5 %, four
    times as fast for a tenth of the time.
    """
    steady: dict[int, Steady] = {}
    state = {"fast_until": -1.0, "seen": 0, "last": -1e9}

    def policy(tracker: Tracker, tick: int, readings: list[Reading]) -> Choice:
        mission, t_s = tracker.mission, tick * TICK_S
        for reading in readings[int(state["seen"]) :]:
            for n in (0, 1, 3):
                if np.isfinite(reading.values[n]):
                    watch = steady.setdefault(n, Steady(60, 0.05 / 3))
                    if watch.learn(float(reading.values[n]), float(reading.sds[n])):
                        state["fast_until"] = t_s + 0.1 * HORIZON_S
        state["seen"] = len(readings)
        count = mission.electrons / mission.electrons_of(mission.looks[IMAGE])
        slow_s = 2 * HORIZON_S / count
        every_s = slow_s / 4 if t_s < state["fast_until"] else slow_s
        if t_s - state["last"] < every_s - 1e-9:
            return _NOTHING
        state["last"] = t_s
        return _chosen(tracker, IMAGE, 0, "triggered")

    return policy


def without_theory(tracker: Tracker, tick: int, readings: list[Reading]) -> Choice:
    """Where trends know least of what a look tells, for its electrons; evenly over the time."""
    mission = tracker.mission
    if tracker.spent > mission.electrons * (tick + 1) * TICK_S / HORIZON_S or tracker.spent >= mission.electrons:
        return _NOTHING
    best, chosen = -1.0, _NOTHING
    for n, look in enumerate(mission.looks):
        electrons = mission.electrons_of(look)
        if tracker.spent + electrons > mission.electrons:
            continue
        for place in range(len(mission.places_nm)):
            mean, variance = tracker.trend.foretell(place, tracker.now_s)
            sds = mission.sensors[look.signal].sds(look, electrons, mean)
            told = np.isfinite(sds)
            nats = 0.5 * float(np.log1p(variance[told] / sds[told] ** 2).sum())
            if nats / electrons > best:
                best, chosen = nats / electrons, _chosen(tracker, n, place, "where trends know least")
    return chosen


def only(mission: Mission, *signals: str) -> Mission:
    """The same with some signals alone."""
    return replace(mission, looks=tuple(look for look in LOOKS if look.signal in signals))
