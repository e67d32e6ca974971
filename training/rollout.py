"""Episodes for a learner, played in this process or by Ray actors: the same class, the same rows.

What is played follows from the weights and the episodes' seeds alone. A worker keeps nothing between two calls, so one
that was killed is replaced and asked again, and a run that goes on after a crash meets what it would have met.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from agent.features import SHARED, Features
from agent.learned import batch
from agent.protocol import Agent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

Floats: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float
Weights: TypeAlias = "Mapping[str, Tensor]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """All that a worker needs; it travels to other processes."""

    make_env: Callable[[], gymnasium.Env[Any, Any]]
    """Raises nothing; the environment is begun anew with each episode's seed."""
    make_policy: Callable[[], torch.nn.Module]
    read: Callable[[Any], Features]
    """Of an observation."""
    teacher: Callable[[Any], Agent] | None = None
    """Of an environment that has just begun: who tells what should have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """T steps of one episode; arrays ``(T, …)``."""

    features: dict[str, npt.NDArray[np.generic]]
    actions: npt.NDArray[np.int64]
    log_chance: Floats
    """Of the actions, as they were drawn."""
    values: Floats
    rewards: Floats
    taught: npt.NDArray[np.int64]
    """What the teacher would have done, −1 without one."""
    last_value: float
    """Of where a truncated episode ended: what could still have come; 0 where it came to its end."""
    score: float
    """``found_ratio`` of the last info, else the sum of rewards."""

    def __len__(self) -> int:
        return len(self.actions)


TOGETHER = 8
"""Episodes played side by side, whoever plays them: sums are rounded alike, whatever the number of workers."""


def groups(seeds: Sequence[int]) -> list[list[int]]:
    """Episodes that one worker plays side by side."""
    return [list(seeds[first : first + TOGETHER]) for first in range(0, len(seeds), TOGETHER)]


class RolloutWorker:
    """Plays whole episodes side by side, so that one pass of the network decides for all."""

    def __init__(self, kit: Kit) -> None:
        torch.set_num_threads(1)
        self._kit = kit
        self._policy = kit.make_policy().eval()
        self.envs: list[gymnasium.Env[Any, Any]] = []

    def process(self) -> int:
        """Number of the process it lives in."""
        return os.getpid()

    def play(
        self, weights: Weights, seeds: Sequence[int], *, greedy: bool = False, guided: Ratio | None = None,
        most_steps: int = 1_000_000,
    ) -> list[Episode]:  # fmt: skip
        """One episode for each seed. ``greedy``: the likeliest action instead of one drawn.

        ``guided``: share of the episodes' steps that the teacher decides, who also labels every step; None asks none.
        ``most_steps``: longer episodes are cut, and what could still have come is estimated.
        """
        self._policy.load_state_dict(dict(weights))
        while len(self.envs) < len(seeds):
            self.envs.append(self._kit.make_env())
        running = [_Running(env, self._kit, seed, guided) for env, seed in zip(self.envs, seeds, strict=False)]
        while active := [each for each in running if not each.over]:
            rows = [each.features for each in active]
            with torch.no_grad():
                logits, values = self._policy(batch(rows))
            for each, row, value in zip(active, logits.double().numpy(), values.tolist(), strict=True):
                each.go_on(row, value, greedy=greedy, most_steps=most_steps)
        cut = [each for each in running if each.truncated and each.open]
        if cut:
            with torch.no_grad():
                for each, value in zip(
                    cut, self._policy(batch([each.features for each in cut]))[1].tolist(), strict=True
                ):
                    each.last_value = value
        return [each.episode() for each in running]


class _Running:
    """An episode that is being played."""

    def __init__(self, env: gymnasium.Env[Any, Any], kit: Kit, seed: int, guided: Ratio | None) -> None:
        self._env, self._read, self._guided = env, kit.read, guided
        self._rng = np.random.default_rng((seed, 1))
        self._seen, _ = env.reset(seed=seed)
        self._teacher = None if guided is None or kit.teacher is None else kit.teacher(env)
        self.features = self._read(self._seen)
        self.over = self.truncated = False
        self.last_value, self._score = 0.0, None
        self._rows: list[tuple[Features, int, float, float, float, int]] = []

    @property
    def open(self) -> bool:
        """Whether anything but the last action, stop, could still be done: else nothing more can come."""
        return bool(self.features["action_mask"][:-1].any())

    def go_on(self, logits: npt.NDArray[np.float64], value: float, *, greedy: bool, most_steps: int) -> None:
        taught = -1 if self._teacher is None else int(self._teacher.act(self._seen).action)
        log_chance = logits - np.logaddexp.reduce(logits)
        if greedy:
            action = int(log_chance.argmax())
        else:  # Gumbel's trick: one draw a logit, whatever their number
            action = int((log_chance + self._rng.gumbel(size=len(log_chance))).argmax())
        if taught >= 0 and self._guided is not None and self._rng.random() < self._guided:
            action = taught
        before = self.features
        self._seen, reward, terminated, truncated, info = self._env.step(action)
        self._rows.append((before, action, float(log_chance[action]), value, float(reward), taught))
        self.features = self._read(self._seen)
        self.truncated = truncated or (len(self._rows) >= most_steps and not terminated)
        self.over = terminated or self.truncated
        self._score = info.get("found_ratio")

    def episode(self) -> Episode:
        features, actions, chances, values, rewards, taught = zip(*self._rows, strict=True)
        one = features[0]
        stacked = {name: one[name] if name in SHARED else np.stack([row[name] for row in features]) for name in one}
        return Episode(
            features=stacked,
            actions=np.array(actions),
            log_chance=np.array(chances, dtype=np.float32),
            values=np.array(values, dtype=np.float32),
            rewards=np.array(rewards, dtype=np.float32),
            taught=np.array(taught),
            last_value=self.last_value,
            score=sum(rewards) if self._score is None else self._score,
        )
