"""What a policy knew at the end of a run, against the world's truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tracking_draws import HORIZON_S, Array
from models.kinetics import NUMBER, VOLUME
from models.kinetics_forecast import half_time

if TYPE_CHECKING:
    from benchmarks.tracking_runs import Run
    from benchmarks.tracking_worlds import World
    from models.kinetics_nuisance import Reading


def judge(world: World, run: Run) -> dict[str, float]:
    """What was right at the end."""
    known = run.tracker.filter
    probabilities = known.probabilities()
    found: dict[str, float] = {
        "none": float(run.tracker.none_of_these),
        "electrons": run.tracker.spent,
        "looks": float(len(run.looks)),
        "spectra": float(np.mean([reading.channel == "spectra" for reading in run.readings])),
        "latency_ms": 1e3 * float(np.median(np.array(run.latency_s)[run.read] if any(run.read) else [0.0])),
        "latency_all_ms": 1e3 * float(np.median(run.latency_s)),
        "right": float(world.law is not None and known.names[int(np.argmax(probabilities))] == world.law),
        "probability": float(probabilities[known.names.index(world.law)]) if world.law is not None else 0.0,
    }
    if world.law is None:
        return found
    law = next(law for law in known.laws if law.name == world.law)
    widths = {parameter.name: parameter for parameter in law.parameters}
    errors, covered = [], []
    for each in known.estimates(world.law):
        if each.name not in world.truth:
            continue
        truth, prior = world.truth[each.name], widths[each.name]
        off = np.log(each.mean / truth) if prior.log else each.mean - truth
        errors.append(float(off) / prior.width)
        covered.append(each.low <= truth <= each.high)
    found["error"] = float(np.sqrt(np.mean(np.square(errors))))
    found["covered"] = float(np.sum(covered))
    found["parameters"] = float(len(covered))
    told = half_time(known, world.law, world.main, world.coming(0.0, HORIZON_S))
    truth_s = true_half_time(world)
    found["half_s"] = abs(told.middle_s - truth_s)
    found["half_plain_s"] = abs(plain_half_time(run.readings, world.main) - truth_s)
    found["half_covered"] = float(told.low_s <= truth_s <= told.high_s)
    return found


def plain_half_time(readings: list[Reading], main: int) -> float:
    """From readings alone: joined by straight lines at each place, in the mean over places."""
    times, courses = np.linspace(0.0, HORIZON_S, 121), []
    for place in sorted({reading.view.place for reading in readings}):
        told = [(r.t_s, r.values[main]) for r in readings if r.view.place == place and r.told[main]]
        if told:
            at_s, values = np.array(told).T
            courses.append(np.interp(times, at_s, np.exp(values) if main in (NUMBER, VOLUME) else values))
    return crossing(times, np.mean(courses, axis=0)) if courses else HORIZON_S / 2


def true_half_time(world: World) -> float:
    """When the main descriptor of everything in reach has done half of its change within the horizon."""
    times = np.linspace(0.0, HORIZON_S, 121)
    values = []
    for t_s in times:
        radii, fraction = world.particles((-800.0, 800.0), (-800.0, 800.0), float(t_s))
        cubes = float((radii**3).sum())
        match world.main:
            case 0:
                values.append(float((radii > 0).sum()))
            case 3:
                values.append(cubes)
            case _:
                values.append(float((fraction * radii**3).sum()) / max(cubes, 1e-12))
    return crossing(times, np.array(values))


def crossing(times: Array, values: Array) -> float:
    """First time at which half of the whole change is done."""
    done = (values - values[0]) / (values[-1] - values[0]) if values[-1] != values[0] else np.zeros(len(values))
    n = int(np.argmax(done >= 0.5))
    if n == 0:
        return float(times[-1])
    part = (0.5 - done[n - 1]) / (done[n] - done[n - 1])
    return float(times[n - 1] + part * (times[n] - times[n - 1]))
