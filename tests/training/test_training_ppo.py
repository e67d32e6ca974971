from __future__ import annotations

from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from training_samples import readings, run_settings

from models.checkpoint import make_policy
from training.kit import kit_of
from training.ppo import PPO, PPOSettings, advantages, entropy
from training.rollout import Kit, RolloutWorker


class Plain(nn.Module):
    """For small problems: a row of numbers in, logits and value out."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.logits, self.value = nn.Linear(32, actions), nn.Linear(32, 1)

    def forward(self, seen):
        x = self.body(seen["row"])
        return self.logits(x).masked_fill(~seen["action_mask"], -torch.inf), self.value(x)[:, 0]


def read(actions: int, observation):
    return {"row": np.float32(observation).ravel(), "action_mask": np.ones(actions, dtype=bool)}


class Bandit(gymnasium.Env):
    """Arm 2 of three pays best, where the light is on arm 0 does."""

    observation_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.light = float(self.np_random.random() < 0.5)
        return np.array([self.light]), {}

    def step(self, action):
        return np.array([self.light]), float(action == (0 if self.light else 2)), True, False, {}


class Endless(gymnasium.Env):
    """Each step pays 1, for ever: worth 1 / (1 − γ) wherever somebody stops watching."""

    observation_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1), {}

    def step(self, action):
        return np.zeros(1), 1.0, False, False, {}


class Corridor(gymnasium.Env):
    """Six places in a line; the last ends the walk and pays 1."""

    observation_space, action_space = spaces.Box(0, 1, (6,)), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.place = 0
        return np.eye(6)[0], {}

    def step(self, action):
        self.place = max(self.place + (1 if action else -1), 0)
        there = self.place == 5
        return np.eye(6)[self.place], float(there), there, False, {}


def learned(make_env, inputs: int, actions: int, updates: int, **settings):
    policy = Plain(inputs, actions)
    kit = Kit(make_env=make_env, make_policy=partial(Plain, inputs, actions), read=partial(read, actions))
    worker, learner = RolloutWorker(kit), PPO(policy, PPOSettings(**settings))
    for update in range(updates):
        first = 1000 * update
        episodes = worker.play(
            policy.state_dict(), range(first, first + learner.settings.episodes), most_steps=learner.settings.most_steps
        )
        learner.update(episodes, np.random.default_rng(update))
    return policy, worker


def test_advantages_of_a_chain_whose_values_are_known():
    """Rewards 1, 2, 3 with γ = 0.5: a perfect critic (values of what follows) leaves no advantage, cut or not."""
    rewards = np.float32([1, 2, 3])
    ended = np.float32([1 + 1 + 0.75, 2 + 1.5, 3])
    np.testing.assert_allclose(advantages(rewards, ended, 0.0, 0.5, 0.9), 0, atol=1e-6)
    cut = ended + np.float32([0.125, 0.25, 0.5]) * 8
    np.testing.assert_allclose(advantages(rewards, cut, 8.0, 0.5, 0.9), 0, atol=1e-6)
    assert advantages(rewards, ended, 8.0, 0.5, 1.0).tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
def test_advantages_are_sums_of_surprises(trace):
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(2, 6)).astype(np.float32)
    surprise = rewards + 0.9 * np.append(values[1:], np.float32(0.3)) - values
    told = advantages(rewards, values, 0.3, 0.9, trace)
    expected = [sum((0.9 * trace) ** k * surprise[t + k] for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(told, expected, rtol=1e-4, atol=1e-6)


def test_a_cut_episode_is_worth_what_would_have_come():
    """γ = 0.8, cut after 4 steps: without the estimate of what follows the critic would learn 2.4, with it 5."""
    policy, _ = learned(Endless, 1, 2, 40, episodes=8, rate=1e-2, discount=0.8, most_steps=4, epochs=4)
    seen = {"row": torch.zeros(1, 1), "action_mask": torch.ones(1, 2, dtype=torch.bool)}
    assert policy(seen)[1].item() == pytest.approx(5.0, abs=0.3)


def test_a_bandit_is_solved():
    policy, worker = learned(Bandit, 1, 3, 25, episodes=32, rate=1e-2)
    assert np.mean([e.score for e in worker.play(policy.state_dict(), range(10**6, 10**6 + 64), greedy=True)]) == 1.0


def test_a_corridor_is_walked_by_the_shortest_way():
    """Five steps to the right pay 1: with γ = 0.9 the start is worth 0.9⁴."""
    policy, worker = learned(Corridor, 6, 2, 40, episodes=16, rate=3e-3, discount=0.9, epochs=6, most_steps=64)
    (walk,) = worker.play(policy.state_dict(), [0], greedy=True, most_steps=64)
    assert walk.actions.tolist() == [1] * 5
    assert walk.values[0] == pytest.approx(0.9**4, abs=0.05)


@pytest.mark.parametrize("kind", ["map", "set"])
def test_the_critic_alone_leaves_all_decisions_as_they_were(kind, tmp_path):
    settings = run_settings(tmp_path, network={"kind": kind, "width": 8})
    kit, spec = kit_of(settings, readings())
    torch.manual_seed(0)
    policy, worker = make_policy(spec), RolloutWorker(kit)
    before = {name: kept.clone() for name, kept in policy.state_dict().items()}
    learner = PPO(policy, PPOSettings(episodes=2, rate=1e-2))
    told = learner.update(worker.play(policy.state_dict(), [1, 2]), np.random.default_rng(0), critic_only=True)
    moved = {name for name, kept in policy.state_dict().items() if not torch.equal(kept, before[name])}
    assert moved and all(name.startswith("worth.") for name in moved)
    assert set(told) == {"value", "explained_variance", "steps"}


def test_what_is_masked_has_no_share_in_the_entropy():
    told = entropy(torch.tensor([[0.0, 0.0, -torch.inf]]))
    assert told.item() == pytest.approx(np.log(2), abs=1e-6)
