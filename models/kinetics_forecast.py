"""What the laws say of all of the time: courses with bands, and when half of a change is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from models.kinetics import NUMBER, VOLUME, WHOLE, Array, Conditions, View, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinetics import Law
    from models.kinetics_filter import KineticFilter

Ratio: TypeAlias = float

_STEPS = 60
_SETS = 96
_WIDE_nm = 1600.0


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, with the range in which it lies in 90 %."""

    low_s: float
    middle_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Course:
    """Descriptors as they go on in time."""

    times_s: Array
    low: Array
    """(T, descriptors)"""
    middle: Array
    high: Array


def courses(
    known: KineticFilter, law: str, view: View, coming: Sequence[tuple[float, Conditions]], steps: int = _STEPS
) -> tuple[Array, Array, Array]:
    """Times (T,), what sets of one law show (T, P, descriptors) from time 0 through a programme, and weights (P,)."""
    chosen, values, weights = _sets(known, law)
    total_s = sum(duration_s for duration_s, _ in coming)
    state, at_s = chosen.start(values), 0.0
    times, rows = [0.0], [shown(chosen.sizes(state, values, view), view)]
    for duration_s, conditions in coming:
        parts = max(round(steps * duration_s / total_s), 1)
        for _ in range(parts):
            state = chosen.advance(state, values, duration_s / parts, conditions)
            at_s += duration_s / parts
            times.append(at_s)
            rows.append(shown(chosen.sizes(state, values, view), view))
    return np.array(times), np.array(rows), weights


def course(known: KineticFilter, law: str, view: View, coming: Sequence[tuple[float, Conditions]]) -> Course:
    """The middle 90 % of what one law's sets show, without the errors of measuring."""
    times, rows, weights = courses(known, law, view, coming)
    low, middle, high = (_quantile(rows, weights, part) for part in (0.05, 0.5, 0.95))
    return Course(times, low, middle, high)


def half_time(known: KineticFilter, law: str, descriptor: int, coming: Sequence[tuple[float, Conditions]]) -> Moment:
    """When a descriptor of the whole specimen has done half of what it changes in the time of the programme."""
    return when_done(known, law, descriptor, coming, (0.5,))[0]


def when_done(
    known: KineticFilter,
    law: str,
    descriptor: int,
    coming: Sequence[tuple[float, Conditions]],
    parts: Sequence[Ratio],
) -> list[Moment]:
    """When a descriptor of the whole specimen has done these parts of what it changes in the time of the programme."""
    times, rows, weights = courses(known, law, View(WHOLE, 0.0, _WIDE_nm), coming)
    values = rows[:, :, descriptor]
    if descriptor in (NUMBER, VOLUME):
        values = np.exp(values)
    change = values[-1] - values[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        done = np.where(change != 0, (values - values[0]) / change, 0.0)
    found = []
    for part in parts:
        at_s = np.where((done >= part).any(axis=0), _between(times, done, part), times[-1])
        order = np.argsort(at_s)
        sums = np.cumsum(weights[order]) - weights[order] / 2
        low, middle, high = (float(np.interp(p, sums, at_s[order])) for p in (0.05, 0.5, 0.95))
        found.append(Moment(low, middle, high))
    return found


def _between(times: Array, done: Array, part: Ratio) -> Array:
    """(P,) when a part was done first."""
    first, columns = np.argmax(done >= part, axis=0), np.arange(done.shape[1])
    before = np.maximum(first - 1, 0)
    a, b = done[before, columns], done[first, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(b != a, (part - a) / (b - a), 0.0)
    return np.asarray(times[before] + np.clip(share, 0, 1) * (times[first] - times[before]))


def _sets(known: KineticFilter, law: str) -> tuple[Law, Array, Array]:
    each = next(each for each in known.ensembles(0.0) if each.law.name == law)
    kept = np.searchsorted(np.cumsum(each.weights), (np.arange(_SETS) + 0.5) / _SETS).clip(0, len(each.weights) - 1)
    return each.law, each.values[kept], np.full(_SETS, 1 / _SETS)


def _quantile(rows: Array, weights: Array, part: float) -> Array:
    del weights  # sets are drawn evenly by weight
    return np.asarray(np.quantile(rows, part, axis=1))
