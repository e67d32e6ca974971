"""What the encoder learns from: views of simulated specimens, varied, without a label.

``HELD_OUT`` specimens are never trained on: the encoder is selected by them. What the benchmarks show are others again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from instruments.simulated.library import SPECIMENS
from instruments.simulated.recipe import Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD_OUT = ("pt_on_ceria", "irradiated_ti")
TRAINED = tuple(name for name in SPECIMENS if name not in HELD_OUT)
VIEW_PX = 192
TOGETHER = 12
"""Views of one variation of a specimen, rendered as one batch."""
_FINE_SHARE, _FINE_NM = 0.35, (0.012, 0.07)
"""How often a crystal is seen so near that its atoms show, and at which pixel sizes."""
_ZOOM = (-1.8, 1.2)
"""Of other views, from the field of view that shows what a specimen is about, in powers of two."""
_BLUR_PX = 1.5
"""Defocus blurs a view by up to this much."""
_WITHIN_nm = 2e4
_INNER_mrad = (40.0, 90.0)


def varied(name: str, rng: np.random.Generator) -> Recipe:
    """A specimen like the named one: other sizes, other densities, and in half of the cases guests from another."""
    told: dict[str, Any] = SPECIMENS[name].model_dump()
    if rng.random() < 0.5:
        other = SPECIMENS[TRAINED[rng.integers(len(TRAINED))]]
        scale = told["look_nm"] / other.look_nm
        for kind, population in other.populations.items():
            guest = population.model_dump()
            guest["radius_nm"] *= scale
            guest["clump_nm"] *= scale
            guest["per_um2"] /= scale**2
            guest["material"] = f"guest {guest['material']}"
            guest["core"] = None if guest["core"] is None else f"guest {guest['core']}"
            told["populations"][f"guest {kind}"] = guest
        told["materials"] |= {f"guest {kind}": made.model_dump() for kind, made in other.materials.items()}
    for population in told["populations"].values():
        population["per_um2"] *= float(np.exp(rng.normal(0.3, 0.8)))
        population["radius_nm"] *= float(np.exp(rng.normal(0, 0.35)))
        population["aspect"] = float(np.clip(population["aspect"] * np.exp(abs(rng.normal(0, 0.3))), 1, 12))
        population["rare"] = False
    if (film := told["film"]) is not None:
        film["thickness_nm"] *= float(np.exp(rng.normal(0, 0.3)))
        film["angle_deg"] = float(rng.uniform(0, 90))
        film["texture"] = float(min(film["texture"] * np.exp(rng.normal(0, 0.5)), 0.5))
    told["bars"] = None
    return Recipe.model_validate(told)


def views(count: int, seed: int, names: tuple[str, ...] = TRAINED) -> Iterator[torch.Tensor]:
    """Batches (N, VIEW_PX, VIEW_PX) float16 of expected signals, each view's mean 1; views of nothing are left out."""
    made, number = 0, 0
    while made < count:
        rng = np.random.default_rng((seed, number))
        batch = _batch(names[number % len(names)], rng)
        number += 1
        made += len(batch)
        if len(batch):
            yield batch.half()


def _batch(name: str, rng: np.random.Generator) -> torch.Tensor:
    recipe = varied(name, rng)
    crystal = recipe.film is not None and recipe.materials[recipe.film.material].crystal is not None
    if crystal and rng.random() < _FINE_SHARE:
        pixel_nm = float(np.exp(rng.uniform(*np.log(_FINE_NM))))
    else:
        pixel_nm = float(recipe.look_nm / VIEW_PX * 2 ** rng.uniform(*_ZOOM))
    camera = Camera(
        shape=(VIEW_PX, VIEW_PX), pixel_nm=pixel_nm, annuli_mrad=((float(rng.uniform(*_INNER_mrad)), 200.0),)
    )
    coefficients = torch.zeros(TOGETHER, 8)
    blur_nm = torch.from_numpy(rng.uniform(-_BLUR_PX, _BLUR_PX, TOGETHER)).float() * pixel_nm
    coefficients[:, 0] = blur_nm / (camera.convergence_mrad * 1e-3)
    shares = Renderer(recipe, camera).shares(
        Views(
            seeds=rng.integers(0, 1 << 40, TOGETHER),
            places_nm=rng.uniform(-_WITHIN_nm, _WITHIN_nm, (TOGETHER, 2)),
            coefficients_nm=coefficients,
            electrons=torch.ones(TOGETHER),
            frames=np.arange(TOGETHER),
        )
    )[:, 0]
    spread, mean = torch.std_mean(shares, (1, 2), keepdim=True)
    shown = (spread > 1e-2 * mean).flatten() & (mean.flatten() > 0)
    return (shares / mean.clamp_min(1e-12))[shown].clamp_max(6e4)
