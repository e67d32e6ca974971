"""Which place to measure next, of those whose property is predicted with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import ndtr, ndtri

from agent.belief import expected_excess

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]
Ratio: TypeAlias = float
Seek: TypeAlias = Literal["highest", "improvement", "map"]

_HALVINGS = 50


class Model(Protocol):
    """Predicts a property at places by number (``models.structure_gp.StructureGP``)."""

    def fit(self, seen: Ints, values: Array, *, scales: bool = True) -> None: ...

    def predict(self, query: Ints) -> tuple[Array, Array]: ...


@dataclass(frozen=True, slots=True)
class Pick:
    """One place to measure."""

    place: int
    mean: float
    sd: float
    worth: float
    """By which it was chosen; of ``highest`` the chance to be among the highest."""
    why: str


class Seeker:
    """Chooses among N places.

    ``seek``: *highest*, as many as can be of the ``share`` of all places where the property is highest;
    *improvement*, the single highest; *map*, to know it everywhere. ``patience``: after so many measurements in a row
    that belonged to none of the highest, every second one goes far from all others, out of what may be a trap; 0 =
    never. ``refit``: the model's scales are chosen anew after so many values.
    """

    def __init__(
        self,
        model: Model,
        places: Array,
        *,
        seek: Seek = "highest",
        share: Ratio = 0.01,
        patience: int = 5,
        refit: int = 3,
    ) -> None:
        self._model, self._places, self._seek, self._share = model, places, seek, share
        self._patience, self._refit = patience, refit
        self._fitted = 0

    def learn(self, seen: Sequence[int], values: Sequence[float]) -> None:
        """Choose the model's scales anew, where it is time to: by (M,) ``values`` measured at places ``seen``."""
        if len(values) >= 2 and len(values) - self._fitted >= self._refit:
            self._model.fit(np.array(seen), np.array(values), scales=True)
            self._fitted = len(values)

    def rank(
        self, seen: Sequence[int], values: Sequence[float], open_to: Ints, cost: Array, count: int = 1
    ) -> list[Pick]:
        """The best ``count`` of the places ``open_to`` (Q,) for the next measurement, best first.

        ``seen``, ``values``: (M,) places and what was measured there, in order; ``cost``: (Q,) of measuring each, > 0.
        Raises ValueError where nothing is open or fewer than two values are known.
        """
        return self._rank(list(seen), list(values), open_to, cost, count, len(values))

    def batch(self, seen: Sequence[int], values: Sequence[float], open_to: Ints, cost: Array, count: int) -> list[Pick]:
        """``count`` places to measure with no decision between, as ``rank`` would if what it predicts came true."""
        picks: list[Pick] = []
        left = np.ones(len(open_to), dtype=bool)
        while len(picks) < min(count, len(open_to)):
            places, known = [*seen, *(pick.place for pick in picks)], [*values, *(pick.mean for pick in picks)]
            picks += self._rank(places, known, open_to[left], cost[left], 1, len(values))
            left &= open_to != picks[-1].place
        return picks

    def _rank(
        self, places: list[int], values: list[float], open_to: Ints, cost: Array, count: int, measured: int
    ) -> list[Pick]:
        if not len(open_to):
            raise ValueError("no place is left to measure")
        self._model.fit(np.array(places), np.array(values), scales=False)
        mean, sd = self._model.predict(open_to)
        worth, why = self._worth(mean, sd, np.array(values), places, open_to, measured)
        order = np.argsort(-worth / cost, kind="stable")[:count].tolist()
        return [Pick(int(open_to[i]), float(mean[i]), float(sd[i]), float(worth[i]), why) for i in order]

    def _worth(
        self, mean: Array, sd: Array, values: Array, places: list[int], open_to: Ints, measured: int
    ) -> tuple[Array, str]:
        """(Q,) of each place, and why; the first ``measured`` of ``values`` are more than expected."""
        match self._seek:
            case "map":
                return sd, "where least is known"
            case "improvement":
                return expected_excess(mean, sd, float(values.max())), "expected to exceed the highest so far"
        edge = highest_from(mean, sd, values, self._share * (len(mean) + len(values)))
        last = values[max(measured - self._patience, 0) : measured]
        if 0 < self._patience < measured and (last < edge).all() and len(values) % 2 == 0:
            away = cKDTree(self._places[places]).query(self._places[open_to])[0]
            return away, f"none of the last {self._patience} was among the highest: far from all that was measured"
        return ndtr((mean - edge) / sd), "most likely among the highest"


def highest_from(mean: Array, sd: Array, values: Array, count: float) -> float:
    """The value above which ``count`` places are expected to lie: of (Q,) normal predictions and (M,) measured values.

    >>> highest_from(np.zeros(0), np.zeros(0), np.array([1.0, 2.0, 3.0, 4.0]), 2.0) < 3.0
    True
    """
    reach = float(ndtri(0.5 / max(len(mean), 1))) if len(mean) else 0.0
    low = float(min([*(mean + reach * sd).tolist(), values.min()]))
    high = float(max([*(mean - reach * sd).tolist(), values.max()]))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = float(ndtr((mean - middle) / sd).sum()) + float((values > middle).sum())
        low, high = (middle, high) if above > count else (low, middle)
    return (low + high) / 2
