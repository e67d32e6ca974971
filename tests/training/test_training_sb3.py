from __future__ import annotations

import numpy as np
import pytest
from training_samples import EPISODE, VARIED, readings, run_settings

from models.checkpoint import load_policy, save_policy, weights_hash
from training.kit import spec_of
from training.macro_env import MacroEnv

pytest.importorskip("sb3_contrib", reason="not installed: pip install 'adaptem[sb3]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # its own


def test_another_learner_trains_a_policy_that_is_kept_as_ours(tmp_path):
    from training.sb3 import maskable_ppo, policy_of

    spec = spec_of(run_settings(tmp_path))
    model = maskable_ppo(
        lambda: MacroEnv(EPISODE, readings(), VARIED), spec, envs=2, n_steps=32, batch_size=32, n_epochs=1
    )
    before = weights_hash(policy_of(model).state_dict())
    model.learn(64)
    after = weights_hash(policy_of(model).state_dict())
    assert before != after
    save_policy(policy_of(model), tmp_path / "sb3.safetensors", {})
    assert weights_hash(load_policy(tmp_path / "sb3.safetensors").state_dict()) == after


def test_it_takes_only_what_the_mask_allows(tmp_path):
    from training.sb3 import maskable_ppo

    spec = spec_of(run_settings(tmp_path))
    model = maskable_ppo(lambda: MacroEnv(EPISODE, readings(), VARIED), spec, envs=1, n_steps=16, batch_size=16)
    (env,) = model.get_env().envs
    seen, _ = env.reset(seed=1)
    for _ in range(10):
        masks = env.action_masks()
        action, _ = model.predict(seen, action_masks=masks)
        assert masks[int(action)]
        seen, *_ = env.step(action)
    assert np.isfinite(seen["cells"]).all()
