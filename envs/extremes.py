"""How extreme the objects of a place are: each property of the most extreme one by itself, not all of them together.

A ring among particles differs from them in one number, its hollowness, and in nothing else: among thirty numbers that
agree, a distance does not see it. So every number has a tail of its own, and the place is as surprising as the most
surprising of them. How far ordinary specimens reach is known beforehand, from simulated ones without anything rare,
in spreads of their own survey (``ordinary_tails.json``; ``python -m training.ordinary`` remakes it), and from this
survey's own upper values; of both, what is less surprised counts. No rare feature was shown to either.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import DESCRIPTORS, NAMES

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

OBJECTS = np.array([n for n, name in enumerate(NAMES) if name.startswith(("bright_", "dark_"))])
"""Columns that tell of the most extreme object of a place."""
TAILS = Path(__file__).parent / "ordinary_tails.json"
SHARES = np.array([0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.004, 0.0015])
"""Of ordinary places, that reach so far or farther."""
_HIGH, _SPREADS = 0.95, 1.645
"""The spread above the median is known by this quantile, so many deviates off."""
_OWN = np.array([0.5, 0.2, 0.1, 0.05, 0.02])
"""Shares of this survey's places by which its own tail is known: few enough places are rare to leave them be."""
_LEAST_FALL, _GRAINS = 0.12, 0.6
"""Spreads, and grains of the descriptor, in which a tail falls to 1/e at least: none is endlessly sure."""
_GRAIN = np.array([DESCRIPTORS[column].grain for column in OBJECTS])


@dataclass(frozen=True, slots=True)
class OrdinaryTails:
    """How far the objects of ordinary specimens reach."""

    spreads: Array
    """(S, O) of each share, and each of ``OBJECTS``: spreads above the survey's median; never falling."""

    @classmethod
    def fitted(cls, spreads: Array) -> OrdinaryTails:
        """On (N, O) ordinary places, in spreads of their surveys."""
        found = np.quantile(spreads, 1 - SHARES, axis=0)
        return cls(np.maximum.accumulate(found + 1e-6 * np.arange(len(SHARES))[:, None], axis=0))


@lru_cache(maxsize=1)
def ordinary_tails() -> OrdinaryTails:
    """Those that come with the package. Raises ValueError where they are for other descriptors."""
    told = json.loads(TAILS.read_text())
    names = [NAMES[column] for column in OBJECTS]
    if list(told["spreads"]) != names or told["shares"] != SHARES.tolist():
        raise ValueError(f"{TAILS} is for other descriptors: remake it with `python -m training.ordinary`")
    return OrdinaryTails(np.array([told["spreads"][name] for name in names]).T)


class Extremes:
    """Fitted once on (n, F) transformed descriptors; immutable afterwards."""

    def __init__(self, rows: Array, tails: OrdinaryTails) -> None:
        values = rows[:, OBJECTS]
        self._tails, known = tails.spreads, -np.log(SHARES)
        self._known_fall = np.maximum((self._tails[-1] - self._tails[-4]) / (known[-1] - known[-4]), _LEAST_FALL)
        self._middle, self._above = _measured(rows)
        self._reach = np.quantile(values, 1 - _OWN, axis=0)
        depth = -np.log(_OWN)
        rise = (self._reach[-1] - self._reach[1]) / (depth[-1] - depth[1])
        first = (self._reach[-2] - self._reach[1]) / (depth[-2] - depth[1])
        self._fall = np.maximum.reduce([rise, first, _GRAINS * _GRAIN])

    def surprise(self, rows: Array) -> Array:
        """(K, F) → (K,): −log of the share of ordinary places whose same property is as extreme, of the rarest one."""
        return np.asarray(self._depths(rows).max(axis=1))

    def telling(self, row: Array) -> int:
        """(F,) → the column of the property that is the most surprising."""
        return int(OBJECTS[self._depths(row[None]).argmax()])

    def _depths(self, rows: Array) -> Array:
        """(K, O)."""
        values = rows[:, OBJECTS]
        off = (values - self._middle) / self._above
        depth, own = -np.log(SHARES), -np.log(_OWN)
        found = np.empty(off.shape)
        for n in range(len(OBJECTS)):
            known = _beyond(off[:, n], self._tails[:, n], depth, float(self._known_fall[n]))
            seen = _beyond(values[:, n], self._reach[:-1, n], own[:-1], float(self._fall[n]))
            found[:, n] = np.minimum(known, seen)
        return found


def off_middle(rows: Array, survey: Array) -> Array:
    """(K, F), (n, F) → (K, O) of ``OBJECTS``: spreads above the survey's median."""
    middle, above = _measured(survey)
    return np.asarray((rows[:, OBJECTS] - middle) / above)


def _measured(survey: Array) -> tuple[Array, Array]:
    """(n, F) → (O,) medians and spreads above them."""
    middle, high = np.quantile(survey[:, OBJECTS], (0.5, _HIGH), axis=0)
    return middle, np.maximum((high - middle) / _SPREADS, _GRAIN)


def _beyond(values: Array, reach: Array, depth: Array, fall: float) -> Array:
    """−log of the shares by which ``reach`` is exceeded, and past its end one more for every ``fall``."""
    return np.asarray(np.interp(values, reach, depth) + np.maximum(values - reach[-1], 0.0) / fall)
