"""A policy for holes that imitates whoever knows the answers (DAgger: Ross, Gordon and Bagnell, AISTATS 2011).

It plays, ever less helped; at every step the exact plan with every result known says in which patch to go on, and any
good hole there is right. Part of the surveys has predictions that mislead, so that it learns to heed what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from agent.hole_learned import HoleLearned, HoleReader, hole_network
from agent.hole_planner import HolePlanner
from envs.hole_env import HoleEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from envs.holes import Costs, Holes

Ratio: TypeAlias = float

DAMAGE = ("given", "given", "flipped20", "flipped30")
"""Of the surveys in turn."""
FORBIDDEN = -1e9


@dataclass(frozen=True, slots=True)
class _Taught:
    """One step: numbers of each hole that was allowed, and which were right."""

    features: npt.NDArray[np.float32]
    right: npt.NDArray[np.bool_]


def imitate_optimum(
    holes: Holes,
    costs: Costs,
    budgets_min: Sequence[float],
    *,
    rounds: int = 4,
    episodes: int = 8,
    help: Ratio = 0.5,
    epochs: int = 12,
    rate: float = 3e-3,
    seed: int = 0,
    told: Callable[[int, float], None] = lambda turn, loss: None,
) -> nn.Module:
    """Learn on these holes.

    ``help``: the teacher decides this share of steps in the second round, its square in the third; all in the first.
    ``told``: round, and its last loss.
    """
    torch.set_num_threads(1)  # more would only wait for each other, and round otherwise
    torch.manual_seed(seed)
    network, rng = hole_network(), np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), rate)
    kept: list[_Taught] = []
    for turn in range(rounds):
        for number in range(episodes):
            damaged = holes.damaged(DAMAGE[number % len(DAMAGE)], seed=int(rng.integers(2**31)))
            budget_min = float(rng.choice(np.asarray(budgets_min)))
            kept += _played(damaged, costs, budget_min, network, help**turn, rng)
        loss = 0.0
        for _ in range(epochs):
            order = rng.permutation(len(kept))
            losses = [_step(network, optimiser, [kept[n] for n in order[i : i + 32]]) for i in range(0, len(kept), 32)]
            loss = float(np.mean(losses))
        told(turn, loss)
    return network.eval()


def _played(
    holes: Holes, costs: Costs, budget_min: float, network: nn.Module, guided: Ratio, rng: np.random.Generator
) -> list[_Taught]:
    env, reader, learner = HoleEnv(holes, costs, budget_min), HoleReader(), HoleLearned(network)
    teacher = HolePlanner(costs, chances=holes.good.astype(np.float64))
    seen, _ = env.reset(seed=int(rng.integers(2**31)))
    rows, over = [], False
    while not over:
        wanted = int(teacher.act(seen).action)
        if wanted == len(holes):
            break
        allowed = np.flatnonzero(seen["action_mask"][:-1])
        same = holes.parents[allowed, 2] == holes.parents[wanted, 2]
        rows.append(_Taught(reader.read(seen)[allowed], same & holes.good[allowed]))
        action = wanted if rng.random() < guided else int(learner.act(seen).action)
        seen, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
    return rows


def _step(network: nn.Module, optimiser: torch.optim.Optimizer, rows: Sequence[_Taught]) -> float:
    most = max(len(row.right) for row in rows)
    features = np.zeros((len(rows), most, rows[0].features.shape[1]), dtype=np.float32)
    there, right = np.zeros((len(rows), most), dtype=bool), np.zeros((len(rows), most), dtype=bool)
    for n, row in enumerate(rows):
        features[n, : len(row.right)], there[n, : len(row.right)] = row.features, True
        right[n, : len(row.right)] = row.right
    logits = network(torch.from_numpy(features))[..., 0].masked_fill(~torch.from_numpy(there), FORBIDDEN)
    wanted = logits.masked_fill(~torch.from_numpy(right), FORBIDDEN)
    loss = (logits.logsumexp(dim=1) - wanted.logsumexp(dim=1)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    found: float = loss.item()
    return found
