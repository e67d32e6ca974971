"""Where a tilted stage brings what lies above its axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Place: TypeAlias = tuple[float, float]


def swung(
    place_nm: Place, axis_nm: float, tilts_rad: tuple[float, float], height_nm: Callable[[float, float], float]
) -> tuple[Place, float]:
    """The place that the beam hits, and how far that lies above the axes of tilt, across the specimen.

    ``axis_nm``: how far a flat specimen lies above the axes; ``tilts_rad``: beta, whose axis goes along y, and alpha,
    whose axis goes along x; ``height_nm``: of the specimen's relief. As in a side-entry goniometer, x and y ride on the
    cradle that tilts: wherever the stage is driven to, the axes stay under the beam, and only what lies h above them
    leaves it, by h tan α across the specimen.
    """
    x, y = place_nm
    along, across = (math.tan(tilt) for tilt in tilts_rad)
    off_nm = axis_nm + height_nm(x, y)
    if not (along or across):
        return place_nm, off_nm
    hit = x + off_nm * along, y + off_nm * across
    return hit, off_nm + height_nm(*hit) - height_nm(x, y)
