"""What each pixel of an image and its surroundings look like at several scales, told once for all who learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.feature import multiscale_basic_features

from models.encoder import refusal

Floats: TypeAlias = npt.NDArray[np.float32]

_SCALES_px = (0.7, 16.0)
_AGAINST = 8.0
"""Surroundings are so many times as wide as what is held against them."""
_WIDTHS_px = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Description:
    """An image and what it was described by."""

    pixels: Floats
    """(H, W) as recorded."""
    columns: Floats
    """(H, W, F) scikit-image's trainable-segmentation features, and each width's grey values less those around.

    Of grey values less their median, in units of ``spread``. All are homogeneous: of k times the values they are k
    times as large, so that ``columns * spread`` tells of grey values as recorded.
    """
    spread: float
    """Of the grey values, between their 5th and 95th percentiles; never 0."""


def describe(image: npt.NDArray[np.generic]) -> Description:
    """An image (H, W). Raises ValueError where it says nothing."""
    if (why := refusal(image)) is not None:
        raise ValueError(f"an image cannot be read: {why}")
    pixels = np.asarray(image, dtype=np.float32)
    low, high = np.percentile(pixels, (5, 95))
    spread = max(float(high - low), 1e-12)
    even = (pixels - np.median(pixels)) / np.float32(spread)
    found = multiscale_basic_features(even, sigma_min=_SCALES_px[0], sigma_max=_SCALES_px[1], workers=1)
    against = [gaussian_filter(even, w) - gaussian_filter(even, _AGAINST * w) for w in _WIDTHS_px]
    columns = np.concatenate([found, np.stack(against, axis=-1)], axis=-1, dtype=np.float32)
    return Description(pixels, columns, spread)


def gallery_columns(pixels: Floats) -> Floats:
    """(H, W, F) of an image (H, W) the features of the trainable segmentation in scikit-image's gallery, as they are.

    Between an image's least and greatest value, which of images of one exposure are nearly the same.
    """
    even = (pixels - pixels.min()) / max(float(np.ptp(pixels)), 1e-12)
    return np.asarray(multiscale_basic_features(even, sigma_min=1, sigma_max=16, workers=1), dtype=np.float32)
