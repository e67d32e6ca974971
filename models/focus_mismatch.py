"""How much wider than its noise an estimate is where the model misses what is there.

Noise leaves residuals without order, and parts of the data then pull the estimate by chance, each as its information
says. What a model lacks leaves residuals that hang together, and whole parts pull one way: the covariance that allows
for it is H⁻¹ (Σ_b g_b g_bᵀ) H⁻¹ with the pulls g_b of B parts (Liang & Zeger, Biometrika 73 (1986) 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.focus_optics import Array


def widened(covariance: Array, pulls: Array) -> Array:
    """A covariance (F, F) made so many times larger, never smaller, as the pulls (B, F) of parts say that it is.

    ``covariance`` is an inverse curvature of a cost; ``pulls`` are the slopes of the same cost, part by part.

    >>> even = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> widened(np.eye(2) / 2, even).tolist(), widened(np.eye(2) / 2, 2 * even).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[4.0, 0.0], [0.0, 4.0]])
    """
    parts, free = pulls.shape
    centred = pulls - pulls.mean(0)
    seen = centred.T @ centred * parts / (parts - free)
    return np.asarray(covariance * max(1.0, float(np.trace(covariance @ seen)) / free))
