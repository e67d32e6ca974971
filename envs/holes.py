"""Tables of holes, as surveys in cryo-microscopy are planned by: a tree, a prediction each, and what came of it.

A hole lies in a patch, that in a square, that in a grid. Moving on costs minutes, the more the higher up the tree one
has to go. Its quality is the resolution to which the fit of its image's transfer function holds.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Floats: TypeAlias = npt.NDArray[np.float64]
Whole: TypeAlias = npt.NDArray[np.int64]
Ratio: TypeAlias = float

LEVELS = ("grid", "square", "patch")
_NEEDED = ("grid", "square", "patch", "ctf_max_resolution_A")
_PLACES = ("x_px", "y_px")
_PREDICTIONS = ("predicted_good_probability", "predicted_resolution_A")
_SURE = 0.999
_FULL_A = 1.5
"""A predicted resolution so much better or worse than the limit says nearly all that it can."""
_OFFSET_A = 0.4
"""A regressor's predictions lean to the mean: holes predicted so much above the limit are good half of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Minutes to the next image, by the highest level of the tree that changes on the way."""

    hole_min: float = 2.0
    patch_min: float = 5.0
    square_min: float = 10.0
    grid_min: float = 20.0

    def __post_init__(self) -> None:
        """Raises ConfigError: not finite, not above 0, or a way that is shorter the farther it goes."""
        asked = self.hole_min, self.patch_min, self.square_min, self.grid_min
        if not all(math.isfinite(cost) and cost > 0 for cost in asked) or list(asked) != sorted(asked):
            raise ConfigError(f"costs of {asked} min were asked: give four numbers above 0, none below the one before")

    @classmethod
    def read(cls, text: str) -> Costs:
        """Of four numbers with commas: next hole, other patch, other square, other grid. Raises ConfigError."""
        try:
            hole, patch, square, grid = (float(part) for part in text.split(","))
        except ValueError:
            raise ConfigError(f"costs {text!r} were asked: give four numbers of minutes, such as 2,5,10,20") from None
        return cls(hole_min=hole, patch_min=patch, square_min=square, grid_min=grid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """N holes of one survey."""

    parents: Whole
    """(N, 3) number of the grid, square and patch that each lies in; squares and patches count through all grids."""
    score: Floats
    """(N,) what was predicted, from −1 (surely bad) to 1 (surely good)."""
    good: npt.NDArray[np.bool_]
    """(N,) what an image would show: for the environment and the oracle, not for an agent."""
    place_px: Floats
    """(N, 2) x and y in the image of the patch; 0 where the table does not tell."""
    names: tuple[tuple[str, ...], ...]
    """Of the grids, squares and patches."""

    def __len__(self) -> int:
        return len(self.good)

    def way_min(self, start: int | Whole, costs: Costs) -> Floats:
        """(N,) minutes from a hole to the image of each."""
        here = self.parents[start]
        away = self.parents != here
        return np.select(
            [away[:, 0], away[:, 1], away[:, 2]], [costs.grid_min, costs.square_min, costs.patch_min], costs.hole_min
        )

    def within(self, grids: Sequence[str]) -> Holes:
        """Those of the grids whose names hold one of these words, such as ``00024gr``.

        Raises ConfigError: no such grid, or none good among its holes.
        """
        wanted = [n for n, name in enumerate(self.names[0]) if any(word in name for word in grids)]
        chosen = np.isin(self.parents[:, 0], wanted)
        if not chosen.any():
            raise ConfigError(f"grids {', '.join(grids)} were asked; the table holds {', '.join(self.names[0])}")
        if not self.good[chosen].any():
            raise ConfigError(f"the grids {', '.join(grids)} hold no good hole: nothing to find there")
        parents, names = np.empty((chosen.sum(), 3), dtype=np.int64), []
        for level in range(3):
            kept, parents[:, level] = np.unique(self.parents[chosen, level], return_inverse=True)
            names.append(tuple(self.names[level][n] for n in kept))
        return replace(self._of(chosen, parents), names=tuple(names))

    def damaged(self, kind: str, seed: int = 0) -> Holes:
        """With predictions that mislead, to see who finds it out.

        ``flipped20``: one hole in five, drawn by ``seed``, has the prediction of the opposite rank; ``patches20``: so
        have all holes of one patch in five; ``inverted``: all have; ``constant``: all are alike; ``shuffled``: those of
        each square are handed round in it, drawn by ``seed``; ``given``: as they are. Raises ConfigError for another
        kind.
        """
        order = np.argsort(self.score, kind="stable")
        opposite = np.empty_like(self.score)
        opposite[order] = self.score[order[::-1]]
        match kind:
            case "given":
                return self
            case "constant":
                return replace(self, score=np.full(len(self), float(np.median(self.score))))
            case "inverted":
                return replace(self, score=opposite)
            case "shuffled":
                rng, score = np.random.default_rng(seed), self.score.copy()
                for square in range(int(self.parents[:, 1].max()) + 1):
                    rows = np.flatnonzero(self.parents[:, 1] == square)
                    score[rows] = score[rng.permutation(rows)]
                return replace(self, score=score)
        whole = kind.startswith("patches")
        share = kind.removeprefix("patches" if whole else "flipped")
        if share == kind or not (share.isdigit() and int(share) <= 100):
            raise ConfigError(
                f"predictions {kind!r} were asked: give given, flipped0 to flipped100, patches0 to patches100, "
                "constant, inverted, shuffled"
            )
        units = int(self.parents[:, 2].max()) + 1 if whole else len(self)
        drawn = np.random.default_rng(seed).choice(units, round(units * int(share) / 100), replace=False)
        chosen = np.isin(self.parents[:, 2], drawn) if whole else drawn
        score = self.score.copy()
        score[chosen] = opposite[chosen]
        return replace(self, score=score)

    def resampled(self, seed: int) -> Holes:
        """As many patches, drawn with replacement, each a patch of its own in its square: another survey like this."""
        rng, patches = np.random.default_rng(seed), int(self.parents[:, 2].max()) + 1
        drawn = np.sort(rng.integers(0, patches, patches))
        rows = [np.flatnonzero(self.parents[:, 2] == patch) for patch in drawn]
        chosen = np.concatenate(rows)
        parents = np.empty((len(chosen), 3), dtype=np.int64)
        for level in range(2):
            parents[:, level] = np.unique(self.parents[chosen, level], return_inverse=True)[1]
        parents[:, 2] = np.repeat(np.arange(patches), [len(each) for each in rows])
        names = (*self.names[:2], tuple(self.names[2][patch] for patch in drawn))
        return replace(self._of(chosen, parents), names=names)

    def _of(self, chosen: npt.NDArray[Any], parents: Whole) -> Holes:
        return replace(
            self,
            parents=parents,
            score=self.score[chosen],
            good=self.good[chosen],
            place_px=self.place_px[chosen],
        )


def read_holes(path: Path, threshold_nm: float = 0.6) -> Holes:
    """A survey's table: a CSV with the columns grid, square, patch, ctf_max_resolution_A and a prediction.

    Good is a resolution up to ``threshold_nm``; 100000 or −1 is a fit that failed. A prediction is a resolution,
    ``predicted_resolution_A``, or ``predicted_good_probability``. The columns x_px and y_px
    are read where both are there.

    Raises ConfigError: no such file, a column or number that is missing or makes no sense, a row that is there twice,
    two predictions, no hole, none good.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the table of holes cannot be read ({error})") from error
    if not rows:
        raise ConfigError(f"{path}: the table holds no hole: give a row each, under a row of names")
    there = [name for name in _PREDICTIONS if name in rows[0]]
    if len(there) > 1:
        raise ConfigError(f"{path}: both {' and '.join(there)} are there: leave one of them out")
    prediction = there[0] if there else None
    missing = [name for name in _NEEDED if name not in rows[0]]
    if prediction is None or missing:
        missing += [] if prediction else [" or ".join(_PREDICTIONS)]
        raise ConfigError(f"{path}: the columns {', '.join(missing)} are missing; there are {', '.join(rows[0])}")
    threshold_A = 10 * threshold_nm
    resolution_A = _numbers(path, rows, "ctf_max_resolution_A")
    good = (resolution_A > 0) & (resolution_A <= threshold_A)
    if not good.any():
        raise ConfigError(f"{path}: no hole is better than {threshold_A:g} Å: nothing to find; give another threshold")
    predicted = _numbers(path, rows, prediction)
    if prediction == "predicted_good_probability":
        if predicted.min() < 0 or predicted.max() > 1:
            raise ConfigError(
                f"{path}: predicted_good_probability runs from {predicted.min():g} to {predicted.max():g}"
            )
        score = _score_of_probability(predicted)
    else:
        score = np.tanh((threshold_A + _OFFSET_A - predicted) / _FULL_A)
    parents, names = _tree(path, rows)
    _refuse_twice(path, rows)
    known = all(name in rows[0] for name in _PLACES)
    place_px = np.stack([_numbers(path, rows, name) if known else np.zeros(len(rows)) for name in _PLACES], axis=1)
    if not np.isfinite(place_px).all():
        raise ConfigError(f"{path}: a place in row {int(np.argmin(np.isfinite(place_px).all(axis=1))) + 2} is endless")
    return Holes(parents=parents, score=score, good=good, place_px=place_px, names=names)


def _score_of_probability(probability: Floats) -> Floats:
    kept = np.clip(probability, 1 - _SURE, _SURE)
    return np.asarray(np.log(kept / (1 - kept)) / math.log(_SURE / (1 - _SURE)))


def _numbers(path: Path, rows: Sequence[Mapping[str, str]], name: str) -> Floats:
    try:
        found = np.array([float(row[name]) for row in rows])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {name} holds what is no number ({error})") from error
    if np.isnan(found).any():
        raise ConfigError(f"{path}: {name} is NaN in row {int(np.flatnonzero(np.isnan(found))[0]) + 2}")
    return found


def _refuse_twice(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """One hole in two rows, by its target or else its place, would be imaged and counted twice. Raises ConfigError."""
    names = ("target",) if "target" in rows[0] else _PLACES
    if not all(name in rows[0] for name in names):
        return  # nothing tells one hole of a patch from another
    lines: dict[tuple[str, ...], int] = {}
    for line, row in enumerate(rows, start=2):
        key = tuple(row[name] for name in (*LEVELS, *names))
        if all(key) and lines.setdefault(key, line) != line:
            told = ", ".join(f"{name} {row[name]}" for name in names)
            raise ConfigError(f"{path}: rows {lines[key]} and {line} are of one hole ({told}): leave one of them out")


def _tree(path: Path, rows: Sequence[Mapping[str, str]]) -> tuple[Whole, tuple[tuple[str, ...], ...]]:
    """Numbers by name, within what it lies in: patch 1 of one square is not patch 1 of another. Raises ConfigError."""
    for number, record in enumerate(rows):
        if unnamed := [level for level in LEVELS if not record[level]]:
            raise ConfigError(f"{path}: row {number + 2} has no {' and no '.join(unnamed)}: is it cut short?")
    parents, names = np.empty((len(rows), 3), dtype=np.int64), []
    for n in range(3):
        index: dict[tuple[str, ...], int] = {}
        for row, record in enumerate(rows):
            parents[row, n] = index.setdefault(tuple(record[level] for level in LEVELS[: n + 1]), len(index))
        names.append(tuple(key[-1] for key in index))
    return parents, tuple(names)
