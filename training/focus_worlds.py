"""What a focus network learns from: wide frames of many simulated worlds, as spectra, with their true defocus."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.aberrations import NAMES
from instruments.simulated.library import SPECIMENS
from instruments.simulated.renderer import Camera, Renderer, Views
from models.focus_network import FRAMES
from models.focus_spectra import RINGS, SECTORS, spectra_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMERAS = tuple(
    Camera(shape=(256, 256), pixel_nm=pixel_nm, convergence_mrad=mrad, source_size_nm=source_nm)
    for pixel_nm, mrad, source_nm in ((0.8, 21.4, 0.035), (0.6, 25.0, 0.05), (1.1, 18.0, 0.08))
)
BLUR_PX = 6.0
"""C10 is drawn within this, either way."""
STEP_PX = (1.2, 4.0)
"""Blur by which frames are stepped from the first."""
STIG_PX = (0.15, 1.5)
"""Astigmatism is drawn within the first or the second, as often."""
OTHERS_nm = (20.0, 20.0, 20.0, 20.0, 500.0)
"""Half widths of C21, C23 and C30."""
FLUENCE_e_per_A2 = (60.0, 1500.0)
"""Of a frame, drawn evenly in its logarithm."""
DRIFT_px, GAIN = 2.0, 0.03
TOGETHER = 16
"""Worlds of one specimen and camera that are rendered as one batch."""


@dataclass(frozen=True, slots=True)
class Examples:
    """N worlds."""

    spectra: torch.Tensor
    """(N, FRAMES, RINGS, SECTORS)"""
    offsets_px: torch.Tensor
    """(N, FRAMES)"""
    truth_px: torch.Tensor
    """(N, 3) C10 of the first frame, C12a, C12b."""


@lru_cache(maxsize=len(SPECIMENS) * len(CAMERAS))
def _renderer(name: str, camera: Camera) -> Renderer:
    return Renderer(SPECIMENS[name], camera)


def examples(worlds: int, first_seed: int) -> Examples:
    """Of worlds ``first_seed`` on: each specimen of the library in turn, each world's place and probe its own.

    Focus counts to the middle of the specimen's depth.
    """
    parts = list(_batches(worlds, first_seed))
    return Examples(*(torch.cat([part[n] for part in parts]) for n in range(3)))


def _batches(worlds: int, first_seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    names = tuple(SPECIMENS)
    for number, begin in enumerate(range(0, worlds, TOGETHER)):
        count, rng = min(TOGETHER, worlds - begin), np.random.default_rng((first_seed + begin, 1))
        name, camera = names[number % len(names)], CAMERAS[(number // len(names)) % len(CAMERAS)]
        yield _batch(name, camera, first_seed + begin + np.arange(count), rng)


def _batch(
    name: str, camera: Camera, seeds: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    worlds, renderer = len(seeds), _renderer(name, camera)
    nm_per_px = camera.pixel_nm / (camera.convergence_mrad * 1e-3)
    truth = rng.uniform(-1, 1, (worlds, 3)) * BLUR_PX
    truth[:, 1:] *= rng.choice(STIG_PX, (worlds, 1)) / BLUR_PX
    offsets = rng.uniform(*STEP_PX, (worlds, FRAMES)) * rng.choice((-1, 1), (worlds, 1)) * (0, 1, -1)
    probe = np.zeros((worlds, FRAMES, len(NAMES)))
    probe[:, :, :3] = truth[:, None] * nm_per_px
    probe[:, :, 0] += offsets * nm_per_px - renderer.thickness_nm() / 2
    probe[:, :, 3:] = (rng.uniform(-1, 1, (worlds, len(OTHERS_nm))) * OTHERS_nm)[:, None]
    least, most = FLUENCE_e_per_A2
    fluence = least * (most / least) ** rng.random((worlds, 1)) * np.exp(rng.normal(0, GAIN, (worlds, FRAMES)))
    places_nm = rng.uniform(-500, 500, (worlds, 1, 2)) + rng.normal(0, DRIFT_px, (worlds, FRAMES, 2)) * camera.pixel_nm
    views = Views(
        seeds=np.repeat(seeds, FRAMES),
        places_nm=places_nm.reshape(-1, 2),
        coefficients_nm=torch.from_numpy(probe.reshape(-1, len(NAMES))).float(),
        electrons=torch.from_numpy(fluence.ravel() * (camera.pixel_nm * 10) ** 2).float(),
        frames=np.tile(np.arange(FRAMES), worlds),
    )
    images = renderer.electrons(views)[:, 0].numpy()
    told = np.zeros((len(images), RINGS, SECTORS), dtype=np.float32)
    lit = images.mean((1, 2)) > 0  # of the others nothing is told
    told[lit] = spectra_of(images[lit])
    return (
        torch.from_numpy(told.reshape(worlds, FRAMES, RINGS, SECTORS)),
        torch.from_numpy(offsets).float(),
        torch.from_numpy(truth).float(),
    )
