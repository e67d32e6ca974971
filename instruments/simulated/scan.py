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


def distorted(image: Floats, settings: ScanSettings, exposure: Exposure, seed: int, number: int) -> Floats:
    """A frame (H, W) as the real scan gives it: frame ``number`` has line errors of its own.

    The beam begins each line ``flyback_nm`` short of where it should be and catches up exponentially.
    """
    if settings.line_jitter_nm == 0 and settings.flyback_nm == 0:
        return image
    rows, columns = image.shape
    lines = ndtri(np.clip(uniform(seed, _JITTER, number, np.arange(rows)).astype(np.float64), 1e-7, 1 - 1e-7))
    at_us = exposure.dwell_us * np.arange(columns)
    behind = settings.flyback_nm * np.exp(-at_us / settings.flyback_us)
    moved_px = (settings.line_jitter_nm * lines[:, None] - behind[None, :]) / exposure.pixel_size_nm
    where = np.clip(np.arange(columns) + moved_px, 0, columns - 1)
    left = np.minimum(where.astype(np.int64), columns - 2)
    part = (where - left).astype(np.float32)
    row = np.arange(rows)[:, None]
    seen: Floats = image[row, left] * (1 - part) + image[row, left + 1] * part
    return seen
