"""Our environments as other libraries' learners take them: a few arrays by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces

from agent.features import FEATURES, SHARED

if TYPE_CHECKING:
    import numpy.typing as npt


class FeatureEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Observations as features, for other libraries' learners; what is of the tree alone is left to the policy.

    ``masked``: the mask is among the features, for learners that do not ask ``action_masks()``.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], kind: str, *, masked: bool = False) -> None:
        super().__init__(env)
        self._read, self._left = FEATURES[kind][0], SHARED if masked else (*SHARED, "action_mask")
        first = self._read(env.reset(seed=0)[0])
        self.shared = {name: first[name] for name in SHARED if name in first}
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, first[name].shape, np.float32) for name in self._told(first)}
        )

    def _told(self, features: dict[str, Any]) -> dict[str, Any]:
        return {name: each.astype(np.float32) for name, each in features.items() if name not in self._left}

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        seen, info = self.env.reset(**kwargs)
        return self._told(self._read(seen)), info

    def step(self, action: Any) -> Any:
        seen, *rest = self.env.step(int(action))
        return (self._told(self._read(seen)), *rest)

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(A,) as MaskablePPO asks."""
        masks: npt.NDArray[np.bool_] = self.env.get_wrapper_attr("action_masks")()
        return masks
