"""Masks from a few labelled frames, and what lies in them measured: counts, densities, sizes, each with its range.

Every pixel is told by what its surroundings look like at several scales (scikit-image's trainable-segmentation
features, and for boosted trees the encoder's), with trees or a forest fitted to the labelled frames alone. For trees
frames are standardised, so that brightness may drift between them; the forest takes them between their extremes, as
the gallery of scikit-image does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from skimage.measure import label, regionprops

from models.agreement import LEAST_PX
from models.counting import large_parts, mass
from models.description import gallery_columns
from models.encoder import STRIDE, features
from models.held_out import levelled, splits, told_by_others
from models.pixelwise import Boosted, Forest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.description import Description
    from models.encoder import Encoder
    from models.pixelwise import Pixelwise

Array: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]
Ratio: TypeAlias = float

_KINDS: dict[str, Callable[..., Pixelwise]] = {"trees": Boosted, "forest": Forest}
_HALF: Ratio = 0.5
"""The forest's threshold, as its gallery has it."""
_COMPONENTS = 16
"""Directions of the encoder's features that are kept: of all labelled frames together."""
_GRID_PX = 0.5
"""A diameter is never known better on a grid of pixels."""
_UNSURE = 0.2
"""Sizes at probabilities so much lower and higher than the threshold tell how well a boundary is known."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object."""

    row_px: float
    column_px: float
    area_px: float
    diameter_nm: float
    """Of a disc of equal area."""
    diameter_low_nm: float
    """With ``diameter_high_nm`` its range as the boundary is known."""
    diameter_high_nm: float
    elongation: Ratio
    probability: Ratio
    """Mean over its pixels."""
    cut: bool
    """By the frame's rim: its size and shape are those of the part that is seen."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one frame holds."""

    things: tuple[Thing, ...]
    area_um2: float
    """Of the frame."""
    count_low: float
    """With ``count_high`` the range of the number expected in such a frame: counting, and which objects are sure."""
    count_high: float
    covered: Ratio
    covered_low: Ratio
    covered_high: Ratio

    @property
    def count(self) -> float:
        """Those that the frame's rim cuts are halves: without bias at a straight rim, whatever their sizes."""
        return sum(0.5 if thing.cut else 1.0 for thing in self.things)


class Outliner(Protocol):
    """What tells an image's pixels, taught by a few labelled frames."""

    threshold: float
    """The probability from which a pixel is inside: the best where labelled frames are told by the others."""
    held_out: list[Mask]
    """(H, W) of each labelled frame, what the others outline in it; none where these show too little."""

    def probabilities(self, image: Description) -> Floats:
        """(H, W) of being inside."""


class Segmenter:
    """Trees, or a forest."""

    def __init__(
        self,
        images: Sequence[Description],
        masks: Sequence[Mask],
        encoder: Encoder | None,
        seed: int = 0,
        by: str = "trees",
    ) -> None:
        """``masks`` (H, W), one for each image, True inside what is to be found. ``by``: trees or forest.

        Raises ValueError for masks that do not fit, and for such that show fewer pixels than one object has.
        """
        _check(images, masks)
        self._by, self._encoder = by, encoder if by == "trees" else None
        self._basis = None if self._encoder is None else _basis([features(self._encoder, i.pixels) for i in images])
        columns, made = [self._columns(image) for image in images], splits(masks)
        fit = partial(_KINDS[by], seed=seed)
        self.told = told_by_others(columns, masks, fit, made)
        """(H, W) of each labelled frame, its pixels' probabilities as the others tell them; none as above."""
        if by == "forest":
            self.threshold, self.held_out = _HALF, [each > _HALF for each in self.told]
        else:
            self.threshold, self.held_out = levelled(self.told, masks, made)
        rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in columns])
        self._model = fit(rows, np.concatenate([mask.ravel() for mask in masks]))

    def probabilities(self, image: Description) -> Floats:
        columns = self._columns(image)
        return self._model.probabilities(columns.reshape(-1, columns.shape[-1])).reshape(columns.shape[:2])

    def _columns(self, image: Description) -> Floats:
        """(H, W, F) what each pixel is told by: its description, and for trees what the encoder sees around it."""
        if self._by == "forest":
            return gallery_columns(image.pixels)
        if self._encoder is None or self._basis is None:
            return image.columns
        mean, directions = self._basis
        seen = ((features(self._encoder, image.pixels) - mean) @ directions).astype(np.float32)
        return np.concatenate([image.columns, _spread(seen, image.pixels.shape)], axis=-1, dtype=np.float32)


class Both:
    """The mean of what several tell, which were taught by the same masks."""

    def __init__(self, each: Sequence[Segmenter], masks: Sequence[Mask]) -> None:
        self._each = tuple(each)
        told = [_mean(frame) for frame in zip(*(one.told for one in each), strict=True)]
        self.threshold, self.held_out = levelled(told, masks, splits(masks))

    def probabilities(self, image: Description) -> Floats:
        return _mean([one.probabilities(image) for one in self._each])


def _mean(told: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(told, axis=0), dtype=np.float32)


def measure(probabilities: Floats, threshold: float, pixel_size_nm: float) -> Measured:
    """Objects of a frame's probabilities (H, W)."""
    mask = probabilities > threshold
    whole = label(mask)
    looser, tighter = max(threshold - _UNSURE, 0.02), min(threshold + _UNSURE, 0.98)
    things = []
    for region in regionprops(whole, intensity_image=probabilities):
        if region.area < LEAST_PX:
            continue
        top, left, bottom, right = region.bbox
        around = np.s_[max(top - 4, 0) : bottom + 4, max(left - 4, 0) : right + 4]
        small = float((probabilities[around][whole[around] == region.label] > tighter).sum())
        near = (whole[around] == region.label) | (whole[around] == 0)
        large = max(float((near & (probabilities[around] > looser)).sum()), float(region.area))
        things.append(
            Thing(
                row_px=float(region.centroid[0]),
                column_px=float(region.centroid[1]),
                area_px=float(region.area),
                diameter_nm=_diameter(region.area) * pixel_size_nm,
                diameter_low_nm=max(min(_diameter(small), _diameter(region.area) - _GRID_PX), 0.0) * pixel_size_nm,
                diameter_high_nm=max(_diameter(large), _diameter(region.area) + _GRID_PX) * pixel_size_nm,
                elongation=float(region.axis_major_length / max(region.axis_minor_length, 1.0)),
                probability=float(region.intensity_mean),
                cut=top == 0 or left == 0 or bottom == whole.shape[0] or right == whole.shape[1],
            )
        )
    counts = [float(mass(large_parts(probabilities > level)).sum()) for level in (looser, threshold, tighter)]
    return Measured(
        things=tuple(things),
        area_um2=probabilities.size * pixel_size_nm**2 / 1e6,
        count_low=_poisson(min(counts))[0],
        count_high=_poisson(max(counts))[1],
        covered=float(mask.mean()),
        covered_low=float((probabilities > tighter).mean()),
        covered_high=float((probabilities > looser).mean()),
    )


def _diameter(area_px: float) -> float:
    return 2 * math.sqrt(area_px / math.pi)


def _poisson(count: float) -> tuple[float, float]:
    """Exact 95 % interval of a mean, of which so many were counted (Garwood 1936).

    >>> [round(each, 2) for each in _poisson(10)]
    [4.8, 18.39]
    """
    low = float(stats.chi2.ppf(0.025, 2 * count) / 2) if count else 0.0
    return low, float(stats.chi2.ppf(0.975, 2 * count + 2) / 2)


def _check(images: Sequence[Description], masks: Sequence[Mask]) -> None:
    if not images or len(images) != len(masks):
        raise ValueError(
            f"{len(images)} images and {len(masks)} masks were given: give one mask for each, one at least"
        )
    for number, (image, mask) in enumerate(zip(images, masks, strict=True), start=1):
        if mask.shape != image.pixels.shape:
            raise ValueError(f"mask {number} is {mask.shape}, its image {image.pixels.shape}: they must be of one size")
    inside, whole = sum(int(mask.sum()) for mask in masks), sum(mask.size for mask in masks)
    if not LEAST_PX <= inside <= whole - LEAST_PX:
        raise ValueError(f"the masks cover {inside} pixels of {whole}: label some, not all, {LEAST_PX} pixels at least")


def _basis(seen: Sequence[Floats]) -> tuple[Floats, Floats]:
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in seen])
    mean = rows.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    kept = min(_COMPONENTS, len(rows) - 1)
    scaled = directions[:, -kept:] / np.sqrt(np.maximum(variance[-kept:], 1e-12))
    return mean, scaled.astype(np.float32)


def _spread(seen: Floats, shape: tuple[int, ...]) -> Floats:
    """Features of places (h, w, F) for each pixel (H, W, F), between their middles."""
    rows, columns = (STRIDE * size for size in seen.shape[:2])
    planes = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None]
    wide = torch.nn.functional.interpolate(planes, size=(rows, columns), mode="bilinear", align_corners=False)
    found = wide[0].permute(1, 2, 0).numpy()
    if found.shape[:2] != shape:
        found = np.pad(found, ((0, shape[0] - rows), (0, shape[1] - columns), (0, 0)), mode="edge")
    return np.asarray(found, dtype=np.float32)
