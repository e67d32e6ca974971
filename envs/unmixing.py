"""How much of which material a sum of spectra or patterns shows, by what pure material shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

_ROUNDS = 3
_TYPICAL_nm = 0.3
_EMPTY = 1e-5
"""Channels with less than this part of the strongest one's counts say nothing of their own variance."""
_LEAST = 0.5
"""Counts that a channel is taken to expect at least: of empty channels the variance is not known."""


@dataclass(frozen=True, slots=True)
class References:
    """What the instrument shows for each electron sent: of the support alone, and more by each nm of a material."""

    support: Array
    """(E,)"""
    per_nm: Array
    """(M, E)"""


def amounts_nm(counts: Array, electrons: float, references: References) -> tuple[Array, Array]:
    """Thickness (M,) of each material in the mean over the place, and its covariance (M, M).

    ``counts``: (E,) summed over the place. Weighted least squares, with the weights of Poisson counts as they are
    fitted (three rounds). Thin matter is taken for granted: what it adds is proportional to its amount. The support's
    own amount is fitted as well, so that its thickness may differ.
    """
    design = np.column_stack([references.support, references.per_nm.T]) * electrons
    expected = np.maximum(design[:, 0], _LEAST)
    for _ in range(_ROUNDS):
        weighted = design / expected[:, None]
        precision = design.T @ weighted
        found = np.linalg.lstsq(precision, weighted.T @ counts, rcond=None)[0]
        expected = np.maximum(design @ np.maximum(found, 0.0), _LEAST)
    covariance = np.linalg.pinv(design.T @ (design / expected[:, None]))
    return np.asarray(found[1:]), np.asarray(covariance[1:, 1:])


def radial(pattern: npt.NDArray[np.generic]) -> Array:
    """(Ky, Kx) → sums over rings one pixel wide around the middle."""
    rows, columns = pattern.shape
    y, x = np.mgrid[:rows, :columns]
    ring = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2).astype(int)
    return np.asarray(np.bincount(ring.ravel(), pattern.astype(np.float64).ravel()), dtype=np.float64)


def covariance_per_electron(references: References) -> Array:
    """(M, M) of the amounts for one electron, where some of each material lies on the support.

    It falls as the number of electrons grows.
    """
    design = np.column_stack([references.support, references.per_nm.T])
    expected = references.support + _TYPICAL_nm * np.maximum(references.per_nm, 0.0).sum(axis=0)
    counts = expected > _EMPTY * expected.max()
    design, expected = design[counts], expected[counts]
    scale = np.sqrt(np.square(design).sum(axis=0))
    inner = (design / scale).T @ (design / scale / expected[:, None])
    return np.asarray((np.linalg.inv(inner) / np.outer(scale, scale))[1:, 1:])
