"""Worlds out of focus, for benchmarks: places on the library's specimens under probes of unknown aberrations."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from instruments.aberrations import NAMES, Aperture
from instruments.simulated.library import SPECIMENS
from instruments.simulated.renderer import Camera, Renderer, Views
from models.focus_bound import information_per_nm2, std_nm

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]

UNSEEN, TUNING = 20000, 500
"""First seeds of the worlds measured on and of those that the sweeps are tuned on."""
DRIFT_px, GAIN = 2.0, 0.02
"""Standard deviations of the drift and of the logarithm of the current between exposures."""
SOUND_nm, CLEAR_nm = 0.2, 1.0
"""A fine view with a bound below the first on C10 and both of C12, or a coarse one below the second, can be focused."""
COARSE, FINE = Camera(shape=(256, 256), pixel_nm=0.8), Camera(shape=(128, 128), pixel_nm=0.04)
FAR_nm = (200.0, 3.5, 3.5, 20.0, 20.0, 20.0, 20.0, 500.0)
"""Half widths of what the true coefficients are drawn from."""
NEAR_nm = (8.0, 3.5, 3.5, 20.0, 20.0, 20.0, 20.0, 500.0)
UNTUNED_nm = (8.0, 3.5, 3.5, 100.0, 100.0, 100.0, 100.0, 500.0)


@lru_cache(maxsize=32)
def renderer(name: str, camera: Camera) -> Renderer:
    return Renderer(SPECIMENS[name], camera)


class World:
    """World number n: a place of a specimen, each specimen in turn, under a probe of unknown aberrations."""

    def __init__(self, first: int, n: int, camera: Camera, ranges_nm: Sequence[float]) -> None:
        self.name, self.seed, self.camera = tuple(SPECIMENS)[n % len(SPECIMENS)], first + n, camera
        self.rng = np.random.default_rng((self.seed, 0))
        self.thickness_nm = renderer(self.name, camera).thickness_nm() * self.rng.uniform(0.8, 1.2)
        """As an operator knows it."""
        self.place_nm = self.rng.uniform(-500, 500, 2)
        self.truth_nm = self.rng.uniform(-1, 1, len(NAMES)) * ranges_nm
        """To the middle of the specimen's depth."""
        self.taken = 0
        self.known = {"source_size_nm": camera.source_size_nm, "depth_error": 0.12, "drift_px": 2 * DRIFT_px}
        self.aperture = Aperture(camera.shape, camera.pixel_nm, camera.voltage_kV, camera.convergence_mrad)

    @property
    def depths_nm(self) -> tuple[float, ...]:
        """For the estimator, about the middle."""
        nodes = min(max(1, math.ceil(self.thickness_nm / 6)), 5)
        return tuple(self.thickness_nm * ((n + 0.5) / nodes - 0.5) for n in range(nodes))

    def views(self, settings_nm: Array, electrons: Array, drift_nm: Array) -> Views:
        probe = self.truth_nm + settings_nm
        probe[:, 0] -= renderer(self.name, self.camera).thickness_nm() / 2
        return Views(
            seeds=np.full(len(probe), self.seed),
            places_nm=self.place_nm + drift_nm,
            coefficients_nm=torch.from_numpy(probe).float(),
            electrons=torch.from_numpy(electrons).float(),
            frames=self.taken + np.arange(len(probe)),
        )

    def expose(self, settings_nm: Array, fluence_e_per_A2: float) -> Array:
        """(K, H, W) counts of K exposures (K, 8), each of this fluence."""
        count = len(settings_nm)
        drift_nm = self.rng.normal(0, DRIFT_px, (count, 2)) * self.camera.pixel_nm
        electrons = fluence_e_per_A2 * (self.camera.pixel_nm * 10) ** 2 * np.exp(self.rng.normal(0, GAIN, count))
        views = self.views(settings_nm, electrons, drift_nm)
        self.taken += count
        return renderer(self.name, self.camera).electrons(views)[:, 0].double().numpy()

    def bound_nm(self, settings_nm: Array, fluence_e_per_A2: float, free: Sequence[int]) -> Array:
        """(F,) by differences of the renderer's own frames."""
        sent = np.full(len(settings_nm), fluence_e_per_A2 * (self.camera.pixel_nm * 10) ** 2)

        def expected(change_nm: Array) -> Array:
            views = self.views(settings_nm + change_nm, sent, np.zeros((len(sent), 2)))
            return renderer(self.name, self.camera).shares(views)[:, 0].double().numpy() * sent[:, None, None]

        steps = np.eye(len(NAMES))[list(free)] * 0.3
        slopes = np.array([(expected(step) - expected(-step)) / 0.6 for step in steps])
        return std_nm(information_per_nm2(expected(np.zeros(len(NAMES))), slopes))


def defoci(*c10_nm: float) -> Array:
    settings = np.zeros((len(c10_nm), len(NAMES)))
    settings[:, 0] = c10_nm
    return settings
