"""A Gaussian process that stays local, so that a decision costs the same on a large specimen as on a small one."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Array: TypeAlias = npt.NDArray[np.float64]

AT_ONCE = 256
"""Queries whose k × k matrices are held at a time: what fits a processor's cache."""


def matern32(distance: Array) -> Array:
    """Correlation at (…) distances in length scales; once differentiable (Rasmussen & Williams 2006, eq. 4.17).

    >>> matern32(np.array([0.0])).item()
    1.0
    """
    r = math.sqrt(3.0) * distance
    return np.asarray((1.0 + r) * np.exp(-r))


def predict(
    seen: Array, values: Array, query: Array, *, length: float, signal: float, noise: float, neighbours: int = 12
) -> tuple[Array, Array]:
    """Mean and variance `(Q,)` of a zero-mean process at ``query`` `(Q, D)`; ``values`` `(M,)` were seen at `(M, D)`.

    Every query is conditioned on its nearest ``neighbours`` only (Vecchia 1988; Datta et al., JASA 111, 800 (2016)):
    exact for M ≤ ``neighbours``, and Q·neighbours³ operations however many were seen.

    ``length`` is in the units of the coordinates; ``signal`` is the variance of the process and ``noise`` that of a
    value about it. The variance returned is that of the process, without the noise.
    Raises ValueError where length or noise is not positive, or signal negative.
    """
    if not (length > 0 and noise > 0 and signal >= 0):
        raise ValueError(f"need length > 0, noise > 0 and signal ≥ 0; found {length}, {noise} and {signal}")
    if not len(seen) or signal == 0:
        return np.zeros(len(query)), np.full(len(query), signal)
    tree, k = cKDTree(seen), min(neighbours, len(seen))
    parts = [
        _predict(seen, values, query[first : first + AT_ONCE], tree, k, length, signal, noise)
        for first in range(0, len(query), AT_ONCE)
    ]
    nothing = np.zeros(0)
    return np.concatenate([nothing, *(m for m, _ in parts)]), np.concatenate([nothing, *(v for _, v in parts)])


def _predict(
    seen: Array, values: Array, query: Array, tree: cKDTree, k: int, length: float, signal: float, noise: float
) -> tuple[Array, Array]:
    near = tree.query(query, k=k)[1].reshape(len(query), k)
    points = seen[near]
    between = np.sqrt(sum(np.square(x[:, :, None] - x[:, None, :]) for x in np.moveaxis(points, -1, 0)))
    towards = np.linalg.norm(points - query[:, None, :], axis=-1)
    covariance = signal * matern32(between / length) + noise * np.eye(k)
    cross = signal * matern32(towards / length)
    weights = np.linalg.solve(covariance, cross[..., None])[..., 0]
    mean = np.einsum("qk,qk->q", weights, values[near])
    variance = signal - np.einsum("qk,qk->q", weights, cross)
    return mean, np.maximum(variance, 0.0)


def neighbour_correlation(points: Array, values: Array, *, reach: float, prior: float, weight: float) -> float:
    """Correlation (0 … 1) of ``values`` `(M,)`, of mean 0, between points `(M, D)` nearer than ``reach`` to each other.

    Shrunk towards ``prior`` as if ``weight`` pairs of that correlation had been seen: few pairs say nothing new.
    """
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray") if len(points) > 1 else np.empty((0, 2), int)
    scale = float(np.mean(values**2)) if len(values) else 0.0
    products = float(np.sum(values[pairs[:, 0]] * values[pairs[:, 1]])) / scale if scale > 0 else 0.0
    return float(np.clip((prior * weight + products) / (weight + len(pairs)), 0.0, 0.99))
