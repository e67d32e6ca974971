"""The classical scorer: how unlike the rest of this survey a place looks. No class is given, none is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.load import Settings
from envs.background import Background
from envs.descriptors import DESCRIPTORS, NAMES, describe_windows, natural, transformed
from envs.drift import drift_nm_per_s
from envs.explanations import Departure, Explanation
from envs.quality import frame_quality, sees_no_beam
from envs.scorers import Description

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from envs.scorers import Window
    from instruments.types import Frame, Signal

Array = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_GRAIN = np.array([descriptor.grain for descriptor in DESCRIPTORS])


class NoveltySettings(Settings):
    """How unusual is judged."""

    signal: str | None = None
    """Detector to read; None = the first of a frame that is an image."""
    common_ratio: Ratio = Field(0.05, gt=0, lt=0.5)
    """A kind of place that makes up more than this share of the survey is ordinary."""
    first_cells: int = Field(24, ge=8)
    """Cells of a look to be seen before anything can be called unusual."""
    refit_growth: Ratio = Field(0.25, gt=0)
    """The background is fitted again when it has grown by this share."""


class NoveltyScorer:
    """Implements ``envs.explanations.ExplainingScorer``, one background a look."""

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        self._settings = settings or NoveltySettings()
        self._rows: dict[str, list[list[float]]] = {}
        self._fitted: dict[str, tuple[int, Background]] = {}

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
        return Description(descriptors=describe_windows(image, windows, frame.exposure.pixel_size_nm), quality=quality)

    def observe(self, look: str, descriptors: Array) -> None:
        """(K, F) more descriptors; rows that are not finite are left out."""
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        rows = self._rows.setdefault(look, [])
        rows.extend(values[np.isfinite(values).all(axis=1)].tolist())
        fitted = self._fitted[look][0] if look in self._fitted else 0
        if len(rows) >= max(self._settings.first_cells, fitted * (1 + self._settings.refit_growth)):
            self._fit(look, len(rows))

    def interest(self, look: str, descriptors: Array) -> Array:
        """(K,) robust spreads beyond the survey's median, 0 = ordinary, NaN where the background is too young."""
        values = np.atleast_2d(np.asarray(descriptors, dtype=np.float64))
        if look not in self._fitted:
            return np.full(len(values), np.nan)
        known = np.isfinite(values).all(axis=1)
        result = np.full(len(values), np.nan)
        if known.any():
            result[known] = np.maximum(self._fitted[look][1].score(transformed(values[known])), 0.0)
        return result

    def completed(self) -> NoveltyScorer:
        """A copy whose backgrounds are fitted on everything observed so far."""
        copy = NoveltyScorer(self._settings)
        for look, rows in self._rows.items():
            copy._rows[look] = list(rows)
            if len(rows) >= self._settings.first_cells:
                copy._fit(look, len(rows))
        return copy

    def explain(self, look: str, descriptors: Array) -> Explanation:
        """Of one place (F,). Raises ValueError where the background is too young."""
        if look not in self._fitted:
            raise ValueError(
                f"{len(self._rows.get(look, ()))} cells seen at look {look!r}, too few to say what is usual: "
                f"{self._settings.first_cells} are needed"
            )
        background = self._fitted[look][1]
        row = transformed(descriptors)[0]
        around = background.neighbourhood(row)
        low, usual, high = natural(np.stack([around.median + n * around.spread for n in (-1, 0, 1)]))
        departures = [
            Departure(
                name=descriptor.name,
                words=descriptor.words,
                unit=descriptor.unit,
                value=float(descriptors[f]),
                usual=float(usual[f]),
                usual_low=float(low[f]),
                usual_high=float(high[f]),
                spreads_off=float(around.deviation[f]),
                contribution=float(around.contribution[f]),
            )
            for f, descriptor in enumerate(DESCRIPTORS)
        ]
        departures.sort(key=lambda departure: -departure.contribution)
        return Explanation(departures=tuple(departures), nearest=tuple(self._rows[look][around.nearest]))

    def state(self) -> Mapping[str, Any]:
        return {
            look: {"rows": rows, "fitted": self._fitted[look][0] if look in self._fitted else 0}
            for look, rows in self._rows.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._rows = {look: [list(row) for row in kept["rows"]] for look, kept in state.items()}
        self._fitted = {}
        for look, kept in state.items():
            if kept["fitted"]:
                self._fit(look, kept["fitted"])

    def _fit(self, look: str, count: int) -> None:
        rows = transformed(self._rows[look][:count])
        self._fitted[look] = (count, Background(rows, grain=_GRAIN, common_ratio=self._settings.common_ratio))


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
