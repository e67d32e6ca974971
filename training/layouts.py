"""Specimens to train on: measured readings, turned and mirrored, with their rare features laid out anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.errors import ConfigError
from configs.load import Settings
from envs.tasks import Budget, SurveyTask
from instruments.simulated.rare import rare_features
from instruments.simulated.settings import SpecimenSettings

if TYPE_CHECKING:
    from training.episode import EpisodeSettings
    from training.readings import Readings

Map: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float
Range = Annotated[tuple[Ratio, Ratio], Field(description="from, to")]

DRAWS = 20
"""Layouts tried before one without any rare feature is taken for what there is."""
NEAR = 4
"""Ordinary readings from above are told apart no better than by so many ranks."""


class VariationSettings(Settings):
    """How far the worlds of training differ; equal ends, 0 and false leave that as it was measured."""

    relaid: Ratio = Field(0.8, ge=0, le=1)
    """Share of the episodes whose rare features lie anew."""
    turned: bool = True
    """Whether specimens are turned by quarters and mirrored."""
    rare_fraction: Range = (0.002, 0.012)
    cluster_pitch_nm: Range = (900.0, 2600.0)
    uniform: Ratio = Field(0.4, ge=0, le=1)
    """Share of new layouts in which rare features lie anywhere."""
    noise: Ratio = Field(0.2, ge=0)
    """Standard deviation of the logarithm of a reading."""
    first_quality: Range = (0.5, 1.0)
    """Of readings before the first focus, over those in focus."""
    focus_loss: Range = (0.0, 0.003)
    """Of that quality with each step."""
    dose_ratio: Range = (0.06, 0.18)
    time_ratio: Range = (0.5, 3.0)
    """Time to spend, over what the looks that the dose pays for take on short ways."""

    def budgeted(self, task: SurveyTask, settings: EpisodeSettings, rng: np.random.Generator) -> SurveyTask:
        """The task with a budget of its own."""
        dose_ratio = float(rng.uniform(*self.dose_ratio))
        detail = task.looks[-1]
        looks = dose_ratio * len(task.tree.leaves)
        time_s = looks * (detail.duration_s + task.settle_s + 0.5) * float(rng.uniform(*self.time_ratio))
        electrons = dose_ratio * settings.full_electrons()
        return replace(task, budget=Budget(time_s=time_s, electrons=electrons))


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """What looks at H × W sites would read."""

    above: Map
    seen: Map
    features: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        """Rare features, at least 1."""
        return max(int(self.features.sum()), 1)


def specimen_of(
    readings: Readings, settings: EpisodeSettings, variation: VariationSettings, rng: np.random.Generator
) -> Specimen:
    """Draw one, a part of a larger one where that was measured. Raises ConfigError for readings of too few sites.

    Readings that were not taken are drawn from ordinary sites that look alike from above.
    """
    one, sites = int(rng.integers(len(readings.kind))), settings.sites
    height, width = readings.above.shape[1:]
    if min(height, width) < sites:
        raise ConfigError(
            f"readings of {height} × {width} sites hold no survey of {sites} × {sites}: measure larger ones"
        )
    row, column = int(rng.integers(height - sites + 1)), int(rng.integers(width - sites + 1))
    part = np.s_[one, row : row + sites, column : column + sites]
    above, seen, features = readings.above[part], readings.seen[part], readings.features[part]
    ordinary = features == 0
    known = ordinary & np.isfinite(seen)
    order = np.argsort(above[known], kind="stable")
    ranked, theirs = above[known][order], seen[known][order]
    laid = _laid(settings, variation, rng) if rng.random() < variation.relaid else features
    above = above.copy()
    emptied = (features > 0) & (laid == 0)
    above[emptied] = rng.choice(above[ordinary], int(emptied.sum()))
    near = np.searchsorted(ranked, above) + rng.integers(-NEAR, NEAR + 1, above.shape)
    filled = np.where(known & (laid == 0), seen, theirs[np.clip(near, 0, len(theirs) - 1)])
    if laid is not features:
        rare = (
            (readings.features > 0) & (readings.kind == readings.kind[one])[:, None, None] & np.isfinite(readings.seen)
        )
        drawn = rng.integers(max(int(rare.sum()), 1), size=int((laid > 0).sum()))
        if rare.any():
            above[laid > 0], filled[laid > 0] = readings.above[rare][drawn], readings.seen[rare][drawn]
    else:
        filled = np.where(np.isfinite(seen), seen, filled)
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))

    def placed(each: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.rot90(each.T if mirrored else each, turns).copy() if variation.turned else each

    return Specimen(above=placed(above), seen=placed(filled), features=placed(laid))


def _laid(settings: EpisodeSettings, variation: VariationSettings, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(H, W) rare features a site, of a layout that the simulator's own law draws."""
    site_nm, sites = settings.site_nm, settings.sites
    half_nm = sites * site_nm / 2
    laid = np.zeros((sites, sites), dtype=np.uint8)
    for _ in range(DRAWS):
        specimen = SpecimenSettings(
            rare_layout="uniform" if rng.random() < variation.uniform else "clustered",
            rare_fraction=float(rng.uniform(*variation.rare_fraction)),
            cluster_pitch_nm=float(rng.uniform(*variation.cluster_pitch_nm)),
        )
        x_nm, y_nm = rng.uniform(-1e5, 1e5, 2)
        found = rare_features(
            specimen,
            int(rng.integers(2**31)),
            (x_nm - half_nm, x_nm + half_nm),
            (y_nm - half_nm, y_nm + half_nm),
        )
        if found:
            column = np.array([(f.x_nm - x_nm + half_nm) / site_nm for f in found]).astype(int).clip(0, sites - 1)
            row = np.array([(f.y_nm - y_nm + half_nm) / site_nm for f in found]).astype(int).clip(0, sites - 1)
            np.add.at(laid, (row, column), 1)
            return laid
    return laid
