"""A specimen without end, addressed by place and seed: nothing is kept, and a frame costs what its pixels cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from instruments.simulated.damage import standing
from instruments.simulated.drawing import Materials, draw
from instruments.simulated.hashing import Floats, smooth_noise, uniform
from instruments.simulated.projection import Canvas, Ellipsoids, join
from instruments.simulated.rare import CELL_NM as RARE_CELL_NM
from instruments.simulated.rare import Feature, rare_features
from instruments.simulated.relief import Relief

if TYPE_CHECKING:
    from instruments.simulated.settings import HoleSettings, SpecimenSettings

CELL_NM = 50.0
"""Ordinary particles are scattered by squares of this width."""
COARSE_PX_NM = 20.0
"""Above this pixel size particles are a mean density: they could not be told apart, and would cost without bound."""
_LARGEST: float = 2.5
"""Radius at most, in medians."""
BLOCK_CELLS = 8
BLOCK_NM = BLOCK_CELLS * CELL_NM
_SLIGHT: float = 2e-3
"""Of the critical fluence: a frame on a fresh place that brings less is not thought to harm what it shows."""
_CLUMP_NM: float = 160.0
_THICK, _WAVE, _CLUMP, _HEAVY, _LIGHT, _GRAIN = 0, 1, 2, 3, 4, 7  # 5 and 6 are those of the relief
"""Streams of randomness; each finer grain takes the next."""


@dataclass(frozen=True, slots=True)
class _Block:
    """What is centred in a square of the specimen."""

    light: Ellipsoids
    heavy: Ellipsoids
    rare: tuple[Feature, ...]


class Specimen:
    """Support film, ordinary particles of two classes and rare features, all functions of place and seed."""

    def __init__(self, settings: SpecimenSettings, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._block = lru_cache(maxsize=512)(self._make_block)
        self.height_nm = Relief(settings.slope_nm_per_um, settings.waviness_nm, seed).height_nm

    def features(self, x_range_nm: tuple[float, float], y_range_nm: tuple[float, float]) -> tuple[Feature, ...]:
        """Rare features whose centres lie in a rectangle of places."""
        return rare_features(self._settings, self._seed, x_range_nm, y_range_nm)

    def project(self, canvas: Canvas, before_e_per_A2: Floats | None, own_e_per_A2: float = 0.0) -> Materials:
        """Nanometres of film, light and heavy material under every pixel, after what the beam has done, and does."""
        settings = self._settings
        order = None
        film = self._film(canvas)
        if before_e_per_A2 is not None or own_e_per_A2 > _SLIGHT * settings.critical_fluence_e_per_A2:
            before = np.zeros(canvas.shape, dtype=np.float32) if before_e_per_A2 is None else before_e_per_A2
            order = standing(before, own_e_per_A2, 1 / settings.critical_fluence_e_per_A2)
        if canvas.pixel_nm > COARSE_PX_NM:
            light, heavy = self._mean(canvas)
            rare: tuple[Feature, ...] = ()
        else:
            blocks = self._blocks(canvas)
            light = canvas.thickness(join([block.light for block in blocks]))
            heavy = canvas.thickness(join([block.heavy for block in blocks]))
            rare = tuple(feature for block in blocks for feature in block.rare)
        materials = Materials(canvas, film, light, heavy, order)
        for feature in rare:
            draw(feature, materials)
        if order is not None:
            materials.light_nm *= 0.4 + 0.6 * order
            materials.film_nm += settings.contamination_nm * (1 - order)
        if settings.holes is not None:
            solid = _solid(settings.holes, canvas)
            for material in (materials.film_nm, materials.light_nm, materials.heavy_nm):
                material *= solid
        return materials

    def _film(self, canvas: Canvas) -> Floats:
        settings, seed = self._settings, self._seed
        xs, ys, pixel = canvas.xs_nm, canvas.ys_nm, canvas.pixel_nm
        film = smooth_noise(seed, _THICK, xs, ys, 700.0) * np.float32(settings.film_variation)
        film += smooth_noise(seed, _WAVE, xs, ys, 45.0) * np.float32(settings.film_variation / 3)
        for n, grain_nm in enumerate((0.9, 3.0)):
            if pixel < 1.2 * grain_nm:  # coarser pixels average the grain away
                kept = settings.film_grain / (1 + (pixel / grain_nm) ** 2)
                film += smooth_noise(seed, _GRAIN + n, xs, ys, grain_nm) * np.float32(kept)
        film += 1
        np.maximum(film, 0.05, out=film)
        film *= np.float32(settings.film_nm)
        return film

    def _blocks(self, canvas: Canvas) -> list[_Block]:
        """The blocks of specimen that may touch a canvas."""
        reach_nm = max(30.0, 1.3 * _LARGEST * max(self._settings.light_radius_nm, self._settings.heavy_radius_nm))
        (left, right), (low, high) = canvas.x_range_nm, canvas.y_range_nm
        across = range(math.floor((left - reach_nm) / BLOCK_NM), math.floor((right + reach_nm) / BLOCK_NM) + 1)
        down = range(math.floor((low - reach_nm) / BLOCK_NM), math.floor((high + reach_nm) / BLOCK_NM) + 1)
        return [self._block(i, j) for i in across for j in down]

    def _make_block(self, i: int, j: int) -> _Block:
        """All that is centred in one block: a pure function of where it is, remembered for speed only."""
        settings = self._settings
        x_range, y_range = (i * BLOCK_NM, (i + 1) * BLOCK_NM), (j * BLOCK_NM, (j + 1) * BLOCK_NM)
        around = self.features(_wider(x_range, RARE_CELL_NM), _wider(y_range, RARE_CELL_NM))
        return _Block(
            light=self._particles(i, j, _LIGHT, settings.light_radius_nm, settings.light_per_um2, around),
            heavy=self._particles(i, j, _HEAVY, settings.heavy_radius_nm, settings.heavy_per_um2, around),
            rare=tuple(f for f in around if x_range[0] <= f.x_nm < x_range[1] and y_range[0] <= f.y_nm < y_range[1]),
        )

    def _particles(
        self, block_i: int, block_j: int, stream: int, radius_nm: float, per_um2: float, rare: tuple[Feature, ...]
    ) -> Ellipsoids:
        """Ordinary particles of one class in a block: clumped, log-normal in size, ellipsoidal."""
        cells = np.arange(BLOCK_CELLS)
        i, j = (block_i * BLOCK_CELLS + cells)[:, None, None], (block_j * BLOCK_CELLS + cells)[None, :, None]
        mean = per_um2 * 1e-6 * CELL_NM**2
        slots = np.arange(max(1, math.ceil(2 * mean)))[None, None, :]
        draws = uniform(self._seed, stream, *(index[..., None] for index in (i, j, slots)), np.arange(6))
        chance, u, v, size, shape, direction = np.moveaxis(draws.astype(np.float64), -1, 0)
        middles = [(block * BLOCK_CELLS + cells).astype(np.float64) + 0.5 for block in (block_i, block_j)]
        clumps = smooth_noise(self._seed, _CLUMP, middles[0], middles[1], _CLUMP_NM / CELL_NM).T
        present = chance < np.clip(1 + 0.45 * clumps, 0.1, 2)[:, :, None] * (mean / slots.size)
        x, y = ((i + u) * CELL_NM)[present], ((j + v) * CELL_NM)[present]
        normal = ndtri(np.clip(size[present], 1e-6, 1 - 1e-6))
        spread = np.clip(self._settings.size_spread * normal, -math.log(_LARGEST), math.log(_LARGEST))
        radius, long = radius_nm * np.exp(spread), np.sqrt(1 + 0.6 * shape[present] ** 2)
        free = np.ones(len(x), dtype=bool)
        for feature in rare:  # a place holds one thing
            free &= np.hypot(x - feature.x_nm, y - feature.y_nm) > 0.5 * feature.size_nm
        particles = Ellipsoids(x, y, radius * long, radius / long, radius, math.pi * direction[present])
        return particles.where(free)

    def _mean(self, canvas: Canvas) -> tuple[Floats, Floats]:
        settings = self._settings
        clumps = smooth_noise(self._seed, _CLUMP, canvas.xs_nm / CELL_NM, canvas.ys_nm / CELL_NM, _CLUMP_NM / CELL_NM)
        density = np.clip(1 + 0.45 * clumps, 0.1, 2.0)
        volumes = (
            4 / 3 * math.pi * radius**3 * math.exp(4.5 * settings.size_spread**2) * per_um2 * 1e-6
            for radius, per_um2 in (
                (settings.light_radius_nm, settings.light_per_um2),
                (settings.heavy_radius_nm, settings.heavy_per_um2),
            )
        )
        light, heavy = ((volume * density).astype(np.float32) for volume in volumes)
        return light, heavy


def _wider(range_nm: tuple[float, float], margin_nm: float) -> tuple[float, float]:
    return range_nm[0] - margin_nm, range_nm[1] + margin_nm


def _solid(holes: HoleSettings, canvas: Canvas) -> Floats:
    """1 on the film, 0 in a hole, (H, W); the edge is a pixel wide, at least 2 nm. (0, 0) lies between four holes."""
    half = holes.pitch_nm / 2
    dx = np.abs((canvas.xs_nm % holes.pitch_nm) - half).astype(np.float32)[None, :]
    dy = np.abs((canvas.ys_nm % holes.pitch_nm) - half).astype(np.float32)[:, None]
    distance = np.sqrt(dx * dx + dy * dy)
    return np.clip((distance - holes.diameter_nm / 2) / max(canvas.pixel_nm, 2.0) + 0.5, 0, 1)
