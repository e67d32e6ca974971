"""Rare features: a few places that differ in kind, at places the seed decides and the truth knows exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from instruments.simulated.hashing import uniform

if TYPE_CHECKING:
    from instruments.simulated.settings import SpecimenSettings

CELL_NM = 60.0
"""At most one rare feature in each square of this width, so that none hides another."""
SIZES_NM = {
    "void": (22.0, 30.0),
    "rod": (34.0, 44.0),
    "cluster": (26.0, 36.0),
    "lattice": (26.0, 38.0),
    "crack": (36.0, 48.0),
}
"""Largest extent by kind, from and to."""
AREA_RATIOS = {"void": 0.785, "rod": 0.15, "cluster": 0.785, "lattice": 0.65, "crack": 0.08}
"""Covered area over the square of the size, by kind."""
_FULL = 0.6
"""Largest chance that a cell holds a feature: clusters grow wider rather than denser."""
_PLACE, _BLOB = 101, 102


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing on the specimen, as the truth knows it."""

    id: int
    """The same whenever it is asked for."""
    kind: str
    x_nm: float
    y_nm: float
    size_nm: float
    """Largest extent."""
    rare: bool
    direction_rad: float


def covered_area_nm2(feature: Feature) -> float:
    """What it covers; those of recipes, whose shapes are their own, as if round."""
    return AREA_RATIOS.get(feature.kind, math.pi / 4) * feature.size_nm**2


def mean_area_nm2(kinds: tuple[str, ...]) -> float:
    """Mean covered area of a rare feature when every kind is as frequent."""
    squares = [AREA_RATIOS[k] * (lo * lo + lo * hi + hi * hi) / 3 for k in kinds for lo, hi in (SIZES_NM[k],)]
    return sum(squares) / len(squares)


def rare_features(
    settings: SpecimenSettings, seed: int, x_range_nm: tuple[float, float], y_range_nm: tuple[float, float]
) -> tuple[Feature, ...]:
    """Rare features whose centres lie in a rectangle of places, in order of their cells."""
    if settings.rare_layout == "none" or settings.rare_fraction == 0:
        return ()
    i, j = np.meshgrid(_cells(x_range_nm), _cells(y_range_nm), indexing="ij")
    draws = uniform(seed, _PLACE, i[..., None], j[..., None], np.arange(6))
    chance, u, v, kind, size, direction = np.moveaxis(draws.astype(np.float64), -1, 0)
    x, y = (i + 0.3 + 0.4 * u) * CELL_NM, (j + 0.3 + 0.4 * v) * CELL_NM
    present = chance < _density(settings, seed, x, y) * CELL_NM**2
    present &= (x >= x_range_nm[0]) & (x <= x_range_nm[1]) & (y >= y_range_nm[0]) & (y <= y_range_nm[1])
    features = []
    for n in np.flatnonzero(present):
        name = settings.rare_kinds[int(kind.flat[n] * len(settings.rare_kinds))]
        smallest, largest = SIZES_NM[name]
        identity = ((int(i.flat[n]) & 0x7FFFFFFF) << 31) | (int(j.flat[n]) & 0x7FFFFFFF)
        features.append(
            Feature(
                id=identity,
                kind=name,
                x_nm=float(x.flat[n]),
                y_nm=float(y.flat[n]),
                size_nm=smallest + (largest - smallest) * float(size.flat[n]),
                rare=True,
                direction_rad=2 * math.pi * float(direction.flat[n]),
            )
        )
    return tuple(features)


def _cells(range_nm: tuple[float, float]) -> np.ndarray:
    return np.arange(math.floor(range_nm[0] / CELL_NM), math.floor(range_nm[1] / CELL_NM) + 1)


def _density(settings: SpecimenSettings, seed: int, x_nm: np.ndarray, y_nm: np.ndarray) -> np.ndarray:
    """Expected rare features per nm² at places."""
    mean = settings.rare_fraction / mean_area_nm2(settings.rare_kinds)
    if settings.rare_layout == "uniform":
        return np.full(x_nm.shape, mean)
    # One Gaussian patch in each square of pitch², holding all of that square's share; the squares around reach in.
    pitch = settings.cluster_pitch_nm
    count = mean * pitch**2
    width = max(0.07 * pitch, math.sqrt(count * CELL_NM**2 / (2 * math.pi * _FULL)))
    i = np.arange(math.floor(x_nm.min() / pitch) - 1, math.floor(x_nm.max() / pitch) + 2)[:, None]
    j = np.arange(math.floor(y_nm.min() / pitch) - 1, math.floor(y_nm.max() / pitch) + 2)[None, :]
    u, v = uniform(seed, _BLOB, i, j, 0), uniform(seed, _BLOB, i, j, 1)
    density = np.zeros(x_nm.shape)
    for x, y in zip(((i + 0.2 + 0.6 * u) * pitch).flat, ((j + 0.2 + 0.6 * v) * pitch).flat, strict=True):
        density += np.exp(((x_nm - x) ** 2 + (y_nm - y) ** 2) / (-2 * width**2))
    return density * (count / (2 * math.pi * width**2))
