"""What a policy knew at the end of a run, against the world's truth."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.linalg import solve_triangular
from scipy.stats import binomtest

from benchmarks.tracking_draws import HORIZON_S, Array
from models.kinetics import NUMBER, VOLUME
from models.kinetics_forecast import when_done
from models.kinetics_nuisance import Calibration
from training.evaluate import interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.tracking_runs import Run
    from benchmarks.tracking_worlds import World
    from models.kinetics_filter import KineticFilter
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float

EVENTS: tuple[Ratio, ...] = (0.1, 0.5, 0.9)
"""Parts of the change: it has begun, half of it is done, and it is nearly over."""
_FEWEST = 4
_GAIN = Calibration().gain


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
    found["error"], covered = off_by(known, world.law, world.truth)
    found["covered"], found["parameters"] = float(np.sum(covered)), float(len(covered))
    told = when_done(known, world.law, world.main, world.coming(0.0, HORIZON_S), EVENTS)
    truths_s, free_s = true_events(world), free_events(run.readings, world.main)
    holds = [moment.low_s <= truth_s <= moment.high_s for moment, truth_s in zip(told, truths_s, strict=True)]
    found["half_s"], found["half_covered"] = abs(told[1].middle_s - truths_s[1]), float(holds[1])
    found["events_s"] = float(np.mean(np.abs([moment.middle_s for moment in told] - truths_s)))
    found["events_free_s"] = float(np.mean(np.abs(free_s - truths_s)))
    found["events_covered"] = float(np.sum(holds))
    return found


def off_by(known: KineticFilter, law: str, truth: Mapping[str, float]) -> tuple[float, list[bool]]:
    """Root mean square error of a process's parameters, in widths of their priors; whether each interval holds."""
    widths = {p.name: p for each in known.laws if each.name == law for p in each.parameters}
    errors, covered = [], []
    for each in known.estimates(law):
        if each.name not in truth:
            continue
        true, prior = truth[each.name], widths[each.name]
        off = np.log(each.mean / true) if prior.log else each.mean - true
        errors.append(float(off) / prior.width)
        covered.append(each.low <= true <= each.high)
    return float(np.sqrt(np.mean(np.square(errors)))), covered


def free_events(readings: Sequence[Reading], main: int) -> Array:
    """(EVENTS,) from readings alone, without any law: a smooth course at each place, in the mean over places.

    Courses are Gaussian processes, in part common to all places, in part their own; how smooth they are, how far they
    go and how much is common is what makes the readings likeliest (Rasmussen & Williams, 2006, ch. 5).
    """
    told = [r for r in readings if r.told[main]]
    if len(told) < _FEWEST:
        return np.full(len(EVENTS), HORIZON_S / 2)
    at_s, values = np.array([(r.t_s, r.values[main]) for r in told]).T
    place = np.array([r.view.place for r in told])
    other = np.array([r.channel != "image" for r in told])
    noise = np.diag([r.sds[main] ** 2 for r in told])
    if main == VOLUME:  # each channel has its own gain
        noise = noise + _GAIN**2 * np.outer(other, other)
    mean, best, course = values.mean(), -np.inf, values
    size = max(float(values.std()), 1e-3)
    times, places = np.linspace(0.0, HORIZON_S, 121), sorted(set(place.tolist()))
    for smooth in itertools.product((40.0, 80.0, 160.0, 320.0), (size, 2 * size, 4 * size), (0.0, 0.5, 0.9)):
        lower = np.linalg.cholesky(_alike(at_s, at_s, place[:, None] == place, *smooth) + noise)
        white = solve_triangular(lower, values - mean, lower=True)
        likely = -0.5 * float(white @ white) - float(np.log(np.diag(lower)).sum())
        if likely > best:
            weights = solve_triangular(lower.T, white)
            each = [_alike(times, at_s, place[None, :] == n, *smooth) @ weights for n in places]
            best, course = likely, mean + np.array(each)
    return crossings(times, np.mean(np.exp(course) if main in (NUMBER, VOLUME) else course, axis=0))


def _alike(t_s: Array, at_s: Array, there: Array, length_s: float, sd: float, common: Ratio) -> Array:
    """Covariances of courses at times (N,) and (M,), at one place where ``there`` (N, M)."""
    near = np.exp(-0.5 * ((t_s[:, None] - at_s) / length_s) ** 2)
    return np.asarray(sd**2 * near * (common + (1 - common) * there))


def true_events(world: World) -> Array:
    """(EVENTS,) when the main descriptor of everything in reach has done these parts of its change in the horizon."""
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
    return crossings(times, np.array(values))


def crossings(times: Array, values: Array) -> Array:
    """(EVENTS,) first times at which these parts of the whole change are done."""
    done = (values - values[0]) / (values[-1] - values[0]) if values[-1] != values[0] else np.zeros(len(values))
    return np.array([_crossing(times, done, part) for part in EVENTS])


def _crossing(times: Array, done: Array, part: Ratio) -> float:
    n = int(np.argmax(done >= part))
    if n == 0:
        return float(times[-1])
    share = (part - done[n - 1]) / (done[n] - done[n - 1])
    return float(times[n - 1] + share * (times[n] - times[n - 1]))


def share_of(part: float, of: float) -> str:
    """With an exact 95 % interval (Clopper & Pearson, Biometrika 26, 404 (1934))."""
    if not of:
        return "–"
    low, high = binomtest(round(part), round(of)).proportion_ci()
    return f"{part:.0f} of {of:.0f} ({low:.2f}–{high:.2f})"


def told_mean(values: Sequence[float], form: str = ".3g") -> str:
    """With a 95 % interval, bootstrapped over worlds; of a single one, the value."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    mean, low, high = interval(np.array(values))
    return f"{mean:{form}} ({low:{form}}–{high:{form}})"
