"""What the flagger is held against: other ways to score the same places of the same frames.

A method takes the places that one look showed and gives each a score, larger for the more unusual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest

from envs.descriptors import NAMES, transformed
from envs.novelty import NoveltyScorer, image_of
from envs.scorers import Window
from models.anomaly import Anomaly
from models.encoder import features, load_encoder
from surveys.seeing import SeeingScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envs.scorers import Description
    from envs.step import Step
    from instruments.types import Frame
    from surveys.sights import Sight

Array: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.float32]

_PLACES, _BANK, _NEIGHBOURS = 8192, 512, 3
"""Of the memory bank: places drawn, those kept of them, and neighbours that weigh a distance."""


class Keeping(NoveltyScorer):
    """The classical scorer, which also keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, tuple[npt.NDArray[np.float32], list[Window]]] = {}

    def describe(self, frame: Frame, windows: Sequence[Window]) -> Description:
        found = super().describe(frame, windows)
        told = np.isfinite(found.descriptors).all(axis=1)  # of the others too little lies in the frame
        self.kept[frame.exposure.id or 0] = image_of(frame), [w for w, good in zip(windows, told, strict=True) if good]
        return found


@dataclass(slots=True)
class Shown:
    """The frames of a survey, and where in them each place is."""

    images: dict[int, npt.NDArray[np.float32]]
    windows: dict[tuple[int, int], Window]
    """By exposure and target."""
    _features: dict[int, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, steps: Sequence[Step], scorer: Keeping) -> Shown:
        found: dict[tuple[int, int], Window] = {}
        for step in steps:
            if step.score is not None and step.score.cells and step.shown is not None:  # a blank frame shows none
                number = step.shown.exposure.id or 0
                found |= {
                    (number, cell): window
                    for cell, window in zip(step.score.cells, scorer.kept[number][1], strict=True)
                }
        return cls({number: image for number, (image, _) in scorer.kept.items()}, found)

    def features(self, exposure_id: int) -> Floats:
        if exposure_id not in self._features:
            self._features[exposure_id] = features(load_encoder(), self.images[exposure_id])
        return self._features[exposure_id]

    def exposures(self, group: Sequence[Sight]) -> list[int]:
        return sorted({sight.exposure_id for sight in group})


def brightness(group: Sequence[Sight], shown: Shown) -> Array:
    """Distance of the mean from the survey's median."""
    return _off_median(transformed(_rows(group))[:, NAMES.index("mean_counts")])


def variance(group: Sequence[Sight], shown: Shown) -> Array:
    """Distance of the logarithm of the variance from the survey's median."""
    rows = _rows(group)
    contrasts = rows[:, [number for number, name in enumerate(NAMES) if name.endswith("contrast_ratio")][:5]]
    spread = np.sqrt((contrasts**2).sum(axis=1)) * np.abs(rows[:, NAMES.index("mean_counts")])
    return _off_median(2 * np.log(spread + 1e-3))


def alone(group: Sequence[Sight], shown: Shown) -> Array:
    """The classical density of single places, without the evidence of places side by side."""
    scorer = NoveltyScorer()
    scorer.observe(group[0].look, _rows(group))
    return scorer.completed().deviation(group[0].look, _rows(group))


def forest(group: Sequence[Sight], shown: Shown) -> Array:
    """scikit-learn's isolation forest on our own descriptors."""
    values = transformed(_rows(group))
    return np.asarray(-IsolationForest(n_estimators=200, random_state=0).fit(values).score_samples(values))


def network(group: Sequence[Sight], shown: Shown) -> Array:
    """``models.anomaly`` on the encoder's features, fitted on the look's own frames."""
    watch = Anomaly()
    for number in shown.exposures(group):
        watch.observe(number, shown.features(number))
    watch.refit()
    scores = {number: watch.scores(shown.features(number)) for number in shown.exposures(group)}
    return _cells(group, shown, lambda number, window: watch.cell(scores[number], window.rows_px, window.columns_px))


def combined(group: Sequence[Sight], shown: Shown) -> Array:
    """``surveys.seeing``: the encoder's density of whole cells orders what the classical one leaves in doubt."""
    scorer = SeeingScorer()
    number: dict[int, list[int]] = {}
    for n, sight in enumerate(group):
        number.setdefault(sight.exposure_id, []).append(n)
    rows = np.zeros((len(group), len(scorer.names)))
    for exposure_id, which in number.items():
        windows = [shown.windows[exposure_id, group[n].target] for n in which]
        rows[which] = np.concatenate([_rows(group)[which], scorer.seen(shown.images[exposure_id], windows)], axis=1)
    scorer.observe(group[0].look, rows)
    return scorer.completed().deviation(group[0].look, rows)


def memory_bank(group: Sequence[Sight], shown: Shown) -> Array:
    """After PatchCore (Roth et al. 2022) on the same features: a greedy coreset, the farthest place speaks for a cell.

    The bank is of the survey itself, so a frame is never compared with its own places.
    """
    numbers, rng = shown.exposures(group), np.random.default_rng(0)
    rows = np.concatenate([shown.features(n).reshape(-1, shown.features(n).shape[-1]) for n in numbers])
    frames = np.concatenate([np.full(shown.features(n).shape[0] * shown.features(n).shape[1], n) for n in numbers])
    chosen = rng.choice(len(rows), min(_PLACES, len(rows)), replace=False)
    rows, frames = rows[chosen].astype(np.float64), frames[chosen]
    kept, far = [0], np.linalg.norm(rows - rows[0], axis=1)
    while len(kept) < min(_BANK, len(rows)):
        kept.append(int(far.argmax()))
        far = np.minimum(far, np.linalg.norm(rows - rows[kept[-1]], axis=1))
    bank, owners = rows[kept], frames[kept]
    between = cdist(bank, bank)
    nearby = np.argsort(between, axis=1)[:, :_NEIGHBOURS]
    maps = {}
    for number in numbers:
        seen = shown.features(number)
        distance = cdist(seen.reshape(-1, seen.shape[-1]).astype(np.float64), bank)
        distance[:, owners == number] = np.inf
        nearest = distance.argmin(axis=1)
        least = distance[np.arange(len(distance)), nearest]
        around = np.take_along_axis(distance, nearby[nearest], axis=1)
        around[~np.isfinite(around)] = around[np.isfinite(around)].max()
        weight = 1 - np.exp(least) / np.exp(around).sum(axis=1).clip(np.exp(least))
        maps[number] = (least * weight).reshape(seen.shape[:2])
    return _cells(group, shown, lambda number, window: float(maps[number][_places(window)].max()))


METHODS: Mapping[str, Callable[[Sequence[Sight], Shown], Array]] = {
    "network": network,
    "combined": combined,
    "places alone": alone,
    "memory bank": memory_bank,
    "isolation forest": forest,
    "brightness": brightness,
    "variance": variance,
}


def _cells(group: Sequence[Sight], shown: Shown, score: Callable[[int, Window], float]) -> Array:
    return np.array([score(s.exposure_id, shown.windows[s.exposure_id, s.target]) for s in group])


def _places(window: Window) -> tuple[slice, slice]:
    rows, columns = (
        slice(first // 8, max(last // 8, first // 8 + 1)) for first, last in (window.rows_px, window.columns_px)
    )
    return rows, columns


def _rows(group: Sequence[Sight]) -> Array:
    return np.array([sight.descriptors for sight in group])


def _off_median(values: Array) -> Array:
    return np.abs(values - np.median(values))
