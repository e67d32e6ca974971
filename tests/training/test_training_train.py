from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from training_samples import EPISODE, RARE, SITES, VARIED, readings, run_settings

from agent.planner import Planner
from agent.scripted import raster_agent
from agent.settings import PlannerSettings, RasterSettings
from configs.errors import ConfigError
from configs.load import dump
from instruments.simulated.settings import SimulatedSettings
from models.checkpoint import load_policy, weights_hash
from training.judge import baselines, judged
from training.macro_env import MacroEnv
from training.readings import load_readings, measured, save_readings
from training.run import keep_lines
from training.settings import SELECT_SEED
from training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return folder, train(run_settings(folder))


def test_two_runs_give_the_same_weights(trained):
    folder, first = trained
    assert train(run_settings(folder, "again")).hash == first.hash
    assert train(run_settings(folder, "other", seed=1)).hash != first.hash


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_two_runs_on_a_gpu_give_the_same_weights(trained):
    folder, _ = trained
    first, again = (train(run_settings(folder, name, device="cuda")) for name in ("on-gpu", "on-gpu-again"))
    assert first.hash == again.hash
    assert load_policy(first.policy).worth[0].weight.device.type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_refused(trained):
    with pytest.raises(ConfigError, match="give auto or cpu"):
        train(run_settings(trained[0], "nowhere", device="cuda"))


def test_the_policy_carries_what_it_is_for(trained):
    _, found = trained
    policy, card = load_policy(found.policy), json.loads(found.policy.with_suffix(".json").read_text())
    assert weights_hash(policy.state_dict()) == found.hash == card["hash"]
    assert policy.spec.looks == ("overview", "detail") and policy.spec.skills == ("refocus",)
    assert {"commit", "seed", "config", "limits", "command"} <= set(card)


def test_a_run_that_is_killed_goes_on_to_the_same_weights(trained, tmp_path):
    folder, whole = trained
    settings = run_settings(folder, "killed")
    config = tmp_path / "run.yaml"
    config.write_text(dump(settings))
    run = subprocess.Popen(
        [sys.executable, "-m", "console.main", "train", str(config)], stdout=subprocess.DEVNULL, env=os.environ
    )
    checkpoint = settings.out / "killed" / "checkpoint.safetensors"
    while not checkpoint.exists() and run.poll() is None:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert checkpoint.exists()
    (settings.out / "killed" / "policy.safetensors").unlink(missing_ok=True)
    gone_on = train(settings, resume=True)
    assert gone_on.hash == whole.hash
    updates = [json.loads(line) for line in (gone_on.folder / "progress.jsonl").read_text().splitlines()]
    assert [row["update"] for row in updates if "entropy" in row] == [2, 3, 4]
    steps = (whole.folder / "progress.jsonl").read_text().splitlines()
    assert [sorted(row) for row in updates] == [sorted(json.loads(line)) for line in steps], "no row twice, none lost"


def test_rows_that_will_be_made_again_are_forgotten(tmp_path):
    path = tmp_path / "progress.jsonl"
    rows = [{"update": 0, "imitation_loss": 1.0}, {"update": 0, "select_score": 0.1}, {"update": 1, "entropy": 2.0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"update": 1, "select_score": 0.2}]) + '{"upd')
    keep_lines(path, 1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == rows
    keep_lines(path, None)
    assert path.read_text() == ""


def test_policies_are_selected_by_specimens_that_no_training_episode_meets():
    kept = readings(count=8)
    marked = replace(kept, features=np.zeros_like(kept.features), kind=np.repeat(np.uint8([0, 1]), 4))
    marked.features[:, 0, 0] = 10 + np.arange(8)
    assert marked.to_select_by().tolist() == [False, False, False, True] * 2
    env = MacroEnv(EPISODE, marked, VARIED.model_copy(update={"relaid": 0.0}))

    def met(seeds):
        return {int(env.specimen.features.max()) - 10 for seed in seeds if env.reset(seed=seed)}

    assert met(range(SELECT_SEED, SELECT_SEED + 40)) == {3, 7}
    assert met(range(10_000_000, 10_000_100)) == {0, 1, 2, 4, 5, 6}


def test_what_was_measured_can_be_left_as_it_was():
    kept = replace(readings(), seen=np.ones((4, SITES, SITES), dtype=np.float32))
    env = MacroEnv(EPISODE, kept, VARIED.model_copy(update={"relaid": 0.0, "turned": False}))
    for seed in range(8):
        env.reset(seed=seed)
        assert any(np.array_equal(env.specimen.above, above) for above in kept.above)


def test_readings_that_were_torn_are_refused(tmp_path):
    whole, torn = tmp_path / "whole.npz", tmp_path / "torn.npz"
    save_readings(readings(), whole)
    for size in (0, 200):
        torn.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(ConfigError, match="cannot be read"):
            load_readings(torn)


def test_nights_without_imitation_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nights are imitated, and imitation is null"):
        run_settings(tmp_path, nights=["somewhere"], imitation=None)


def test_a_teacher_of_ones_own_is_not_called_the_planner(tmp_path):
    tuned = PlannerSettings(optimism=1.0)
    assert baselines(run_settings(tmp_path, teacher=tuned)) == {"planner": tuned}
    own = baselines(run_settings(tmp_path, teacher=RasterSettings()))
    assert own == {"planner": PlannerSettings(), "teacher": RasterSettings()}


def test_runs_are_not_mixed(trained):
    folder, _ = trained
    with pytest.raises(ConfigError, match="holds a run already"):
        train(run_settings(folder))
    with pytest.raises(ConfigError, match="no run to go on with"):
        train(run_settings(folder, "never-begun"), resume=True)
    with pytest.raises(ConfigError, match="another config"):
        train(run_settings(folder, updates=9), resume=True)


def test_a_checkpoint_that_is_not_safetensors_is_refused(trained):
    folder, _ = trained
    settings = run_settings(folder, "damaged")
    train(settings)
    (settings.out / "damaged" / "checkpoint.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ConfigError, match="not safetensors"):
        train(settings, resume=True)


def test_the_set_policy_trains_by_the_same_command(trained):
    folder, _ = trained
    found = train(run_settings(folder, "set", network={"kind": "set", "width": 8}, imitation=None))
    assert load_policy(found.policy).spec.kind == "set"


def test_a_policy_is_judged_on_rendered_specimens(trained):
    folder, found = trained
    rows = judged(run_settings(folder), str(found.policy), 1, workers=1)
    assert [(row["specimens"], row["agent"]) for row in rows[:3]] == [
        ("made up", "learned"), ("made up", "planner"), ("made up", "raster"),
    ]  # fmt: skip
    assert all(0 <= row["found_dose"] <= 1 and row["n"] == 1 for row in rows) and rows[0]["learned_more"] == 0


def test_a_policy_that_is_not_there_is_named(trained):
    with pytest.raises(ConfigError, match="nowhere"):
        judged(run_settings(trained[0]), "nowhere", 1)


def scores(agent_of) -> float:
    env, found = MacroEnv(EPISODE, readings(), VARIED), []
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        agent, over = agent_of(env), False
        while not over:
            observation, _, terminated, truncated, info = env.step(agent.act(observation).action)
            over = terminated or truncated
        found.append(info["found_ratio"])
    return sum(found) / len(found)


def test_readings_tell_a_planner_from_a_raster():
    planner = scores(lambda env: Planner(PlannerSettings(first_sites=16), env.task, env.skills, env.catalogue))
    raster = scores(lambda env: raster_agent(RasterSettings(), env.task.looks, env.catalogue, 0))
    assert planner > raster + 0.2


def test_equal_seeds_give_equal_episodes_and_others_differ():
    def first(seed):
        env = MacroEnv(EPISODE, readings(), VARIED)
        return env.reset(seed=seed)[0]["globals"].tolist(), env.specimen.features.tolist(), env.specimen.seen.tolist()

    assert first(3) == first(3) != first(4)


def test_what_is_masked_moves_nothing():
    env = MacroEnv(EPISODE, readings(), VARIED)
    before = env.reset(seed=0)[0]["targets"]
    after = env.step(0)[0]["targets"]
    again, reward, *_ = env.step(0)
    assert not np.array_equal(before, after) and np.array_equal(after, again["targets"]) and reward == 0


@pytest.mark.filterwarnings("ignore::UserWarning")  # gymnasium's, of wide boxes and an environment without an id
def test_readings_make_a_gymnasium_environment():
    check_env(MacroEnv(EPISODE, readings(), VARIED), skip_render_check=True)


def test_a_survey_larger_than_what_was_measured_is_refused():
    with pytest.raises(ConfigError, match="measure larger ones"):
        MacroEnv(EPISODE, readings(sites=6), VARIED)


def test_readings_are_measured_by_a_real_episode():
    settings = EPISODE.model_copy(update={"instrument": SimulatedSettings(specimen=RARE)})
    found = measured(settings, 4, kind=2)
    assert found.above.shape == found.seen.shape == (1, SITES, SITES) and found.kind.tolist() == [2]
    rare = found.features > 0
    assert np.isfinite(found.seen[rare]).all() and np.isfinite(found.seen).sum() >= 24
    assert found.above[rare].mean() > found.above[~rare].mean()
