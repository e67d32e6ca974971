"""The classical scorer: how unlike the rest of this survey a place looks. No class is given, none is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.load import Settings
from envs.background import Background
from envs.descriptors import DESCRIPTORS, FABRIC, NAMES, describe_windows, natural, shows_nothing, transformed
from envs.drift import drift_nm_per_s
from envs.explanations import Departure, Explanation
from envs.extremes import Extremes, ordinary_tails
from envs.property import NAME as PROPERTY
from envs.property import PropertySettings, property_of
from envs.quality import frame_quality, sees_no_beam
from envs.scorers import Description

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envs.scorers import Window
    from instruments.types import Frame, Signal

Array = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_GRAIN = np.array([descriptor.grain for descriptor in DESCRIPTORS])


class NoveltySettings(Settings):
    """How unusual is judged."""

    kind: Literal["novelty"] = "novelty"
    signal: str | None = None
    """Detector to read; None = the first of a frame that is an image."""
    common_ratio: Ratio = Field(0.1, gt=0, lt=0.5)
    """A kind of place that makes up more than this share of the survey is ordinary."""
    first_cells: int = Field(24, ge=8)
    """Cells of a look to be seen before anything can be called unusual."""
    refit_growth: Ratio = Field(0.25, gt=0)
    """The background is fitted again when it has grown by this share."""
    property: PropertySettings | None = None
    """What is read from spectra, for an agent of kind bayesian and for the report."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """The backgrounds of one look, fitted on its first ``count`` rows."""

    count: int
    whole: Background
    fabric: Background
    objects: Extremes


class NoveltyScorer:
    """Implements ``envs.explanations.ExplainingScorer`` and ``ObjectScorer``, one background a look."""

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        self._settings = settings or NoveltySettings()
        self._rows: dict[str, list[list[float]]] = {}
        self._counts: dict[str, int] = {}
        """Rows, of each look, that its background stands on."""
        self._fitted: dict[str, _Fit] = {}
        """Made when first asked for: a fold over many steps needs only the last."""

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES

    def describe(self, frame: Frame, windows: Sequence[Window]) -> Description:
        """Pure. Raises ValueError when the frame has no such image.

        Of a burst, ``quality`` also has drift_nm_per_s where its frames can be compared.
        """
        image = image_of(frame, self._settings.signal)
        quality = frame_quality(image) | {"blank": float(sees_no_beam(frame))}
        drift = drift_nm_per_s(signal_of(frame, self._settings.signal))
        if drift is not None:
            quality["drift_nm_per_s"] = drift
        if self._settings.property is not None and (value := property_of(frame, self._settings.property)) is not None:
            quality[PROPERTY] = value
        return Description(descriptors=describe_windows(image, windows, frame.exposure.pixel_size_nm), quality=quality)

    def observe(self, look: str, descriptors: Array) -> None:
        """(K, F) more descriptors; rows that are not finite, and windows that show nothing, are left out."""
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        rows = self._rows.setdefault(look, [])
        rows.extend(values[np.isfinite(values).all(axis=1) & ~shows_nothing(values)].tolist())
        stands_on = self._counts.get(look, 0)
        if len(rows) >= max(self._settings.first_cells, stands_on * (1 + self._settings.refit_growth)):
            self._counts[look] = len(rows)

    def interest(self, look: str, descriptors: Array) -> Array:
        """(K,) robust spreads beyond the survey's median, 0 = ordinary, NaN where the background is too young."""
        return np.maximum(self.deviation(look, descriptors), 0.0)

    def deviation(self, look: str, descriptors: Array) -> Array:
        """(K,) like ``interest``, but below 0 where a place is more ordinary than most."""
        return self._judged(look, descriptors, lambda fit, rows: fit.whole.score(rows))

    def fabric(self, look: str, descriptors: Array) -> Array:
        """(K,) the same of what a place is made of, whatever single objects lie in it."""
        return self._judged(look, descriptors, lambda fit, rows: fit.fabric.score(rows[:, FABRIC]))

    def extreme(self, look: str, descriptors: Array) -> Array:
        """(K,) −log of the share of ordinary places that hold an object as extreme as the most extreme one of each."""
        return self._judged(look, descriptors, lambda fit, rows: fit.objects.surprise(rows))

    def most_extreme(self, look: str, descriptors: Array) -> str:
        """Of one place (F,), the property of an object that is the most extreme.

        Raises ValueError where the background is too young.
        """
        return NAMES[self._known(look).objects.telling(transformed(descriptors)[0])]

    def akin(self, look: str, first: Array, second: Array) -> npt.NDArray[np.bool_]:
        """(K,) whether the fabrics of K pairs (K, F) are more like each other than either is like what is usual."""
        fit = self._fit(look)
        if fit is None:
            return np.zeros(len(first), dtype=bool)
        return fit.fabric.akin(transformed(first)[:, FABRIC], transformed(second)[:, FABRIC])

    def _judged(self, look: str, descriptors: Array, score: Callable[[_Fit, Array], Array]) -> Array:
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        fit = self._fit(look)
        if fit is None:
            return np.full(len(values), np.nan)
        known = np.isfinite(values).all(axis=1)
        result = np.where(known, 0.0, np.nan)
        seen = known & ~shows_nothing(values)
        if seen.any():
            result[seen] = score(fit, transformed(values[seen]))
        return result

    def completed(self) -> NoveltyScorer:
        """A copy whose backgrounds are fitted on everything observed so far."""
        copy = NoveltyScorer(self._settings)
        for look, rows in self._rows.items():
            copy._rows[look] = list(rows)
            if len(rows) >= self._settings.first_cells:
                copy._counts[look] = len(rows)
        return copy

    def explain(self, look: str, descriptors: Array, *, fabric: bool = False) -> Explanation:
        """Of one place (F,), or of its fabric alone. Raises ValueError where the background is too young."""
        fit = self._known(look)
        columns = FABRIC if fabric else np.arange(len(DESCRIPTORS))
        row = transformed(descriptors)[0]
        around = (fit.fabric if fabric else fit.whole).neighbourhood(row[columns])
        bands = np.tile(row, (3, 1))
        bands[:, columns] = [around.median + n * around.spread for n in (-1, 0, 1)]
        low, usual, high = natural(bands)
        departures = [
            Departure(
                name=DESCRIPTORS[column].name,
                words=DESCRIPTORS[column].words,
                unit=DESCRIPTORS[column].unit,
                value=float(descriptors[column]),
                usual=float(usual[column]),
                usual_low=float(low[column]),
                usual_high=float(high[column]),
                spreads_off=float(around.deviation[number]),
                contribution=float(around.contribution[number]),
            )
            for number, column in enumerate(columns.tolist())
        ]
        departures.sort(key=lambda departure: -departure.contribution)
        return Explanation(departures=tuple(departures), nearest=tuple(self._rows[look][around.nearest]))

    def state(self) -> Mapping[str, Any]:
        return {look: {"rows": rows, "fitted": self._counts.get(look, 0)} for look, rows in self._rows.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._rows = {look: [list(row) for row in kept["rows"]] for look, kept in state.items()}
        self._counts = {look: kept["fitted"] for look, kept in state.items() if kept["fitted"]}
        self._fitted = {}

    def _known(self, look: str) -> _Fit:
        """The same. Raises ValueError where too little is known."""
        fit = self._fit(look)
        if fit is None:
            raise ValueError(
                f"{len(self._rows.get(look, ()))} cells seen at look {look!r}, too few to say what is usual: "
                f"{self._settings.first_cells} are needed"
            )
        return fit

    def _fit(self, look: str) -> _Fit | None:
        """The backgrounds of a look; None where too little is known."""
        count = self._counts.get(look)
        if count is None:
            return None
        if look not in self._fitted or self._fitted[look].count != count:
            rows = transformed(self._rows[look][:count])
            share = self._settings.common_ratio
            self._fitted[look] = _Fit(
                count=count,
                whole=Background(rows, grain=_GRAIN, common_ratio=share, metric="euclidean", excuse=0.5),
                fabric=Background(
                    rows[:, FABRIC], grain=_GRAIN[FABRIC], common_ratio=share, metric="cityblock", excuse=1.0
                ),
                objects=Extremes(rows, ordinary_tails()),
            )
        return self._fitted[look]


def image_of(frame: Frame, signal: str | None = None) -> npt.NDArray[np.float32]:
    """The image (H, W) of a frame, a burst summed, the detector's offset removed.

    Raises ValueError when there is none: names what the frame has.
    """
    found = signal_of(frame, signal)
    data = found.data.astype(np.float32) - np.float32(found.calibration.get("offset_counts", 0.0))
    return data if data.ndim == 2 else np.asarray(data.sum(axis=0))


def signal_of(frame: Frame, signal: str | None = None) -> Signal:
    """The signal of this name, or the first, that is an image (H, W) or a burst of them (T, H, W).

    Raises ValueError when there is none: names what the frame has.
    """
    wanted = frame.signals if signal is None else {k: v for k, v in frame.signals.items() if k == signal}
    for found in wanted.values():
        if found.data.ndim in (2, 3) and found.axes[-1].name == "column":
            return found
    raise ValueError(f"no image{f' of {signal}' if signal else ''} in the frame; it has {', '.join(frame.signals)}")
