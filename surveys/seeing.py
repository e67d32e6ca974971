"""A scorer that also looks with the encoder: what is unusual by both, or where a class that a person showed is.

    frame ─► classical descriptors ─┐                 ┌─► how unusual: both densities together
             encoder, cell by cell ─┴─► one row a cell ┴─► wanted: how like the examples of one class

In a config: ``scorer: {kind: plugin, name: seeing}``; with ``options: {examples: chips/, wanted: dots}`` the agent is
driven to places like the chips in ``chips/dots`` (``adaptem classify --keep chips/`` writes such a folder from clicks).
A cell that says nothing to the encoder (saturated, blank) is not judged at all.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from configs.errors import ConfigError
from configs.load import Settings
from envs.background import Background
from envs.descriptors import NAMES
from envs.explanations import Departure, Explanation
from envs.novelty import NoveltyScorer, NoveltySettings, image_of
from envs.scorers import Description, Window
from models.encoder import CHANNELS, SMALLEST_PX, embedding, load_encoder, refusal
from models.prototypes import Prototypes, check_examples
from surveys.classes import examples_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from instruments.types import Frame
    from models.encoder import Encoder

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

SEEN = tuple(f"seen_{number:03d}_ratio" for number in range(4 * CHANNELS))
"""What the encoder makes of a cell: mean and spread over its places of each number."""
_WIDE = len(NAMES)
_FIRST, _GROWTH = NoveltySettings().first_cells, 1 + NoveltySettings().refit_growth
_DIRECTIONS, _RIDGE, _ROWS_A_DIRECTION = 32, 0.1, 4
_GRAIN = 1e-3
_HEED, _LEAST, _MOST = 0.5, -2.0, 4.0
"""How much the encoder's density counts beside the classical one, and within which spreads."""
_SURE, _WIDER, _LITTLE = 4.0, 1.25, 0.02
"""The encoder orders what the classical density leaves in doubt, short of so many spreads. Beyond them, where flags are
made, the classical one alone counts: what the encoder adds there is as much for ordinary places as for rare ones, and
rare features stood out less. Both together spread wider by this factor. What they would have beyond ``_SURE`` counts
that little, so that places do not tie. All fixed on seeds below 1000."""
WANTED_MOST = 10.0
"""Interest of a place that is surely of the wanted class: beyond what an agent tells apart."""
_BEYOND = 10.0
"""How fast interest falls where a place is less like the class than its own examples are."""


class SeeingSettings(Settings):
    """Options of the scorer."""

    signal: str | None = None
    """Detector to read; None = the first of a frame that is an image."""
    examples: Path | None = None
    """A folder with a folder of example chips for each class."""
    wanted: str | None = None
    """The class to drive to, one of the folders there; None = to what is unusual."""


def make(options: Mapping[str, Any]) -> SeeingScorer:
    """For the entry point ``adaptem.scorers``. Raises ConfigError for options that are wrong."""
    try:
        settings = SeeingSettings.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(*(f"scorer.options.{each['loc'][0]}: {each['msg']}" for each in error.errors())) from error
    if (settings.examples is None) != (settings.wanted is None):
        raise ConfigError("scorer.options: give examples and wanted together, or neither")
    return SeeingScorer(settings)


class SeeingScorer:
    """Implements ``envs.explanations.ExplainingScorer`` and ``ObjectScorer``.

    Rows are the classical descriptors, then ``SEEN``.
    """

    def __init__(self, settings: SeeingSettings | None = None) -> None:
        self._settings = settings or SeeingSettings()
        self._classical = NoveltyScorer(NoveltySettings(signal=self._settings.signal))
        self._encoder = load_encoder()
        self._examples: tuple[Array, list[str]] | None = None
        if self._settings.examples is not None and self._settings.wanted is not None:
            self._examples = _taught(self._settings.examples, self._settings.wanted, self._encoder)
        self._rows: dict[str, list[list[float]]] = {}
        self._counts: dict[str, int] = {}
        """Rows, of each look, that density and classes stand on."""
        self._densities: dict[str, tuple[int, _Density]] = {}
        self._models: dict[str, tuple[int, Prototypes]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return (*NAMES, *SEEN)

    def describe(self, frame: Frame, windows: Sequence[Window]) -> Description:
        """Pure. Raises ValueError when the frame has no such image."""
        told = self._classical.describe(frame, windows)
        seen = self.seen(image_of(frame, self._settings.signal), windows)
        return Description(descriptors=np.concatenate([told.descriptors, seen], axis=1), quality=told.quality)

    def seen(self, image: npt.NDArray[np.generic], windows: Sequence[Window]) -> Array:
        """(K, 4 · CHANNELS) of K windows of an image (H, W); NaN where one says nothing."""
        chips = [_chip(image, window) for window in windows]
        good = [number for number, chip in enumerate(chips) if refusal(chip) is None]
        rows = np.full((len(windows), len(SEEN)), np.nan)
        rows[good] = embedding(self._encoder, [chips[number] for number in good]).round(4)
        return rows

    def observe(self, look: str, descriptors: Array) -> None:
        """(K, F) more rows; those that are not finite, and of windows that show nothing, are left out."""
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        values = values[np.isfinite(values).all(axis=1)]
        self._classical.observe(look, values[:, :_WIDE])
        rows = self._rows.setdefault(look, [])
        rows.extend(values.tolist())
        if len(rows) >= max(_FIRST, self._counts.get(look, 0) * _GROWTH):
            self._counts[look] = len(rows)

    def interest(self, look: str, descriptors: Array) -> Array:
        """(K,) of a wanted class how surely a place is of it, 0 … ``WANTED_MOST``; else spreads beyond the usual."""
        if self._examples is None or self._settings.wanted is None:
            return np.maximum(self.deviation(look, descriptors), 0.0)
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))[:, _WIDE:]
        model, known = self._classes(look), np.isfinite(values).all(axis=1)
        found = np.full(len(values), np.nan)
        column = model.classes.index(self._settings.wanted)
        beyond = np.minimum((model.likeness(values[known]) - model.core)[:, column], 0.0)
        found[known] = WANTED_MOST * model.scores(values[known])[:, column] * np.exp(_BEYOND * beyond)
        return found

    def deviation(self, look: str, descriptors: Array) -> Array:
        """(K,) spreads beyond the survey's median, below 0 where more ordinary; NaN where too little is known."""
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        alone = self._classical.deviation(look, values[:, :_WIDE])
        both = (alone + _HEED * self._by_encoder(look, values)) / _WIDER
        in_doubt = np.minimum(both, _SURE + _LITTLE * (both - _SURE))
        return np.asarray(np.where(alone >= _SURE, np.maximum(alone, in_doubt), in_doubt))

    def fabric(self, look: str, descriptors: Array) -> Array:
        """(K,) of what a place is made of, by the classical descriptors."""
        return self._classical.fabric(look, np.atleast_2d(descriptors)[:, :_WIDE])

    def extreme(self, look: str, descriptors: Array) -> Array:
        """(K,) of the most extreme object of each, by the classical descriptors."""
        return self._classical.extreme(look, np.atleast_2d(descriptors)[:, :_WIDE])

    def most_extreme(self, look: str, descriptors: Array) -> str:
        """Of one place (F,). Raises ValueError where the background is too young."""
        return self._classical.most_extreme(look, descriptors[:_WIDE])

    def akin(self, look: str, first: Array, second: Array) -> npt.NDArray[np.bool_]:
        """(K,) whether the fabrics of K pairs are more like each other than either is like what is usual."""
        return self._classical.akin(look, first[:, :_WIDE], second[:, :_WIDE])

    def explain(self, look: str, descriptors: Array, *, fabric: bool = False) -> Explanation:
        """Of one place (F,). Raises ValueError where the background is too young."""
        told = self._classical.explain(look, descriptors[:_WIDE], fabric=fabric)
        nearest = next((tuple(row) for row in self._rows[look] if tuple(row[:_WIDE]) == told.nearest), told.nearest)
        by_encoder = float(self._by_encoder(look, descriptors[None])[0])
        alone = float(self._classical.deviation(look, descriptors[None, :_WIDE])[0])
        if fabric or not by_encoder > 0 or alone >= _SURE:
            return replace(told, nearest=nearest)
        share = _HEED * by_encoder / max(alone + _HEED * by_encoder, _HEED * by_encoder)
        others = [replace(each, contribution=(1 - share) * each.contribution) for each in told.departures]
        mine = Departure(
            name="seen_ratio",
            words="unlike what the survey has shown, to the encoder: spreads",
            unit="",
            value=by_encoder,
            usual=0.0,
            usual_low=-1.0,
            usual_high=1.0,
            spreads_off=by_encoder,
            contribution=share,
        )
        return Explanation(
            departures=tuple(sorted([mine, *others], key=lambda each: -each.contribution)), nearest=nearest
        )

    def completed(self) -> SeeingScorer:
        """A copy whose backgrounds are fitted on everything observed so far."""
        copy = SeeingScorer(self._settings)
        copy._classical = self._classical.completed()
        copy._rows = {look: list(rows) for look, rows in self._rows.items()}
        copy._counts = {look: len(rows) for look, rows in self._rows.items() if len(rows) >= _FIRST}
        return copy

    def state(self) -> Mapping[str, Any]:
        return {"classical": self._classical.state(), "rows": self._rows, "counts": self._counts}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._classical.restore(state["classical"])
        self._rows = {look: [list(row) for row in rows] for look, rows in state["rows"].items()}
        self._counts = dict(state["counts"])
        self._densities, self._models = {}, {}

    def _by_encoder(self, look: str, values: Array) -> Array:
        """(K,) spreads beyond the usual, drawn in; NaN where a row is not finite or too little is known."""
        found, known, count = np.full(len(values), np.nan), np.isfinite(values).all(axis=1), self._counts.get(look)
        if count is None or not known.any():
            return found
        if look not in self._densities or self._densities[look][0] != count:
            self._densities[look] = count, _Density(np.array(self._rows[look][:count])[:, _WIDE:])
        found[known] = np.clip(self._densities[look][1].score(values[known, _WIDE:]), _LEAST, _MOST)
        return found

    def _classes(self, look: str) -> Prototypes:
        """The examples' classes, in the directions along which what this look has shown varies."""
        if self._examples is None:
            raise ValueError("no class is wanted: give scorer.options.examples and wanted")
        count = self._counts.get(look, 0)
        if look not in self._models or self._models[look][0] != count:
            rows = np.array(self._rows[look][:count])[:, _WIDE:] if count else None
            self._models[look] = count, Prototypes.fitted(*self._examples, rows)
        return self._models[look][1]


class _Density:
    """How far a row has to reach to meet what a look has shown, in the directions along which that varies."""

    def __init__(self, rows: Array) -> None:
        self._centre = rows.mean(axis=0)
        variance, directions = np.linalg.eigh(np.cov(rows - self._centre, rowvar=False))
        kept = max(min(_DIRECTIONS, len(rows) // _ROWS_A_DIRECTION), 2)
        variance, directions = np.maximum(variance[-kept:], 0.0), directions[:, -kept:]
        self._directions = directions / np.sqrt(variance + _RIDGE * max(float(variance.mean()), 1e-12))
        placed = (rows - self._centre) @ self._directions
        share = NoveltySettings().common_ratio
        self._usual = Background(
            placed, grain=np.full(kept, _GRAIN), common_ratio=share, metric="euclidean", excuse=0.5
        )

    def score(self, rows: Array) -> Array:
        return self._usual.score((rows - self._centre) @ self._directions)


def _chip(image: npt.NDArray[np.generic], window: Window) -> npt.NDArray[np.generic]:
    """A window of an image, widened to what the encoder needs as far as the image reaches."""
    cut = []
    for (first, last), size in zip((window.rows_px, window.columns_px), image.shape, strict=True):
        least = min(max(last - first, SMALLEST_PX), size)
        start = min(max((first + last - least) // 2, 0), size - least)
        cut.append(slice(start, start + least))
    return image[cut[0], cut[1]]


def _taught(folder: Path, wanted: str, encoder: Encoder) -> tuple[Array, list[str]]:
    """Rows of the examples and their classes. Raises ConfigError where they tell nothing apart, or not this class."""
    given = examples_in(folder)
    said = [example.said for example in given]
    if wanted not in said:
        raise ConfigError(f"scorer.options.wanted: no examples of {wanted!r} in {folder}, only {sorted(set(said))}")
    rows = embedding(encoder, [example.chip for example in given])
    try:
        check_examples(rows, said)
    except ValueError as error:
        raise ConfigError(f"{folder}: {error}") from error
    return rows, said
