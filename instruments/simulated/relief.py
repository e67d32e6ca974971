"""How high the specimen lies where: a tilted plane with waves."""

from __future__ import annotations

import math

import numpy as np

from instruments.simulated.hashing import uniform

_HEIGHT, _SLOPE = 5, 6
"""Streams of randomness."""


class Relief:
    """A plane whose slope and waves of 1.5…5.5 µm the seed draws."""

    def __init__(self, slope_nm_per_um: float, waviness_nm: float, seed: int) -> None:
        self._waviness_nm = waviness_nm
        direction, steepness = uniform(seed, _SLOPE, np.arange(2)).astype(np.float64)
        slope = slope_nm_per_um * 1e-3 * (0.5 + 0.5 * steepness)
        self._slope = slope * math.cos(2 * math.pi * direction), slope * math.sin(2 * math.pi * direction)
        waves = uniform(seed, _HEIGHT, np.arange(4)[:, None], np.arange(3)[None, :]).astype(np.float64)
        turns, lengths = 2 * math.pi * waves[:, 0], 1500 + 4000 * waves[:, 1]
        self._waves = 2 * math.pi * np.stack([np.cos(turns) / lengths, np.sin(turns) / lengths, waves[:, 2]])

    def height_nm(self, x_nm: float, y_nm: float) -> float:
        """Height at a place over the height at (0, 0)."""
        kx, ky, phase = self._waves
        waves = float(np.mean(np.sin(kx * x_nm + ky * y_nm + phase) - np.sin(phase)))
        return float(self._slope[0] * x_nm + self._slope[1] * y_nm) + self._waviness_nm * waves
