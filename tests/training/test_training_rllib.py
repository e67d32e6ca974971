from __future__ import annotations

import pytest
from training_samples import EPISODE, VARIED, readings, run_settings

from models.checkpoint import load_policy, save_policy, weights_hash
from training.kit import spec_of
from training.macro_env import MacroEnv

pytest.importorskip("ray.rllib", reason="RLlib has an environment of its own: make rllib", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore")  # its own


def test_rllib_trains_a_policy_that_is_kept_as_ours(tmp_path):
    from training.rllib import policy_of, rllib_ppo

    spec = spec_of(run_settings(tmp_path))
    algorithm = rllib_ppo(
        lambda: MacroEnv(EPISODE, readings(), VARIED),
        spec,
        envs=2,
        train_batch_size_per_learner=64,
        minibatch_size=32,
        num_epochs=1,
    )
    before = weights_hash(policy_of(algorithm).state_dict())
    told = algorithm.train()
    after = weights_hash(policy_of(algorithm).state_dict())
    assert before != after
    assert told["learners"]["default_policy"]["num_module_steps_trained"] >= 64
    assert abs(told["learners"]["default_policy"]["mean_kl_loss"]) < 1.0
    save_policy(policy_of(algorithm), tmp_path / "rllib.safetensors", {})
    assert weights_hash(load_policy(tmp_path / "rllib.safetensors").state_dict()) == after
    algorithm.stop()
