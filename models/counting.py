"""Counting by a segmentation: the level, smoothing and least size at which the labelled frames are counted right.

A threshold that fits areas best parts and joins objects as it comes; who follows a number needs one that fits numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.measure import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.segmentation import Segmenter

Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

_LEVELS = np.linspace(0.1, 0.8, 29)
_SMOOTH_px = (0.0, 1.0, 1.5)
_LEAST_px = (4, 8, 12, 20, 30)


@dataclass(frozen=True, slots=True)
class CountRule:
    """How probabilities become a number of objects."""

    level: Ratio
    smooth_px: float
    least_px: int
    off: Ratio
    """Mean of |ln(counted ÷ labelled)| over the labelled frames, each half counted by what the others taught."""

    def count(self, probabilities: Floats) -> int:
        """Objects of a frame's probabilities (H, W)."""
        smooth = gaussian_filter(probabilities, self.smooth_px) if self.smooth_px else probabilities
        return int((np.bincount(label(smooth > self.level).ravel())[1:] >= self.least_px).sum())


def count_rule(model: Segmenter, columns: Sequence[Floats], masks: Sequence[Mask], seed: int = 0) -> CountRule:
    """The rule that counts the labelled frames best; ``columns`` as ``model.columns`` gives them.

    What trees say of their own pixels is too good, so that each half of the frames is told by trees of the other. The
    model is fitted to all labelled pixels in the end.
    """
    told = honest_probabilities(model, columns, masks, seed)
    labelled = [max(int(label(mask).max()), 1) for mask in masks]
    best: CountRule | None = None
    for smooth_px, least_px in product(_SMOOTH_px, _LEAST_px):
        for level in _LEVELS:
            rule = CountRule(float(level), smooth_px, least_px, 0.0)
            off = [abs(math.log(max(rule.count(p), 1) / count)) for p, count in zip(told, labelled, strict=True)]
            if best is None or float(np.mean(off)) < best.off:
                best = CountRule(float(level), smooth_px, least_px, float(np.mean(off)))
    if best is None:
        raise ValueError("no labelled frame was given to count by: give one at least")
    return best


def honest_probabilities(model: Segmenter, columns: Sequence[Floats], masks: Sequence[Mask], seed: int) -> list[Floats]:
    """(H, W) of each labelled frame, its left half told by trees of all right halves and the other way round."""
    told = [np.zeros(mask.shape, dtype=np.float32) for mask in masks]
    half = masks[0].shape[1] // 2
    for mine, other in ((np.s_[:, :half], np.s_[:, half:]), (np.s_[:, half:], np.s_[:, :half])):
        model.fit([each[mine] for each in columns], [mask[mine] for mask in masks], seed)
        for n, each in enumerate(columns):
            told[n][other] = model.probabilities(each[other])
    model.fit(columns, masks, seed)
    return told
