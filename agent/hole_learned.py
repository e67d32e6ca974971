"""Which hole next, by a small network that has seen how someone played who knew the answers.

Every hole is weighed by the same few numbers, so that one network serves any table; it learns nothing while it flies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import nn

from agent.features import refuse_unknown
from agent.hole_belief import neighbours
from agent.hole_scripts import imaging, stopping
from envs import hole_env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import Decision, Step

Floats: TypeAlias = npt.NDArray[np.float32]
Seen: TypeAlias = "Mapping[str, npt.NDArray[Any]]"

FEATURES = (
    "score",
    "near",
    "patch_left",
    "square_left",
    "cost",
    "cost_of_left",
    "near_surprise",
    "patch_surprise",
    "left",
)
"""Of each hole: its prediction; its neighbours'; what its patch and square still promise; minutes to it, and over those
left; how much better than predicted its neighbours and its patch were; minutes left."""
_FEW = 2.0
"""Images that a patch's surprise is drawn towards nothing by."""


@dataclass(slots=True)
class HoleReader:
    """Reads the numbers of ``FEATURES`` out of observations of one table at a time."""

    _key: bytes = field(init=False, default=b"")
    _near: sparse.csr_matrix = field(init=False)

    def read(self, observation: Seen) -> Floats:
        """(N, F)."""
        targets, told = observation["targets"].astype(np.float64), observation["globals"]
        key = observation["targets"][:, [hole_env.SCORE, *range(hole_env.GRID, targets.shape[1])]].tobytes()
        if key != self._key:
            self._key = key
            self._near = neighbours(targets[:, hole_env.PATCH].astype(np.int64), targets[:, hole_env.X :])
        left_min = float(told[hole_env.GLOBALS.index("time_left_min")])
        score, imaged, cost_min = targets[:, hole_env.SCORE], targets[:, hole_env.IMAGED], targets[:, hole_env.COST]
        promise = np.maximum(score, 0.0) * (1 - imaged)
        surprise = imaged * (targets[:, hole_env.GOOD] - (score + 1) / 2)
        patch, square = (targets[:, level].astype(np.int64) for level in (hole_env.PATCH, hole_env.SQUARE))
        of_patch = np.bincount(patch, surprise) / (np.bincount(patch, imaged) + _FEW)
        columns = {
            "score": score,
            "near": self._near @ score,
            "patch_left": np.bincount(patch, promise)[patch] / 10,
            "square_left": np.bincount(square, promise)[square] / 50,
            "cost": cost_min / 10,
            "cost_of_left": np.minimum(cost_min / max(left_min, 1e-6), 2.0),
            "near_surprise": self._near @ surprise,
            "patch_surprise": of_patch[patch],
            "left": np.full(len(score), np.log1p(left_min) / 6),
        }
        return np.stack([columns[name] for name in FEATURES], axis=1).astype(np.float32)


def hole_network(width: int = 24) -> nn.Sequential:
    """(…, F) → (…, 1) logits."""
    return nn.Sequential(nn.Linear(len(FEATURES), width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
                         nn.Linear(width, 1))  # fmt: skip


@dataclass(slots=True)
class HoleLearned:
    """Takes the hole with the largest logit."""

    network: nn.Module
    name: str = "learned"
    _reader: HoleReader = field(init=False, default_factory=HoleReader)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)

    def act(self, observation: Seen) -> Decision:
        """Raises ValueError for an observation with numbers that are not finite."""
        refuse_unknown(observation)
        allowed = np.flatnonzero(observation["action_mask"][:-1])
        if len(allowed) == 0:
            return stopping(len(observation["targets"]), self.name)
        with torch.no_grad():
            logits = self.network(torch.from_numpy(self._reader.read(observation)[allowed]))[:, 0]
        chance = torch.softmax(logits.double(), dim=0)
        best = int(chance.argmax())
        return imaging(observation, int(allowed[best]), None, self.name, f"the network gives it {chance[best]:.0%}")

    def observe(self, step: Step) -> None:
        """Learn nothing: the observation shows all that was measured."""

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""
