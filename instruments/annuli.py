"""What a detector under the specimen sees: discs, rings and segments over a diffraction pattern.

Angles are measured on the pattern's own axes, x along columns and y along rows, so that 0° is +column and 90° is +row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

_FINE = 8
"""Samples across a pixel: an edge is known to about 1 % of a pixel's area."""


@dataclass(frozen=True, slots=True)
class Annulus:
    """A part of the plane of angles; the whole disc has inner_mrad 0, the whole ring an arc from 0 to 360."""

    inner_mrad: float
    outer_mrad: float
    arc_deg: tuple[float, float] = (0.0, 360.0)
    """From, to; growing from +column towards +row. It may pass 360: (350, 370) is 20° wide."""

    def __post_init__(self) -> None:
        """Raise ValueError where the numbers are no ring or no arc."""
        if not 0 <= self.inner_mrad < self.outer_mrad < math.inf:
            raise ValueError(
                f"a detector from {self.inner_mrad:g} to {self.outer_mrad:g} mrad was asked; give 0 ≤ inner < outer"
            )
        first, last = self.arc_deg
        if not (-360 <= first <= 360 and 0 < last - first <= 360):
            raise ValueError(
                f"a segment from {first:g} to {last:g} degrees was asked; give from < to, at most 360 apart, "
                "starting between -360 and 360"
            )


def angles(shape: tuple[int, int], scale_mrad_per_px: tuple[float, float], centre_px: tuple[float, float]) -> Array:
    """(2, h, w) mrad of every pixel's middle from the beam's centre: along rows, along columns.

    Raises ValueError where the scale is not positive or the centre is no number.
    """
    _check(shape, scale_mrad_per_px, centre_px)
    y, x = ((np.arange(n) - c) * scale for n, c, scale in zip(shape, centre_px, scale_mrad_per_px, strict=True))
    return np.stack(np.meshgrid(y, x, indexing="ij"))


def mask(
    detector: Annulus,
    shape: tuple[int, int],
    scale_mrad_per_px: tuple[float, float],
    centre_px: tuple[float, float],
) -> Array:
    """(h, w) share of each pixel's area that the detector covers, 0 … 1.

    ``scale_mrad_per_px`` and ``centre_px`` are (row, column); pixel (0, 0) has its middle at (0, 0).
    Raises ValueError as ``angles`` does.
    """
    _check(shape, scale_mrad_per_px, centre_px)
    inside = (np.arange(_FINE) + 0.5) / _FINE - 0.5
    y, x = (
        ((np.arange(n)[:, None] + inside).ravel() - c) * scale
        for n, c, scale in zip(shape, centre_px, scale_mrad_per_px, strict=True)
    )
    r2 = y[:, None] ** 2 + x[None, :] ** 2
    covered = (r2 >= detector.inner_mrad**2) & (r2 < detector.outer_mrad**2)
    first, last = detector.arc_deg
    if last - first < 360:
        covered &= np.mod(np.degrees(np.arctan2(y[:, None], x[None, :])) - first, 360) < last - first
    return np.asarray(covered.reshape(shape[0], _FINE, shape[1], _FINE).mean((1, 3)))


def reach_mrad(shape: tuple[int, int], scale_mrad_per_px: tuple[float, float], centre_px: tuple[float, float]) -> float:
    """The widest disc about the centre that lies wholly on the pattern."""
    _check(shape, scale_mrad_per_px, centre_px)
    sides = zip(shape, centre_px, scale_mrad_per_px, strict=True)
    return min(min(c + 0.5, n - 0.5 - c) * scale for n, c, scale in sides)


def _check(shape: tuple[int, int], scale_mrad_per_px: tuple[float, float], centre_px: tuple[float, float]) -> None:
    if not all(0 < scale < math.inf for scale in scale_mrad_per_px) or not all(map(math.isfinite, centre_px)):
        raise ValueError(
            f"a pattern of {shape} pixels with {scale_mrad_per_px} mrad per pixel and its centre at {centre_px} was "
            "given: the scale must be positive and the centre a number; calibrate the camera"
        )
