"""RLlib's PPO on the same environments with the same network: any library can train here.

    algorithm = rllib_ppo(lambda: MacroEnv(...), spec)
    algorithm.train()
    save_policy(policy_of(algorithm), Path("policy.safetensors"), {})

RLlib pins gymnasium exactly (1.2.2 for Ray 2.60), so it has an environment of its own: ``make rllib`` makes one and
runs the test there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env

from models.checkpoint import Policy, make_policy
from training.feature_env import FeatureEnv

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium

    from models.policy import PolicySpec

NAME = "adaptem"
FORBIDDEN = -1e9
"""Logit of what the mask forbids: −∞ less −∞ is no number, and RLlib's divergence takes such differences."""


class OurModule(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """Their module with our network in it. ``model_config``: ``spec``, and ``shared``, what is of the tree alone."""

    def setup(self) -> None:
        self.ours = make_policy(self.model_config["spec"])
        self._shared = {name: torch.from_numpy(each) for name, each in self.model_config["shared"].items()}

    def _decide(self, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        seen = batch[Columns.OBS]
        found: tuple[torch.Tensor, torch.Tensor] = self.ours(
            {**seen, **self._shared, "action_mask": seen["action_mask"].bool()}
        )
        return found

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, torch.Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self._decide(batch)[0].clamp(min=FORBIDDEN)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """(B,)."""
        return self._decide(batch)[1]


def rllib_ppo(
    make_env: Callable[[], gymnasium.Env[Any, Any]], spec: PolicySpec, *, envs: int = 8, seed: int = 0, **settings: Any
) -> PPO:
    """Ready to ``train``, in this process. ``settings``: of ``PPOConfig.training``."""
    torch.set_num_threads(1)
    shared = FeatureEnv(make_env(), spec.kind).shared
    register_env(NAME, lambda _: FeatureEnv(make_env(), spec.kind, masked=True))
    config = (
        PPOConfig()
        .environment(NAME)
        .framework("torch")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=envs)
        .learners(num_learners=0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=OurModule, model_config={"spec": spec, "shared": shared}))
        .training(**settings)
        .debugging(seed=seed)
    )
    return config.build_algo()


def policy_of(algorithm: PPO) -> Policy:
    """The network that it has trained, to be saved and flown like any other."""
    policy: Policy = algorithm.get_module().ours.eval()
    return policy
