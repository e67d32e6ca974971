"""A config that cannot be used leaves no folder; learning that comes to nothing loses nothing."""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket

import numpy as np
import pytest
import torch
from torch import nn
from training_samples import EPISODE, VARIED, readings, run_settings

from archive.errors import ArchiveError
from configs.errors import ConfigError
from envs.actions import LookAt
from models.checkpoint import make_policy
from training.imitation import ImitationSettings, fit
from training.kit import kit_of
from training.macro_env import MacroEnv
from training.ppo import PPO, PPOSettings, descend
from training.rollout import RolloutWorker
from training.train import train


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


FAULTS = {
    "no such file": {"reward": "absent.py:mine"},
    "has to be a function": {"reward": "own.py:NUMBER"},
    "no such agent file": {"teacher": {"kind": "plugin", "name": "absent.py:Mine"}},
    "no such skill file": {"episode": {"sites": 8, "pixels": 64, "skills": {"own": [{"name": "absent.py:Mine"}]}}},
    "hold no survey of 9 × 9": {"episode": {"sites": 9, "pixels": 64}},
    "survey.json": {"nights": ["nowhere"]},
    "is no address: write HOST:PORT": {"workers": 1, "cluster": "nonsense"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_config_leaves_nothing_behind(fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("NUMBER = 1\n")
    words = "no such file" if fault.startswith("no such") else fault
    with pytest.raises((ConfigError, ArchiveError), match=re.escape(words)):
        train(run_settings(tmp_path, **FAULTS[fault]))
    assert not (tmp_path / "runs").exists()


def test_a_cluster_that_does_not_answer_is_told_at_once(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"nothing answers at 127\.0\.0\.1:\d+ \(.*refused"):
        train(run_settings(tmp_path, workers=1, cluster=f"127.0.0.1:{closed_port()}"))
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_anything_learned_is_begun_anew(tmp_path):
    folder = tmp_path / "runs" / "run"

    def full(row):
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        train(run_settings(tmp_path), told=full)
    assert {each.name for each in folder.iterdir()} == {"config.yaml", "progress.jsonl"}
    with pytest.raises(ConfigError, match="nothing was learned yet: leave --resume out"):
        train(run_settings(tmp_path, updates=1), resume=True)
    found = train(run_settings(tmp_path, updates=1))
    rows = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert found.policy.exists() and sum("imitation_loss" in row for row in rows) == 2
    with pytest.raises(ConfigError, match="holds a run already"):
        train(run_settings(tmp_path))


def test_a_folder_of_other_things_is_not_taken(tmp_path):
    kept = tmp_path / "runs" / "run" / "thesis.tex"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(ConfigError, match="holds a run already"):
        train(run_settings(tmp_path))
    assert [each.name for each in kept.parent.iterdir()] == ["thesis.tex"]


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match="another process trains in"):
        train(run_settings(tmp_path))
    os.close(other)
    assert train(run_settings(tmp_path)).policy.exists()


def test_who_plays_may_change_when_a_run_goes_on(tmp_path):
    first = train(run_settings(tmp_path, workers=0, cluster="gone:6379"))
    assert train(run_settings(tmp_path), resume=True).hash == first.hash


@pytest.mark.parametrize("given", ["float('nan')", "float('inf')", "None", "'much'"])
def test_a_reward_that_is_no_finite_number_is_refused_by_name(given, tmp_path):
    (tmp_path / "own.py").write_text(f"def broken(new, count, cost_s):\n    return {given}\n")
    reward = f"{tmp_path}/own.py:broken"
    env = MacroEnv(EPISODE, readings(), VARIED, reward)
    env.reset(seed=0)
    env.step(0)
    site = env.catalogue.encode(LookAt(int(env.task.tree.children(0)[0]), 1))
    with pytest.raises(ConfigError, match=rf"{re.escape(reward)} gave .*: it has to give a finite number"):
        env.step(site)
    with pytest.raises(ConfigError, match="has to give a finite number"):
        train(run_settings(tmp_path, reward=reward))


def test_the_last_good_checkpoint_outlives_a_reward_that_breaks(tmp_path):
    """It breaks in the third update; mended, the run goes on from the second to where it would have come."""
    source, count = "def fragile(new, count, cost_s):\n    return {}\n", tmp_path / "broken"
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\n"
        + source.format(f"float('nan') if Path({str(count)!r}).exists() else 10.0 * new / count")
    )
    settings = run_settings(tmp_path, reward=f"{tmp_path}/own.py:fragile")

    def breaking(row):
        if "entropy" in row and row["update"] == 2:
            count.touch()

    with pytest.raises(ConfigError, match="finite number"):
        train(settings, told=breaking)
    count.unlink()
    assert (tmp_path / "runs" / "run" / "checkpoint.safetensors").exists()
    assert train(settings, resume=True).hash == train(run_settings(tmp_path, "whole")).hash


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_touches_no_weight(slope):
    one = nn.Linear(1, 1)
    before = [each.clone() for each in one.parameters()]
    optimiser = torch.optim.Adam(one.parameters())
    with pytest.raises(ConfigError, match=r"learning came to a loss of .*lower ppo\.rate or imitation\.rate"):
        descend(optimiser, one(torch.full((1, 1), slope)).sum(), list(one.parameters()), 0.5)
    assert all(torch.equal(now, then) for now, then in zip(one.parameters(), before, strict=True))


def test_learning_from_what_is_not_finite_is_refused(tmp_path):
    kit, spec = kit_of(run_settings(tmp_path), readings())
    torch.manual_seed(0)
    policy, worker = make_policy(spec), RolloutWorker(kit)
    (episode,) = worker.play(policy.state_dict(), [1], guided=1.0)
    before = {name: kept.clone() for name, kept in policy.state_dict().items()}
    episode.rewards[0] = np.nan
    with pytest.raises(ConfigError, match="learning came to a loss of nan"):
        PPO(policy, PPOSettings()).update([episode], np.random.default_rng(0))
    episode.features["cells"][0] = np.nan
    optimiser = torch.optim.Adam(policy.parameters())
    with pytest.raises(ConfigError, match="learning came to a loss of nan"):
        fit(policy, optimiser, [episode], ImitationSettings(minibatch=10_000), np.random.default_rng(0))
    assert all(torch.equal(kept, before[name]) for name, kept in policy.state_dict().items())
