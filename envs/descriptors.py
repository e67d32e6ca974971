"""Pixels → numbers a microscopist would name: brightness, contrast by scale, lattice, shapes, edges.

Pure and vectorised: equal windows of a frame are described as one stack. Every value is in the unit of its name;
``transform`` says on which scale it spreads evenly, so that medians and spreads fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.lattices import SCALES, describe_spectra
from envs.objects import describe_objects
from envs.scorers import Window
from envs.shapes import describe_shapes, describe_surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]

Ratio: TypeAlias = float

SMALLEST_WINDOW_PX = 8


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One number read out of a window."""

    name: str
    """Unit in the name; ``_ratio`` is dimensionless."""
    words: str
    """What it measures, for a reason given to a person."""
    unit: str
    transform: Literal["none", "log", "sqrt"]
    floor: float = 0.0
    """Added before a log: values well below it are all alike."""
    grain: Ratio = 0.02
    """The least spread taken seriously, on the transformed scale."""
    fabric: bool = True
    """Says what a place is made of: not how its most extreme object looks, nor how a lattice falls into the window."""


_FOLDS = {
    (2, "cos"): "vertical over horizontal stripes",
    (2, "sin"): "rising over falling stripes",
    (4, "cos"): "upright over diagonal texture",
    (4, "sin"): "texture turned by 22.5° over that turned back",
}
"""What a 2-fold or 4-fold moment of the power over its direction means to the eye."""

DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("mean_counts", "mean brightness", "counts", "sqrt"),
    *(Descriptor(f"{s}_contrast_ratio", f"{s} contrast", "", "log", 1e-3) for s in SCALES),
    Descriptor("local_brightness_ratio", "brightness against the surroundings", "", "log", 1e-2),
    Descriptor("local_contrast_ratio", "contrast against the surroundings", "", "log", 1e-2),
    Descriptor("asymmetry_ratio", "bright over dark tail", "", "log", 1e-2),
    Descriptor("unevenness_ratio", "unevenness of the texture", "", "log", 1e-2, fabric=False),
    Descriptor("lattice_strength_ratio", "strongest diffraction spot over its ring", "", "log", 15.0, 0.2),
    Descriptor("lattice_spots_number", "number of diffraction spots", "", "log", 2.0, 0.3),
    Descriptor("spacing_nm", "dominant spacing", "nm", "log", 1e-9),
    *(Descriptor(f"fold{fold}_{part}_ratio", words, "", "none", 0.0, 0.05) for (fold, part), words in _FOLDS.items()),
    *(
        descriptor
        for kind in ("bright", "dark")
        for descriptor in (
            Descriptor(f"{kind}_area_ratio", f"area of {kind} objects", "", "log", 2e-2, 0.2),
            Descriptor(f"{kind}_largest_nm", f"largest {kind} object", "nm", "log", 1e-9, 0.2, fabric=False),
            Descriptor(
                f"{kind}_elongation_ratio",
                f"elongation of the longest {kind} object",
                "",
                "log",
                0.0,
                0.1,
                fabric=False,
            ),
            Descriptor(
                f"{kind}_hollowness_ratio", f"hollowness of a {kind} object", "", "log", 0.0, 0.05, fabric=False
            ),
            Descriptor(
                f"{kind}_roughness_ratio", f"roughness within a {kind} object", "", "log", 0.0, 0.1, fabric=False
            ),
        )
    ),
    Descriptor("edge_ratio", "sharpest edges over the usual gradient", "", "log", 1e-2),
    Descriptor("step_ratio", "brightness step across the window", "", "log", 1e-3, fabric=False),
)
NAMES: tuple[str, ...] = tuple(d.name for d in DESCRIPTORS)
FABRIC = np.array([n for n, d in enumerate(DESCRIPTORS) if d.fabric])
"""Columns that say what a place is made of."""
_CONTRASTS = [NAMES.index(f"{scale}_contrast_ratio") for scale in SCALES]


def transformed(values: npt.ArrayLike) -> Array:
    """(K, F) natural values on the scales on which they spread evenly.

    >>> row = np.ones(len(DESCRIPTORS)); row[0] = 16.0
    >>> float(transformed([row])[0, 0])
    4.0
    """
    natural = np.atleast_2d(np.asarray(values, dtype=np.float64))
    result = natural.copy()
    for column, descriptor in enumerate(DESCRIPTORS):
        if descriptor.transform == "log":
            result[:, column] = np.log(np.maximum(natural[:, column], 0.0) + descriptor.floor)
        elif descriptor.transform == "sqrt":
            result[:, column] = np.sqrt(np.maximum(natural[:, column], 0.0))
    return result


def natural(values: npt.ArrayLike) -> Array:
    """The inverse of ``transformed``, (K, F) → (K, F)."""
    scaled = np.atleast_2d(np.asarray(values, dtype=np.float64))
    result = scaled.copy()
    for column, descriptor in enumerate(DESCRIPTORS):
        if descriptor.transform == "log":
            result[:, column] = np.maximum(np.exp(scaled[:, column]) - descriptor.floor, 0.0)
        elif descriptor.transform == "sqrt":
            result[:, column] = np.maximum(scaled[:, column], 0.0) ** 2
    return result


def shows_nothing(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """(K, F) natural values → (K,): a window without any contrast, as of a detector that was off, is no place."""
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return np.asarray((rows[:, _CONTRASTS] <= 0).all(axis=1))


def describe_windows(image: npt.NDArray[np.generic], windows: Sequence[Window], pixel_size_nm: float) -> Array:
    """Describe K windows of an image.

    ``image``: (H, W) counts, row 0 on top. Returns (K, F) in the order of ``NAMES``; NaN where a window, cut off by the
    frame's edge, has fewer than 8 px either way and tells nothing. Raises ValueError for a window outside the image.
    """
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.ndim != 2:
        raise ValueError(f"descriptors are read from an image (H, W); got an array of shape {pixels.shape}")
    result = np.full((len(windows), len(DESCRIPTORS)), np.nan)
    groups: dict[tuple[int, int], list[int]] = {}
    for number, window in enumerate(windows):
        shape_px = _shape_px(window, pixels.shape)
        if min(shape_px) >= SMALLEST_WINDOW_PX:
            groups.setdefault(shape_px, []).append(number)
    for numbers in groups.values():
        inside = np.stack([_cut(pixels, windows[n]) for n in numbers])
        around = [_cut(pixels, _around(windows[n], pixels.shape)) for n in numbers]
        group = [windows[n] for n in numbers]
        whole = describe_objects(pixels, group, pixel_size_nm) | describe_surroundings(pixels, group)
        result[numbers] = _describe(inside, around, pixel_size_nm, whole)
    return result


def _cut(pixels: Stack, window: Window) -> Stack:
    return pixels[slice(*window.rows_px), slice(*window.columns_px)]


def _around(window: Window, shape: tuple[int, ...]) -> Window:
    """Twice the window, moved to stay within the frame: under a Hann taper it weighs as the window itself does."""

    def doubled(start: int, stop: int, size: int) -> tuple[int, int]:
        length = min(2 * (stop - start), size)
        first = min(max(start - (length - (stop - start)) // 2, 0), size - length)
        return first, first + length

    return Window(doubled(*window.rows_px, shape[0]), doubled(*window.columns_px, shape[1]))


def _shape_px(window: Window, shape: tuple[int, ...]) -> tuple[int, int]:
    (top, bottom), (left, right) = window.rows_px, window.columns_px
    if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
        raise ValueError(f"{window} reaches outside a frame of {shape[0]}×{shape[1]} px; clip it first")
    return bottom - top, right - left


def _describe(inside: Stack, around: Sequence[Stack], pixel_size_nm: float, whole: dict[str, Array]) -> Array:
    """(K, h, w) windows and K surroundings (h', w') of theirs → (K, F)."""
    mean = inside.mean(axis=(1, 2), dtype=np.float64)
    level = np.maximum(np.abs(mean), 1e-6)
    columns = {"mean_counts": mean, **whole}
    columns.update(describe_spectra(around, min(inside.shape[1:]), pixel_size_nm))
    columns.update(describe_shapes(inside, level))
    return np.stack([columns[name] for name in NAMES], axis=1)
