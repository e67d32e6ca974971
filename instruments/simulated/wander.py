"""What wanders slowly and stays near: thermal drift, lenses."""

from __future__ import annotations

import math

import numpy as np

from instruments.simulated.hashing import Doubles, uniform

WAVES = 3
"""Of each number, with periods of 0.5…2.5 h."""


class Wander:
    """``count`` numbers, each a sum of slow waves."""

    def __init__(self, seed: int, stream: int, count: int) -> None:
        draws = uniform(seed, stream, np.arange(WAVES)[:, None], np.arange(2 * count)[None, :]).astype(np.float64)
        self._rates = 2 * math.pi / (1800 + 7200 * draws[:, :count])
        self._phases = 2 * math.pi * draws[:, count:]

    def at(self, now_s: float) -> Doubles:
        """(count,) between −WAVES and WAVES."""
        return np.asarray(np.sin(self._rates * now_s + self._phases).sum(axis=0))
