"""Imitation of a scripted agent that sees what the policy sees (DAgger: Ross, Gordon and Bagnell, AISTATS 2011).

The policy plays, ever less helped; the teacher says at every step what it would have done; the policy learns all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import nn

from configs.load import Settings
from training.ppo import chances, descend, device_of, minibatches

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.rollout import Episode
    from training.samplers import Sampler

Ratio: TypeAlias = float


class ImitationSettings(Settings):
    """How a policy learns from its teacher."""

    rounds: PositiveInt = 6
    episodes: PositiveInt = 16
    """Of each round; those of earlier rounds are kept."""
    help: Ratio = Field(0.5, ge=0, lt=1)
    """The teacher decides this share of steps in the second round, its square in the third; all in the first."""
    epochs: PositiveInt = 3
    """After each round."""
    minibatch: PositiveInt = 128
    rate: PositiveFloat = 1e-3


def imitate(
    policy: nn.Module,
    sampler: Sampler,
    settings: ImitationSettings,
    seeds: Sequence[int],
    rng: np.random.Generator,
    told: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """``seeds``: of rounds × episodes worlds."""
    kept: list[Episode] = []
    optimiser = torch.optim.Adam(policy.parameters(), settings.rate)
    for turn in range(settings.rounds):
        some = seeds[turn * settings.episodes : (turn + 1) * settings.episodes]
        kept += sampler.play(policy.state_dict(), some, guided=settings.help**turn)
        loss, agreed = fit(policy, optimiser, kept, settings, rng)
        score = float(np.mean([episode.score for episode in kept[-len(some) :]]))
        told(
            {
                "imitation_loss": loss,
                "imitation_agreed": agreed,
                "score": score,
                "env_steps": float(sum(map(len, kept))),
            }
        )


def learn_from(
    policy: nn.Module,
    nights: Sequence[Episode],
    settings: ImitationSettings,
    rng: np.random.Generator,
    told: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """From what was recorded: the surveys in turn, for each may have a map of its own size."""
    optimiser = torch.optim.Adam(policy.parameters(), settings.rate)
    for _ in range(settings.rounds):
        fits = [fit(policy, optimiser, [night], settings, rng) for night in nights]
        loss, agreed = np.mean(fits, axis=0).tolist()
        told({"nights_loss": loss, "nights_agreed": agreed})


def fit(
    policy: nn.Module,
    optimiser: torch.optim.Optimizer,
    episodes: Sequence[Episode],
    settings: ImitationSettings,
    rng: np.random.Generator,
) -> tuple[float, Ratio]:
    """Mean loss of the last epoch, and how often the likeliest action was the teacher's.

    Raises ConfigError, as ``training.ppo.descend``.
    """
    device = device_of(policy)
    taught = torch.from_numpy(np.concatenate([episode.taught for episode in episodes])).to(device)
    policy.train()
    for _ in range(settings.epochs):
        losses, agreed = [], []
        for rows, seen in minibatches(episodes, settings.minibatch, rng, device):
            logits, _ = policy(seen)
            loss = -chances(logits, taught[rows]).mean()
            descend(optimiser, loss, list(policy.parameters()), 1.0)
            losses.append(loss.item())
            agreed.append(float((logits.argmax(1) == taught[rows]).float().mean()))
    policy.eval()
    return float(np.mean(losses)), float(np.mean(agreed))
