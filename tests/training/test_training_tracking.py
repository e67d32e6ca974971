from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_samples import EPISODE, VARIED, readings, run_settings

from agent.features import FEATURES
from agent.learned import batch
from configs.errors import ConfigError
from models.checkpoint import load_policy, make_policy, save_policy
from training.macro_env import MacroEnv
from training.train import spec_of, train

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'adaptem[train]'")

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, of its libraries


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    found = train(run_settings(folder, "tracked", track=True))
    return folder, found, mlflow.MlflowClient()


def test_a_run_is_in_the_store_with_its_metrics_by_step(tracked):
    folder, found, client = tracked
    (run,) = client.search_runs([client.get_experiment_by_name("adaptem").experiment_id])
    assert (folder / "runs" / "mlflow.db").exists() and run.info.status == "FINISHED"
    assert run.data.params["ppo.episodes"] == "2" and run.data.tags["hash"] == found.hash
    steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "entropy")]
    assert len(steps) == 3 and steps == sorted(set(steps)) and steps[0] > 0
    kept = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"config.yaml", "policy.safetensors", "learning_curve.png", "rollout.png"} <= kept


def test_the_policy_is_served_without_a_pickle(tracked):
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    served = mlflow.pyfunc.load_model("models:/tracked@champion")
    observation, _ = MacroEnv(EPISODE, readings(), VARIED).reset(seed=5)
    policy = load_policy(tracked[1].policy)
    with torch.no_grad():
        likeliest = int(policy(batch([FEATURES["map"][0](observation)]))[0].argmax())
    assert served.predict([observation, observation]) == [likeliest, likeliest]
    observation["targets"][0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        served.predict([observation])


def test_mlflow_has_nothing_to_say_of_the_model(tracked):
    """In a process of its own: MLflow says each thing once."""
    code = "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]); mlflow.pyfunc.load_model(sys.argv[2])"
    store = f"sqlite:///{tracked[0] / 'runs' / 'mlflow.db'}"
    words = [sys.executable, "-W", "always::UserWarning", "-c", code, store, "models:/tracked@champion"]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    assert "type hint" not in told.lower(), told


def test_a_policy_that_sees_other_numbers_is_not_served(tmp_path):
    from training.tracked_policy import TrackedPolicy

    torch.manual_seed(0)
    spec = replace(spec_of(run_settings(tmp_path)), scalars=("one", "two"))
    save_policy(make_policy(spec), tmp_path / "other.safetensors", {})
    context = SimpleNamespace(artifacts={"policy": str(tmp_path / "other.safetensors")})
    with pytest.raises(ConfigError, match="was trained to see the scalars one, two"):
        TrackedPolicy().load_context(context)


def test_only_a_better_policy_becomes_champion(tracked):
    from training.tracking import Tracker

    folder, found, client = tracked
    tracker = Tracker(run_settings(folder, "tracked", track=True), found.folder)
    worse, same = (tracker.finish({"score": found.score + change}, []) for change in (-0.1, 0.0))
    assert (worse, same) == ("2", "3")
    assert str(client.get_model_version_by_alias("tracked", "champion").version) == same


def test_no_dependency_reports_home():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
