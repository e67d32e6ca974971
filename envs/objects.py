"""Objects that stand out of their surroundings, and the most extreme one of each window.

Frames are segmented whole, so that no window's edge cuts an object; an object belongs to the window that holds its
centre of mass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.scorers import Window

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]

_WORKING_PX = 64
"""Windows are averaged down to about this many pixels across first, against counting noise."""
_OUTSTANDING = 5.0
"""Noise deviations above (below) the surroundings from which a pixel belongs to an object."""
_GAUSS_NOISE = 0.2821
"""What a Gaussian of one pixel leaves of white noise: 1 / (2 √π)."""
_FEWEST_PX = 6
_VAGUE_PX = 6.0
"""Objects smaller than this many pixels say little of their size, and less of their shape."""
_COMPACT_ELONGATION, _COMPACT_SOLIDITY = 1.5, 0.85
"""Rounder and fuller than this is one particle, not several that touch: only then is its inside worth a number."""
_MEDIAN_ACROSS = 12
"""The surroundings are first known by the median of so many by so many samples."""
_RIM_SHARE, _RIM_PX, _LEAST_SHARE = 0.8, 2, 0.1
"""How objects are left out of their own surroundings: from this share of the threshold, with this rim."""
_PLAIN = {"elongation": 1.0, "hollowness": 0.7, "roughness": 0.3}
"""Of a featureless round particle; stands where a window has no object with a shape."""


@dataclass(frozen=True, slots=True)
class _Objects:
    """N objects of one sign."""

    row_px: Array
    column_px: Array
    diameter_px: Array
    """Of a disc of equal area."""
    elongation: Array
    """Long over short axis of the ellipse with equal second moments."""
    solidity: Array
    """Area over that of the ellipse with equal second moments."""
    hollowness: Array
    """Mean square radius weighted by contrast over the unweighted one: above 1 where the rim stands out."""
    roughness: Array
    """Standard deviation of the contrast inside over its mean."""


def describe_objects(image: Stack, windows: Sequence[Window], pixel_size_nm: float) -> dict[str, Array]:
    """Descriptors (K,) by name of K windows of a frame (H, W)."""
    smallest = min(min(w.rows_px[1] - w.rows_px[0], w.columns_px[1] - w.columns_px[0]) for w in windows)
    b = max(1, smallest // _WORKING_PX)
    height, width = image.shape[0] // b, image.shape[1] // b
    binned = image[: height * b, : width * b].reshape(height, b, width, b).mean(axis=(1, 3))
    even = np.sqrt(np.maximum(binned, 0.0))  # counting noise is the same everywhere on this scale
    threshold = _OUTSTANDING * _GAUSS_NOISE * _noise(even)
    contrast = _contrast(even, min(2 * smallest // b, *even.shape), threshold)
    edges = np.array([(*w.rows_px, *w.columns_px) for w in windows]) / b
    result: dict[str, Array] = {}
    for sign, name in ((1, "bright"), (-1, "dark")):
        mask = sign * contrast > threshold
        objects = _objects(mask, sign * contrast)
        where = (
            (objects.row_px >= edges[:, :1])
            & (objects.row_px < edges[:, 1:2])
            & (objects.column_px >= edges[:, 2:3])
            & (objects.column_px < edges[:, 3:])
        )
        compact = where & (objects.elongation < _COMPACT_ELONGATION) & (objects.solidity > _COMPACT_SOLIDITY)
        area = [mask[slice(*np.rint(e[:2]).astype(int)), slice(*np.rint(e[2:]).astype(int))].mean() for e in edges]
        result[f"{name}_area_ratio"] = np.array(area)
        result[f"{name}_largest_nm"] = pixel_size_nm * b * _largest(where, objects.diameter_px, _VAGUE_PX)
        result[f"{name}_elongation_ratio"] = _shape(where, objects, objects.elongation, _PLAIN["elongation"])
        result[f"{name}_hollowness_ratio"] = _shape(compact, objects, objects.hollowness, _PLAIN["hollowness"])
        result[f"{name}_roughness_ratio"] = _shape(compact, objects, objects.roughness, _PLAIN["roughness"])
    return result


def _contrast(even: Stack, size_px: int, threshold: float) -> Stack:
    """What differs from the surroundings, ``size_px`` wide, without what stands out in them itself and its rim."""
    smooth = ndimage.gaussian_filter(even, 1.0)
    step = max(1, size_px // _MEDIAN_ACROSS)
    median = _median_filter(smooth[step // 2 :: step, step // 2 :: step], max(3, size_px // step))
    rows, columns = (np.minimum(np.arange(n) // step, m - 1) for n, m in zip(even.shape, median.shape, strict=True))
    contrast = smooth - median[rows][:, columns]
    outstanding = np.abs(contrast) > _RIM_SHARE * threshold
    ordinary = (~_widened(outstanding, _RIM_PX)).astype(np.float32)
    share = ndimage.uniform_filter(ordinary, size_px)
    around = ndimage.uniform_filter(even * ordinary, size_px) / np.maximum(share, _LEAST_SHARE)
    # Where nearly everything stands out, as on a lattice, the median is all there is to compare with.
    return np.asarray(np.where(share > _LEAST_SHARE, smooth - around, contrast))


def _median_filter(values: Stack, size: int) -> Stack:
    """Of ``size`` by ``size`` samples about each: few enough that sorting them all is the quickest."""
    before = size // 2
    padded = np.pad(values, (before, size - 1 - before), mode="symmetric")
    around = np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(*values.shape, size * size)
    return np.asarray(np.sort(around, axis=-1)[..., size * size // 2])


def _widened(mask: npt.NDArray[np.bool_], by_px: int) -> npt.NDArray[np.bool_]:
    """Each pixel's neighbours to the four sides taken in, ``by_px`` times."""
    for _ in range(by_px):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def _objects(mask: npt.NDArray[np.bool_], contrast: Stack) -> _Objects:
    labels, count = ndimage.label(mask)
    rows, columns = np.nonzero(labels)
    which = labels[rows, columns] - 1
    weight = contrast[rows, columns].astype(np.float64)

    def total(values: Array | None = None) -> Array:
        return np.bincount(which, values, minlength=count).astype(np.float64)

    area = total()
    keep = area >= _FEWEST_PX
    area = np.maximum(area, 1.0)
    row, column = total(rows.astype(np.float64)) / area, total(columns.astype(np.float64)) / area
    dr, dc = rows - row[which], columns - column[which]
    rr, cc, rc = total(dr * dr) / area + 1 / 12, total(dc * dc) / area + 1 / 12, total(dr * dc) / area
    half, split = (rr + cc) / 2, np.hypot((rr - cc) / 2, rc)
    mean = total(weight) / area
    weighted = total(weight * (dr * dr + dc * dc)) / np.maximum(area * mean, 1e-12)
    spread = np.sqrt(np.maximum(total(weight**2) / area - mean**2, 0.0))
    return _Objects(
        row_px=row[keep] + 0.5,
        column_px=column[keep] + 0.5,
        diameter_px=np.sqrt(4 / np.pi * area[keep]),
        elongation=np.sqrt((half + split) / np.maximum(half - split, 1 / 12))[keep],
        solidity=(area / (4 * np.pi * np.sqrt(np.maximum(rr * cc - rc * rc, 1 / 144))))[keep],
        hollowness=(weighted / np.maximum(rr + cc - 1 / 6, 1e-6))[keep],
        roughness=(spread / np.maximum(mean, 1e-12))[keep],
    )


def _largest(where: npt.NDArray[np.bool_], values: Array, plain: float) -> Array:
    """(K, N) membership, (N,) values → (K,) the largest in each window, not below ``plain``."""
    return np.asarray(np.where(where, values, plain).max(axis=1, initial=plain))


def _shape(where: npt.NDArray[np.bool_], objects: _Objects, values: Array, plain: float) -> Array:
    """The largest value in each window, (K,), each drawn towards ``plain`` as far as its object is small."""
    area = objects.diameter_px**2
    return _largest(where, plain + (values - plain) * area / (area + _VAGUE_PX**2), plain)


def _noise(even: Stack) -> float:
    """Standard deviation of white noise: a robust form of Immerkær (1996), whose mask no straight edge answers to."""
    padded = np.pad(even, 1, mode="symmetric")
    down = padded[:-2] - 2 * padded[1:-1] + padded[2:]
    response = np.abs(down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]).ravel()
    middle = response.size // 2
    return max(float(np.partition(response, middle)[middle]) * 1.4826 / 6.0, 1e-6)
