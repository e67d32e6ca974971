"""Proximal policy optimisation, on one screen (Schulman et al., arXiv 1707.06347).

A spent budget is a truncation: what could still have come is the critic's estimate there, which the episode carries as
``last_value``; a met aim has nothing after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn

from agent.features import SHARED
from configs.errors import ConfigError
from configs.load import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from models.checkpoint import Policy
    from training.rollout import Episode

Floats: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float


class PPOSettings(Settings):
    """How a policy learns from what it has played."""

    episodes: PositiveInt = 16
    """Played for one update."""
    rate: PositiveFloat = 3e-4
    """Of Adam."""
    epochs: PositiveInt = 2
    minibatch: PositiveInt = 128
    discount: Ratio = Field(0.99, gt=0, le=1)
    trace: Ratio = Field(0.95, ge=0, le=1)
    """λ of the advantages."""
    clip: PositiveFloat = 0.2
    entropy: NonNegativeFloat = 0.003
    value: NonNegativeFloat = 0.5
    gradient: PositiveFloat = 0.5
    """Largest norm of a step's gradient."""
    divergence: PositiveFloat = 0.03
    """Mean divergence from what played at which an update ends early."""
    most_steps: PositiveInt = 4096
    """Of an episode, which is cut there."""


def advantages(rewards: Floats, values: Floats, last_value: float, discount: Ratio, trace: Ratio) -> Floats:
    """(T,) generalised advantages of one episode (Schulman et al., arXiv 1506.02438, eq. 16).

    >>> advantages(np.float32([0, 1]), np.float32([0, 0]), last_value=2.0, discount=0.5, trace=1.0).tolist()
    [1.0, 2.0]
    """
    following = np.append(values[1:], np.float32(last_value))
    surprise = rewards + discount * following - values
    result, behind = np.zeros(len(rewards), dtype=np.float32), 0.0
    for t in range(len(rewards) - 1, -1, -1):
        behind = float(surprise[t]) + discount * trace * behind
        result[t] = behind
    return result


class PPO:
    """Holds the policy and Adam's memory: with both, and the number of the update, it goes on as if uninterrupted."""

    def __init__(self, policy: Policy, settings: PPOSettings) -> None:
        self.policy, self.settings = policy, settings
        self.device = device_of(policy)
        self.optimiser = torch.optim.Adam(policy.parameters(), settings.rate, eps=1e-5)

    def update(
        self, episodes: Sequence[Episode], rng: np.random.Generator, *, critic_only: bool = False
    ) -> dict[str, float]:
        """Learn from whole episodes; what came of it by name.

        ``critic_only``: only the value's own layers learn, and decisions stay as they are.
        Raises ConfigError, as ``descend``.
        """
        s = self.settings
        gained = [advantages(e.rewards, e.values, e.last_value, s.discount, s.trace) for e in episodes]
        advantage = torch.from_numpy(np.concatenate(gained))
        returns = advantage + torch.from_numpy(np.concatenate([e.values for e in episodes]))
        before = torch.from_numpy(np.concatenate([e.log_chance for e in episodes]))
        actions = torch.from_numpy(np.concatenate([e.actions for e in episodes]))
        spread = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        explained = 1 - float((advantage).var() / returns.var().clamp(min=1e-8))
        returns, before, actions, spread = (each.to(self.device) for each in (returns, before, actions, spread))
        told: dict[str, list[float]] = {name: [] for name in ("policy", "value", "entropy", "divergence", "clipped")}
        self.policy.train()
        for _ in range(s.epochs):
            for rows, seen in minibatches(episodes, s.minibatch, rng, self.device):
                logits, values = self.policy(seen)
                value = nn.functional.smooth_l1_loss(values, returns[rows])
                if critic_only:
                    self._step(value, alone=self.policy.worth)
                    told["value"].append(value.item())
                    continue
                change = chances(logits, actions[rows]) - before[rows]
                ratio, gain = change.exp(), spread[rows]
                policy = -torch.minimum(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain).mean()
                randomness = entropy(logits).mean()
                self._step(policy + s.value * value - s.entropy * randomness)
                apart = ((ratio - 1) - change).mean()  # Schulman's estimate that has little spread
                found = policy, value, randomness, apart, ((ratio - 1).abs() > s.clip).float().mean()
                for name, one in zip(told, found, strict=True):
                    told[name].append(one.item())
            if told["divergence"] and np.mean(told["divergence"][-4:]) > s.divergence:
                break
        self.policy.eval()
        means = {name: float(np.mean(kept)) for name, kept in told.items() if kept}
        return {**means, "explained_variance": explained, "steps": float(len(actions))}

    def _step(self, loss: Tensor, alone: nn.Module | None = None) -> None:
        """``alone``: only this part of the policy learns; Adam leaves a weight without a gradient as it is."""
        learns = list((self.policy if alone is None else alone).parameters())
        descend(self.optimiser, loss, learns, self.settings.gradient)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, learns: list[nn.Parameter], most: float) -> None:
    """One step of these weights, by a gradient whose norm is cut to ``most``.

    Raises ConfigError for a loss or a gradient that is not finite, before any weight is touched by it.
    """
    optimiser.zero_grad()
    for weight, slope in zip(learns, torch.autograd.grad(loss, learns, allow_unused=True), strict=True):
        weight.grad = slope
    norm = nn.utils.clip_grad_norm_(learns, most)
    if not (torch.isfinite(loss) & torch.isfinite(norm)):
        raise ConfigError(
            f"learning came to a loss of {loss.item():.3g} with a gradient of {norm.item():.3g}, from which nothing "
            "can be learned: lower ppo.rate or imitation.rate, or see what the reward gives; what was kept before "
            "stays in the run's folder"
        )
    optimiser.step()


def device_of(policy: nn.Module) -> torch.device:
    """Where its weights are."""
    return next(policy.parameters()).device


def minibatches(
    episodes: Sequence[Episode], size: int, rng: np.random.Generator, device: torch.device
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """(rows, features) of all steps in a drawn order, on the device; the episodes are of one tree."""
    one = episodes[0].features
    stacked = {name: torch.tensor(one[name]) for name in one if name in SHARED}  # copied: Ray's arrays are read only
    for name in [each for each in one if each not in SHARED]:
        stacked[name] = torch.from_numpy(np.concatenate([e.features[name] for e in episodes]))
    stacked = {name: kept.to(device) for name, kept in stacked.items()}
    order = rng.permutation(sum(len(e) for e in episodes))
    for begin in range(0, len(order), size):
        rows = torch.from_numpy(order[begin : begin + size]).to(device)
        yield rows, {name: kept if name in SHARED else kept[rows] for name, kept in stacked.items()}


def chances(logits: Tensor, actions: Tensor) -> Tensor:
    """(B,) log probabilities of the actions."""
    return torch.log_softmax(logits, dim=1).gather(1, actions[:, None])[:, 0]


def entropy(logits: Tensor) -> Tensor:
    """(B,) in nats; what is masked adds nothing."""
    log_chance = torch.log_softmax(logits, dim=1)
    return -(log_chance.exp() * log_chance.masked_fill(log_chance.isneginf(), 0.0)).sum(dim=1)
