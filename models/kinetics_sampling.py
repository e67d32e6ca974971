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
    """P populations by K = STRATA strata; at T moments (T, P) where they change in time."""

    number_per_um2: Array
    """(…, P) of all strata, also of particles that are gone or not there yet."""
    share: Array
    """(K,) or (…, P, K) of that number; sums to 1, and never changes."""
    there: Array
    """(…, P, K) part of a stratum that is there now."""
    radius_nm: Array
    """(…, P, K)"""
    fraction: Array
    """(…, P) changed, in this view."""
    offset: Array | None = None
    """(…, P) by how much that fraction moves where a place is ahead by one standard deviation; None: by nothing."""


def joined(parts: Sequence[Strata]) -> Strata:
    """V populations of (T, P) or (P,) as one (V, T, P)."""
    shape = parts[0].fraction.shape
    each = (*shape, STRATA)
    zero = np.zeros(shape)
    return Strata(
        np.array([np.broadcast_to(part.number_per_um2, shape) for part in parts]),
        parts[0].share if parts[0].share.ndim == 1 else np.array([np.broadcast_to(p.share, each) for p in parts]),
        np.array([np.broadcast_to(part.there, each) for part in parts]),
        np.array([np.broadcast_to(part.radius_nm, each) for part in parts]),
        np.array([part.fraction for part in parts]),
        np.array([zero if part.offset is None else part.offset for part in parts]),
    )


def chances(strata: Strata, *views: View) -> Array:
    """(…, P, descriptors, CHANCES) by how much one standard deviation of each stratum's number moves the descriptors.

    Of a view of 1 µm²; numbers are Poisson's. It goes as one over the root of the area. Of V > 1 views the strata are
    given as ``joined`` has them.
    """
    own = (len(views), *[1] * (strata.fraction.ndim - 1)) if len(views) > 1 else (1,)
    smallest_nm, number_floor, volume_floor = (
        np.array([getattr(view, name) for view in views]).reshape(own)
        for name in ("smallest_nm", "number_floor_per_um2", "volume_floor_nm")
    )
    radius = strata.radius_nm
    there = strata.share * strata.there
    seen = there * detected(radius, smallest_nm[..., None])
    part = seen.sum(axis=-1)
    weight = seen / np.maximum(part, _FEWEST)[..., None]
    weighted = weight * radius
    mean = np.maximum(weighted.sum(axis=-1), _FEWEST)
    variance = np.maximum((weighted * radius).sum(axis=-1) - mean**2, (0.02 * mean) ** 2)
    spread = (np.sqrt(variance) / mean)[..., None]
    found = np.zeros((*strata.fraction.shape, len(DESCRIPTORS), CHANCES))
    root = np.sqrt(np.maximum(strata.number_per_um2, _FEWEST))
    sds = 1 / np.sqrt(np.maximum(strata.share, _FEWEST)) / root[..., None]
    number = strata.number_per_um2 * part
    weight = weight * sds
    found[..., NUMBER, :STRATA] = weight * (number / (number + number_floor))[..., None]
    off = radius / mean[..., None] - 1
    found[..., RADIUS, :STRATA] = weight * off
    found[..., SPREAD, :STRATA] = weight * ((off**2 - spread**2) / (2 * spread) - spread * off)
    cubes = there * radius**3
    volume = np.maximum(cubes.sum(axis=-1), _FEWEST)
    told_nm = 4e-6 / 3 * np.pi * strata.number_per_um2 * volume
    found[..., VOLUME, :STRATA] = cubes * sds * (told_nm / (told_nm + volume_floor) / volume)[..., None]
    found[..., FRACTION, STRATA:] = _parts(strata.fraction, there, radius, root)
    return found


def _parts(fraction: Array, there: Array, radius: Array, root: Array) -> Array:
    """(…, P, PARTS) of the fraction, by the numbers of those that change early and late, weighted by their volume."""
    cubes = radius**3
    first, second = (there * cubes).sum(axis=-1), (there * cubes**2).sum(axis=-1)
    all_there = there.sum(axis=-1)
    uneven = np.sqrt(second * all_there) / np.maximum(first, _FEWEST)
    changed = np.clip(fraction[..., None] * PARTS - np.arange(PARTS), 0.0, 1.0)
    scale = uneven / np.maximum(root * np.sqrt(all_there), _FEWEST)
    return np.asarray((changed - fraction[..., None]) * (scale / np.sqrt(PARTS))[..., None])
