"""Stable-Baselines3's MaskablePPO on the same environments with the same network: any library can train here.

    model = maskable_ppo(lambda: MacroEnv(...), spec)
    model.learn(20_000)
    save_policy(policy_of(model), Path("policy.safetensors"), {})

The mask reaches it by ``action_masks()``, the observation as the features that our own policies read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

from models.checkpoint import Policy, make_policy
from training.feature_env import FeatureEnv

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium
    import numpy.typing as npt
    from gymnasium import spaces

    from models.policy import PolicySpec


class _Nothing(BaseFeaturesExtractor):  # type: ignore[misc]
    """Their own layers get one zero; ours do the work."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, 1)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.zeros(len(observations["scalars"]), 1)


class OurPolicy(MaskableActorCriticPolicy):  # type: ignore[misc]
    """Their policy with our network in it."""

    def __init__(self, *args: Any, spec: PolicySpec, shared: dict[str, npt.NDArray[Any]], **kwargs: Any) -> None:
        super().__init__(*args, net_arch=[], features_extractor_class=_Nothing, **kwargs)
        self.ours = make_policy(spec)
        self._shared = {name: torch.from_numpy(each) for name, each in shared.items()}
        self.optimizer = self.optimizer_class(self.ours.parameters(), lr=args[2](1), **self.optimizer_kwargs)

    def _decide(self, obs: dict[str, torch.Tensor], masks: Any) -> tuple[Any, torch.Tensor]:
        everything = torch.ones(len(obs["scalars"]), int(self.action_space.n), dtype=torch.bool)
        logits, values = self.ours({**obs, **self._shared, "action_mask": everything})
        told = self.action_dist.proba_distribution(action_logits=logits)
        if masks is not None:
            told.apply_masking(masks)
        return told, values[:, None]

    def forward(self, obs: Any, deterministic: bool = False, action_masks: Any = None) -> Any:
        told, values = self._decide(obs, action_masks)
        actions = told.get_actions(deterministic=deterministic)
        return actions, values, told.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: torch.Tensor, action_masks: Any = None) -> Any:
        told, values = self._decide(obs, action_masks)
        return values, told.log_prob(actions), told.entropy()

    def predict_values(self, obs: Any) -> torch.Tensor:
        return self._decide(obs, None)[1]

    def get_distribution(self, obs: Any, action_masks: Any = None) -> Any:
        return self._decide(obs, action_masks)[0]


def maskable_ppo(
    make_env: Callable[[], gymnasium.Env[Any, Any]], spec: PolicySpec, *, envs: int = 8, seed: int = 0, **settings: Any
) -> MaskablePPO:
    """Ready to ``learn``. ``settings``: MaskablePPO's own."""
    torch.set_num_threads(1)
    shared = FeatureEnv(make_env(), spec.kind).shared
    vector = DummyVecEnv([lambda: FeatureEnv(make_env(), spec.kind) for _ in range(envs)])
    kwargs = {"spec": spec, "shared": shared}
    return MaskablePPO(OurPolicy, vector, seed=seed, policy_kwargs=kwargs, device="cpu", **settings)


def policy_of(model: MaskablePPO) -> Policy:
    """The network that it has trained, to be saved and flown like any other."""
    policy: Policy = model.policy.ours.eval()
    return policy
