"""Chips of specimens that the encoder never saw, with their classes: what it is selected by."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from instruments.simulated.features import particles
from instruments.simulated.library import SPECIMENS
from instruments.simulated.poisson import count_
from instruments.simulated.renderer import Camera, Renderer, Views
from models.encoder import Encoder, embedding
from models.prototypes import Prototypes
from training.encoder_worlds import HELD_OUT

SHOTS, QUERIES, EPISODES = 5, 20, 8
SELECT_SEED = 2_000_000
_CHIP_PX = 64
_CLEAR, _DIM = 60.0, 12.0
"""Electrons counted in the mean pixel of an example, and of a chip to be told."""
_DARK = 0.05
"""Of the mean signal, that a detector adds: a hole is not without noise."""
_NEARER = 1.25
"""Chips to be told are magnified by this, or by its inverse."""


def few_shot(encoder: Encoder) -> float:
    """Accuracy over the classes of the held-out specimens, mean over episodes of five examples each."""
    right = []
    for name in HELD_OUT:
        examples, asked, said, truth = _chips(name)
        known, query = embedding(encoder, examples), embedding(encoder, asked)
        rng = np.random.default_rng(SELECT_SEED)
        for _ in range(EPISODES):
            chosen = np.concatenate([rng.choice(np.flatnonzero(said == each), SHOTS, False) for each in set(said)])
            model = Prototypes.fitted(known[chosen], said[chosen].tolist())
            right.append(float(np.mean(np.array(model.classes)[model.scores(query).argmax(1)] == truth)))
    return float(np.mean(right))


@lru_cache(maxsize=len(HELD_OUT))
def _chips(
    name: str,
) -> tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]], npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Examples and chips to be told, with the class of each; nothing in particular is the class ``film``."""
    recipe, rng = SPECIMENS[name], np.random.default_rng(SELECT_SEED)
    half = recipe.look_nm * 12
    found = particles(recipe, SELECT_SEED, (-half, half), (-half, half))
    places: dict[str, list[tuple[float, float]]] = {}
    for each in found:
        places.setdefault(each.kind, []).append((each.x_nm, each.y_nm))
    places["film"] = rng.uniform(-half, half, (4 * QUERIES, 2)).tolist()
    sets: list[tuple[list[npt.NDArray[np.float32]], list[str]]] = []
    for counts, zooms, many in ((_CLEAR, (1.0,), 3 * SHOTS), (_DIM, (_NEARER, 1 / _NEARER), QUERIES)):
        chips, said = [], []
        for kind, where in sorted(places.items()):
            chosen = np.array(where)[rng.permutation(len(where))[:many]]
            for zoom, part in zip(zooms, np.array_split(chosen, len(zooms)), strict=True):
                chips += _taken(name, part, recipe.look_nm / 256 / zoom, counts)
                said += [kind] * len(part)
        sets.append((chips, said))
    (examples, first), (asked, second) = sets
    return examples, asked, np.array(first), np.array(second)


def _taken(
    name: str, places_nm: npt.NDArray[np.float64], pixel_nm: float, counts: float
) -> list[npt.NDArray[np.float32]]:
    many = len(places_nm)
    renderer = Renderer(SPECIMENS[name], Camera(shape=(_CHIP_PX, _CHIP_PX), pixel_nm=pixel_nm))
    shares = renderer.shares(
        Views(
            seeds=np.full(many, SELECT_SEED),
            places_nm=places_nm,
            coefficients_nm=torch.zeros(many, 8),
            electrons=torch.ones(many),
            frames=np.arange(many),
        )
    )[:, 0]
    mean = ((shares / shares.mean() + _DARK) * counts).contiguous()
    return list(count_(mean, torch.arange(many) + SELECT_SEED).numpy())
