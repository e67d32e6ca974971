from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_samples import EPISODE, VARIED, readings, run_settings

from agent.features import FEATURES
from agent.learned import batch
from configs.errors import ConfigError
from configs.load import dump
from models.checkpoint import load_policy, make_policy, save_policy
from training.kit import spec_of
from training.macro_env import MacroEnv
from training.train import train

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
    others = {"another": -0.1, "one more": 0.0}
    worse, same = (tracker.finish({"hash": name, "score": found.score + more}, []) for name, more in others.items())
    assert (worse, same) == ("2", "3")
    assert str(client.get_model_version_by_alias("tracked", "champion").version) == same


def logged(client, run: str) -> dict[str, list[int]]:
    names = client.get_run(run).data.metrics
    return {name: [each.step for each in client.get_metric_history(run, name)] for name in names}


def test_a_run_that_has_ended_is_not_told_twice(tracked):
    """Resumed at its end, and at its last but one checkpoint: nothing anew."""
    folder, _, client = tracked
    settings = run_settings(folder, "resumed", track=True)
    first = train(settings)
    run = (first.folder / "mlflow_run").read_text()
    before = logged(client, run)
    assert train(settings, resume=True).hash == first.hash
    assert logged(client, run) == before and before["select_score"] == sorted(set(before["select_score"]))
    assert [each.version for each in client.search_model_versions("name = 'resumed'")] in ([1], ["1"])
    assert client.get_run(run).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED"), (RuntimeError, "FAILED")]
)
def test_a_run_that_breaks_off_does_not_run_for_ever(raised, status, tracked):
    folder, whole, client = tracked
    settings = run_settings(folder, f"broken-off-by-{raised.__name__}", track=True)

    def broken(row):
        if "entropy" in row and row["update"] == 3:
            raise raised

    with pytest.raises(raised):
        train(settings, told=broken)
    run = (settings.out / settings.name / "mlflow_run").read_text()
    assert client.get_run(run).info.status == status
    gone_on = train(settings, resume=True)
    assert client.get_run(run).info.status == "FINISHED" and gone_on.hash == whole.hash
    steps = logged(client, run)["entropy"]
    assert len(steps) == len(set(steps)) == 3


def test_a_run_that_is_ended_by_a_signal_says_how_to_go_on(tracked, tmp_path):
    folder, _, client = tracked
    settings = run_settings(folder, "ended", track=True, updates=100_000)
    (tmp_path / "run.yaml").write_text(dump(settings))
    words = [sys.executable, "-m", "console.main", "train", str(tmp_path / "run.yaml")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ)
    while not (settings.out / "ended" / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 130 and "interrupted: by SIGTERM; the same command with --resume goes on" in told
    assert client.get_run((settings.out / "ended" / "mlflow_run").read_text()).info.status == "KILLED"


def test_no_dependency_reports_home():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
