"""What the scan coils do to a frame: lines that start a little off, a beam that lags behind after the flyback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from instruments.simulated.hashing import uniform

if TYPE_CHECKING:
    from instruments.simulated.hashing import Floats
    from instruments.simulated.settings import ScanSettings
    from instruments.types import Exposure

_JITTER = 410
"""Stream of randomness."""


def moved_px(settings: ScanSettings, exposure: Exposure, seed: int, number: int) -> Floats | None:
    """(H, W) pixels by which the beam stands right of where it should, in frame ``number``; None where it does not.

    Lines have errors of their own. The beam begins each line ``flyback_nm`` short and catches up exponentially.
    """
    if settings.line_jitter_nm == 0 and settings.flyback_nm == 0:
        return None
    rows, columns = exposure.shape
    lines = ndtri(np.clip(uniform(seed, _JITTER, number, np.arange(rows)).astype(np.float64), 1e-7, 1 - 1e-7))
    at_us = exposure.dwell_us * np.arange(columns)
    behind = settings.flyback_nm * np.exp(-at_us / settings.flyback_us)
    moved: Floats = (settings.line_jitter_nm * lines[:, None] - behind[None, :]) / exposure.pixel_size_nm
    return moved


def distorted(image: Floats, moved: Floats | None) -> Floats:
    """A frame (H, W) or (H, W, E) as the scan gives it that is off by ``moved_px``, up to the frame's edge."""
    if moved is None:
        return image
    rows, columns = moved.shape
    where = np.clip(np.arange(columns) + moved, 0, columns - 1)
    left = np.minimum(where.astype(np.int64), columns - 2)
    part = (where - left).astype(np.float32).reshape(rows, columns, *(1,) * (image.ndim - 2))
    row = np.arange(rows)[:, None]
    seen: Floats = image[row, left] * (1 - part) + image[row, left + 1] * part
    return seen
