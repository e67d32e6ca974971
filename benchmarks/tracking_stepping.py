"""What stepping the holder is worth: how well the activation energy of an annealing is known at the end.

    python -m benchmarks.tracking_stepping              about 10 minutes of a core
    python -m benchmarks.tracking_stepping --quick

Defects that anneal out one by one (kinetic Monte Carlo: every one waits for its own escape, under whatever heat it
had; a part is pinned), three places, images and loss spectra that are not rendered but drawn with the noise that the
sensors state, 4·10⁸ electrons in 600 s. held: at 730 K. programme: 700, 730, 760 K, by thirds of the time. stepped:
from 730 K, by 20 K at most once a minute, between 650 and 810 K, where the looks that are left would tell 0.5 nats
more. All have the same filter, the same agent for the looks, and the same specimen. sd: of the posterior. off by: of
its middle; worlds are drawn about the middle of the prior, so that an energy of which nothing was learned is off by
little. covered: of 90 % intervals. Intervals: 95 %, bootstrap over worlds.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from agent.stepping import Stepper, Steps
from agent.tracking import Tracker
from benchmarks.common import arguments, print_table, write
from benchmarks.tracking_draws import (
    BOLTZMANN_EV_PER_K,
    HORIZON_S,
    STEPS_K,
    T0_K,
    Array,
    Range,
    inside,
    log_normal,
    scattered,
)
from benchmarks.tracking_judge import told_mean
from benchmarks.tracking_runs import LOOKS, TICK_S, Seen, drawn_wrong, mission_of
from benchmarks.tracking_worlds import PLACES_NM, World
from envs.track_standards import standards
from envs.track_worlds import copper
from models.kinetics import NUMBER, Expected
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.tracked import Sensor

LAW, ENERGY = "defect annealing, first order", "activation_eV"
METHODS = ("held", "programme", "stepped")
STEPS = Steps(
    condition="temperature_K",
    values=[650.0 + 20.0 * n for n in range(9)],
    step=20.0,
    every_s=60.0,
    least_nats=0.5,
)
ELECTRONS = 4e8


@dataclass
class Defects:
    """Particles that wait for their escape, in time at T0."""

    x: Array
    y: Array
    radius: Array
    waits: Array
    energy_eV: float
    heated_s: float = 0.0
    """What has passed, in time at T0."""

    def wait(self, duration_s: float, kelvin: float) -> None:
        self.heated_s += duration_s * float(np.exp(-self.energy_eV / BOLTZMANN_EV_PER_K * (1 / kelvin - 1 / T0_K)))

    def particles(self, xs: Range, ys: Range, t_s: float) -> tuple[Array, Array]:
        del t_s  # now
        there = inside(self.x, self.y, xs, ys) & (self.waits > self.heated_s)
        return self.radius[there], np.zeros(int(there.sum()))


@dataclass
class Heater:
    """What it is ordered to be, from one moment to the next."""

    kelvin: float
    orders: list[tuple[float, float]] = field(default_factory=list)

    def coming(self, from_s: float, to_s: float) -> list[tuple[float, dict[str, float]]]:
        return held({"temperature_K": self.kelvin}, from_s, to_s)


def held(conditions: Mapping[str, float], from_s: float, to_s: float) -> list[tuple[float, dict[str, float]]]:
    return [(to_s - from_s, dict(conditions))] if to_s > from_s else []


def programmed(from_s: float, to_s: float) -> list[tuple[float, dict[str, float]]]:
    edges = sorted({from_s, to_s, *(s for s, _ in STEPS_K if from_s < s < to_s)})
    found = []
    for a, b in itertools.pairwise(edges):
        found.append((b - a, {"temperature_K": next(k for s, k in reversed(STEPS_K) if s <= a + 1e-9)}))
    return found


def defects(seed: int) -> tuple[Defects, dict[str, float]]:
    rng = np.random.default_rng([seed, 4711])
    rate, energy = log_normal(rng, 1.5 / HORIZON_S, 0.3), float(rng.normal(1.5, 0.25))
    stays = float(rng.uniform(0.08, 0.25))
    x, y, radius = scattered(rng, log_normal(rng, 450.0, 0.2), log_normal(rng, 7.0, 0.15))
    waits = np.where(rng.random(len(x)) < stays, np.inf, rng.exponential(1 / rate, len(x)))
    return Defects(x, y, radius, waits, energy), {"rate_per_s": rate, ENERGY: energy}


def one(method: str, seed: int, sensors: Mapping[str, Sensor]) -> dict[str, Any]:
    there, truth = defects(seed)
    expected = Expected(horizon_s=HORIZON_S, span_nm=2000.0, places_nm=PLACES_NM, temperature_K=T0_K)
    world = World("annealing", LAW, truth, there.particles, NUMBER, expected)
    mission = mission_of(world, {"copper": dict(sensors)}, ELECTRONS, seed)
    heater = Heater(STEPS_K[0][1] if method == "programme" else T0_K)
    tracker = Tracker(mission, programmed if method == "programme" else heater.coming)
    agent = tracker if method != "stepped" else Stepper(tracker, STEPS, lambda found: partial(held, found))
    seen = Seen(world, mission, drawn_wrong(seed), np.random.default_rng([seed, 79]))
    for _ in range(round(HORIZON_S / TICK_S)):
        choice = agent.act()
        if choice.order is not None:
            heater.kelvin = choice.order.value
            heater.orders.append((tracker.now_s, heater.kelvin))
        elif choice.look is not None and tracker.spent + choice.electrons <= mission.electrons * (1 + 1e-9):
            look = mission.looks[choice.look]
            measured = seen.take(look, choice.place, tracker.now_s)
            agent.observe(mission.reading(look, choice.place, tracker.now_s, measured))
        now_s = tracker.now_s
        if method == "programme":
            heater.kelvin = programmed(now_s, now_s + TICK_S)[0][1]["temperature_K"]
        there.wait(TICK_S, heater.kelvin)
        agent.wait(TICK_S, {"temperature_K": heater.kelvin})
    tracker.settle()
    known = tracker.filter
    told = {each.name: each for each in known.estimates(LAW)}
    energy = told[ENERGY]
    return {
        "sd": energy.log_sd,
        "off": abs(energy.mean - truth[ENERGY]),
        "covered": energy.low <= truth[ENERGY] <= energy.high,
        "rate_off": abs(float(np.log(told["rate_per_s"].mean / truth["rate_per_s"]))),
        "right": known.names[int(np.argmax(known.probabilities()))] == LAW,
        "none": tracker.none_of_these,
        "orders": len(heater.orders),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=300, help="seed; from 1000 on they are for tuning")
    options = parser.parse_args()
    sensors = standards(copper("front"), LOOKS)
    seeds = range(options.first, options.first + (1 if options.quick else options.seeds))
    found = {(m, s): one(m, s, sensors) for s in track(seeds, "following", transient=True) for m in METHODS}
    rows = []
    for method in METHODS:
        mine = [found[method, seed] for seed in seeds]
        rows.append(
            {
                "holder": method,
                "worlds": len(mine),
                "sd, eV": told_mean([each["sd"] for each in mine]),
                "off by, eV": told_mean([each["off"] for each in mine]),
                "covered": sum(each["covered"] for each in mine),
                "ln rate off": told_mean([each["rate_off"] for each in mine]),
                "right law": sum(each["right"] for each in mine),
                "none of these": sum(each["none"] for each in mine),
                "orders": float(np.mean([each["orders"] for each in mine])),
            }
        )
    print_table(rows, title="Activation energy of annealing" + (" (quick: not a result)" if options.quick else ""))
    for other in METHODS[:2]:
        for key in ("sd", "off"):
            logs = np.array([np.log(found["stepped", s][key] / found[other, s][key]) for s in seeds])
            if len(logs) > 1:
                mean, low, high = np.exp(interval(logs))
                print(f"{key}, stepped over {other}: {mean:.2f} ({low:.2f}–{high:.2f})")
    write(rows, options, title="tracking stepping")


if __name__ == "__main__":
    main()
