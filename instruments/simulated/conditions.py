"""A holder's conditions (temperature, bias, concentration): what was set, what is true, what its sensor says.

The set-point runs to its target at the ramp rate; the truth y follows the ramp u by a first-order lag, τ y′ = u − y.
Both are closed forms between set-points, so nothing is stepped and any time costs the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import ndtri

from configs.settings import unknown
from instruments.errors import LimitError, NotSupported
from instruments.simulated.hashing import Doubles, uniform
from instruments.simulated.holders import Amount, ConditionSettings, HolderSettings, unit_of
from instruments.types import Outcome, Reading

_NOISE, _OFFSET, _DROPOUT = 501, 502, 503
_SETTLED_LAGS = 40.0
"""After so many time constants the rest of the lag (e⁻⁴⁰) is below the last digit of a float64."""
_LAG_EDGES = np.concatenate([np.arange(0, 4, 0.125), [4, 4.5, 5, 6, 7, 8, 10, 12, 16, 20, 28, _SETTLED_LAGS]])
_RAMP_EDGES = 64
"""A ramp over the whole range is cut into so many panels."""


@dataclass(frozen=True, slots=True)
class SetPoint:
    """One order: from ``t_s`` on, go to ``value``."""

    name: str
    value: Amount
    """In the unit of the name."""
    t_s: float


@dataclass(frozen=True, slots=True)
class LogRow:
    """What the holder wrote down at one time, by condition."""

    t_s: float
    readings: Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class _Leg:
    """A stretch on which the set-point is a straight line; ``edges_s`` cut it where the truth bends."""

    start_s: float
    truth: float
    ordered: float
    slope: float
    edges_s: Doubles


@dataclass(slots=True)
class _Track:
    """The legs of one condition, also as columns (start, truth, ordered, slope) for fast look-up."""

    settings: ConditionSettings
    legs: list[_Leg] = field(default_factory=list)
    columns: Doubles = field(default_factory=lambda: np.empty((4, 0)))

    def add(self, *legs: _Leg) -> None:
        self.legs = [leg for leg in self.legs if leg.start_s < legs[0].start_s] + list(legs)
        self.columns = np.array([(leg.start_s, leg.truth, leg.ordered, leg.slope) for leg in self.legs]).T

    def ordered_at(self, times_s: Doubles) -> Doubles:
        start, _, ordered, slope = self._legs_at(times_s)
        return np.asarray(ordered + slope * (times_s - start))

    def truth_at(self, times_s: Doubles) -> Doubles:
        start, truth, ordered, slope = self._legs_at(times_s)
        lag, since = self.settings.lag_s, times_s - start
        if lag == 0:
            return np.asarray(ordered + slope * since)
        return np.asarray(ordered + slope * (since - lag) + (truth - ordered + slope * lag) * np.exp(-since / lag))

    def _legs_at(self, times_s: Doubles) -> Doubles:
        found: Doubles = self.columns[:, np.searchsorted(self.columns[0], times_s, side="right") - 1]
        return found

    def order(self, value: float, t_s: float) -> None:
        """Turn to a new target at a time no earlier than the last order; on its way there already, nothing changes."""
        if value == self.legs[-1].ordered:
            return
        settings, now = self.settings, np.array([t_s])
        ordered, truth = (float(at(now)[0]) for at in (self.ordered_at, self.truth_at))
        if settings.ramp_per_s is None or value == ordered:
            self.add(self._leg(t_s, truth if settings.lag_s else value, value, 0.0, t_s))
            return
        end_s = t_s + abs(value - ordered) / settings.ramp_per_s
        slope = math.copysign(settings.ramp_per_s, value - ordered)
        self.add(self._leg(t_s, truth, ordered, slope, end_s))
        self.add(self._leg(end_s, float(self.truth_at(np.array([end_s]))[0]), value, 0.0, end_s))

    def _leg(self, start_s: float, truth: float, ordered: float, slope: float, end_s: float) -> _Leg:
        edges = start_s + (_LAG_EDGES if self.settings.lag_s else _LAG_EDGES[:1]) * self.settings.lag_s
        if slope:
            step_s = (self.settings.highest - self.settings.lowest) / _RAMP_EDGES / abs(slope)
            edges = np.union1d(edges, np.arange(start_s, end_s, step_s))
        return _Leg(start_s, truth, ordered, slope, edges)


class Conditions:
    """The history of a holder's conditions: append-only, and all that is true or read follows from it and the seed."""

    def __init__(self, settings: HolderSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._begin()

    def _begin(self) -> None:
        self._set: list[SetPoint] = []
        self._tracks = {name: _Track(chosen) for name, chosen in self._settings.conditions.items()}
        for track in self._tracks.values():
            track.add(_Leg(0.0, track.settings.start, track.settings.start, 0.0, np.zeros(1)))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tracks)

    @property
    def history(self) -> tuple[SetPoint, ...]:
        """Every order so far, oldest first."""
        return tuple(self._set)

    @property
    def version(self) -> int:
        """Grows with every order: what was worked out from an older one may be out of date."""
        return len(self._set)

    def set(self, name: str, value: Amount, t_s: float) -> Outcome[Amount]:
        """Order a value from ``t_s`` on. What is achieved is the truth at that moment, before the ramp.

        Raises:
            NotSupported: the holder has no such condition.
            LimitError: not finite, out of range, or before the last order.
        """
        track = self._track(name)
        limits = track.settings
        if not math.isfinite(value) or not limits.lowest <= value <= limits.highest:
            raise LimitError(
                f"{name}: {value} was asked, allowed is {limits.lowest} … {limits.highest}; nothing was set"
            )
        refuse_time(t_s)
        if self._set and t_s < self._set[-1].t_s:
            raise LimitError(
                f"{name}: an order at {t_s} s would change the past, the last was at {self._set[-1].t_s} s; "
                "give a later time"
            )
        self._set.append(SetPoint(name, float(value), float(t_s)))
        track.order(float(value), float(t_s))
        return Outcome(requested=value, achieved=self.at(name, t_s))

    def at(self, name: str, t_s: float) -> Amount:
        """The true value at a time. Raises as ``set`` does."""
        refuse_time(t_s)
        return float(self._track(name).truth_at(np.array([t_s]))[0])

    def along(self, name: str, times_s: Doubles) -> Doubles:
        """The true values at many times (N,), none of them before 0."""
        return self._track(name).truth_at(times_s)

    def drift_nm(self, t_s: float) -> float:
        """How far the holder has grown along its axis since the world began."""
        grown = ((track.settings, name) for name, track in self._tracks.items() if track.settings.drift_nm_per_unit)
        return sum(chosen.drift_nm_per_unit * (self.at(name, t_s) - chosen.start) for chosen, name in grown)

    def set_point(self, name: str, t_s: float) -> Amount:
        """Where the ramp stands: what the controller aims at now."""
        refuse_time(t_s)
        return float(self._track(name).ordered_at(np.array([t_s]))[0])

    def edges_s(self) -> Doubles:
        """Times (N,), ascending from 0, between which every condition is smooth; after the last all are constant."""
        pieces = [np.zeros(1)]
        for track in self._tracks.values():
            ends = [leg.start_s for leg in track.legs[1:]] + [math.inf]
            pieces += [leg.edges_s[leg.edges_s < end] for leg, end in zip(track.legs, ends, strict=True)]
        return np.unique(np.concatenate(pieces))

    def read(self, name: str, t_s: float) -> Reading:
        """What the sensor last measured: truth + calibration error + noise, or None. Raises as ``set`` does."""
        refuse_time(t_s)
        track = self._track(name)
        settings, word = track.settings, zlib.crc32(name.encode())
        tick = math.floor(t_s / settings.interval_s)
        tick -= tick * settings.interval_s > t_s  # the quotient may round up
        measured_s = tick * settings.interval_s
        unit, age_s = unit_of(name) or "", t_s - measured_s
        if settings.dropout and float(uniform(self._seed, _DROPOUT, word, tick)) < settings.dropout:
            return Reading(value=None, unit=unit, age_s=age_s, valid=False)
        coarse, fine = uniform(self._seed, _NOISE, word, tick, np.arange(2)).astype(np.float64)
        noise = settings.noise * float(ndtri(coarse + (fine + 0.5 * 2.0**-24) * 2.0**-24))
        offset = settings.offset * (2 * float(uniform(self._seed, _OFFSET, word)) - 1)
        value = float(track.truth_at(np.array([measured_s]))[0]) + offset + noise
        return Reading(value=value, unit=unit, age_s=age_s)

    def log(self, t0_s: float, t1_s: float) -> tuple[LogRow, ...]:
        """The holder's own log for t0 ≤ t < t1, at whole multiples of its interval."""
        refuse_time(t0_s)
        refuse_time(t1_s)
        if t1_s < t0_s:
            raise LimitError(f"a log from {t0_s} to {t1_s} s was asked; give the earlier time first")
        step_s = self._settings.log_interval_s
        times = (n * step_s for n in range(math.ceil(t0_s / step_s), math.ceil(t1_s / step_s)))
        return tuple(LogRow(t_s, {name: self.read(name, t_s) for name in self._tracks}) for t_s in times)

    def snapshot(self) -> dict[str, Any]:
        """All that a later process needs to go on from here; JSON can hold it."""
        return {"set": [[order.name, order.value, order.t_s] for order in self._set]}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up the history of another process. Raises as ``set`` does."""
        self._begin()
        for name, value, t_s in snapshot["set"]:
            self.set(name, value, t_s)

    def _track(self, name: str) -> _Track:
        if name not in self._tracks:
            raise NotSupported(f"{name}: {unknown(name, self._tracks, 'condition')}")
        return self._tracks[name]


def refuse_time(t_s: float) -> None:
    """Raises LimitError unless a time is finite and not before 0."""
    if not math.isfinite(t_s) or t_s < 0:
        raise LimitError(f"time {t_s} s was asked; a time is finite and not before 0, when the world begins")
