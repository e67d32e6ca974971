"""How what lies in a view differs by chance from the endless specimen, and how that goes on as a law has it.

The particles of a place are the same at every look. Each belongs to a stratum of its population that it never leaves
(of its size, of the moment of its birth, of its rank), and by chance a place has more of one and fewer of another. To
the first order every descriptor follows these numbers, so that one draw per stratum and place tells how all looks at
the place, early and late, differ together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.kinetics import DESCRIPTORS, FRACTION, NUMBER, RADIUS, SPREAD, VOLUME, Array, detected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinetics import View

STRATA = 16
"""Of every law's population."""
PARTS = 8
"""Of a view's particles, in the order in which a phase comes to them."""
CHANCES = STRATA + PARTS
_FEWEST = 1e-9


@dataclass(frozen=True, slots=True)
class Strata:
    """P populations by K = STRATA strata."""

    number_per_um2: Array
    """(P,) of all strata, also of particles that are gone or not there yet."""
    share: Array
    """(K,) or (P, K) of that number; sums to 1, and never changes."""
    there: Array
    """(P, K) part of a stratum that is there now."""
    radius_nm: Array
    """(P, K)"""
    fraction: Array
    """(P,) changed, in this view."""
    offset: Array | None = None
    """(P,) by how much that fraction moves where a place is ahead by one standard deviation; None: by nothing."""


def joined(parts: Sequence[Strata]) -> Strata:
    """Populations one after another."""
    offsets = [np.zeros(len(part.fraction)) if part.offset is None else part.offset for part in parts]
    return Strata(
        np.concatenate([part.number_per_um2 for part in parts]),
        np.concatenate([np.broadcast_to(part.share, part.radius_nm.shape) for part in parts]),
        np.concatenate([part.there for part in parts]),
        np.concatenate([part.radius_nm for part in parts]),
        np.concatenate([part.fraction for part in parts]),
        np.concatenate(offsets),
    )


def chances(strata: Strata, *views: View) -> Array:
    """(P, descriptors, CHANCES) by how much one standard deviation of each stratum's number moves the descriptors.

    Of a view of 1 µm²; numbers are Poisson's. It goes as one over the root of the area. Of V views the strata are given
    one after another, P ÷ V of each.
    """
    each = len(strata.radius_nm) // len(views)
    smallest_nm, number_floor, volume_floor = (
        np.repeat([getattr(view, name) for view in views], each)
        for name in ("smallest_nm", "number_floor_per_um2", "volume_floor_nm")
    )
    share = np.broadcast_to(strata.share, strata.radius_nm.shape)
    there = share * strata.there
    seen = there * detected(strata.radius_nm, smallest_nm[:, None])
    part = seen.sum(axis=1)
    weight = seen / np.maximum(part, _FEWEST)[:, None]
    radius = strata.radius_nm
    mean = np.maximum((weight * radius).sum(axis=1), _FEWEST)
    variance = np.maximum((weight * radius**2).sum(axis=1) - mean**2, (0.02 * mean) ** 2)
    spread = np.sqrt(variance) / mean
    moved = np.zeros((len(part), len(DESCRIPTORS), radius.shape[1]))
    number = strata.number_per_um2 * part
    moved[:, NUMBER] = weight * (number / (number + number_floor))[:, None]
    off = radius / mean[:, None] - 1
    moved[:, RADIUS] = weight * off
    moved[:, SPREAD] = weight * ((off**2 - spread[:, None] ** 2) / (2 * spread[:, None]) - spread[:, None] * off)
    cubes = there * radius**3
    volume = np.maximum(cubes.sum(axis=1), _FEWEST)
    told_nm = 4e-6 / 3 * np.pi * strata.number_per_um2 * volume
    moved[:, VOLUME] = cubes / volume[:, None] * (told_nm / (told_nm + volume_floor))[:, None]
    root = np.sqrt(np.maximum(strata.number_per_um2, _FEWEST))
    sds = 1 / np.sqrt(np.maximum(share, _FEWEST)) / root[:, None]
    found = np.zeros((len(part), len(DESCRIPTORS), CHANCES))
    found[:, :, :STRATA] = moved * sds[:, None, :]
    found[:, FRACTION, STRATA:] = _parts(strata.fraction, there, radius, root)
    return found


def _parts(fraction: Array, there: Array, radius: Array, root: Array) -> Array:
    """(P, PARTS) of the fraction, by the numbers of those that change early and late, weighted by their volume."""
    cubes = radius**3
    first, second = (there * cubes).sum(axis=1), (there * cubes**2).sum(axis=1)
    uneven = np.sqrt(second * there.sum(axis=1)) / np.maximum(first, _FEWEST)
    changed = np.clip(fraction[:, None] * PARTS - np.arange(PARTS), 0.0, 1.0)
    scale = uneven / np.maximum(root * np.sqrt(there.sum(axis=1)), _FEWEST)
    return np.asarray((changed - fraction[:, None]) * (scale / np.sqrt(PARTS))[:, None])
