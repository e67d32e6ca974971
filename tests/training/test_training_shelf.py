from __future__ import annotations

import json
import zipfile

import pytest
import torch
from typer.testing import CliRunner

from agent.features import FEATURES, SCALARS
from configs.errors import ConfigError
from console.main import app
from models.checkpoint import load_policy, make_policy, save_policy
from models.policy import PolicySpec
from training.shelf import card_text, export, listed, take_in


@pytest.fixture
def policy(tmp_path):
    torch.manual_seed(0)
    spec = PolicySpec(
        kind="map", columns=FEATURES["map"][1], scalars=SCALARS, looks=("overview", "detail"), skills=(), width=8
    )
    path = tmp_path / "runs" / "mine" / "policy.safetensors"
    about = {
        "name": "mine", "seed": 3, "commit": "abc", "command": "adaptem train mine.yaml", "limits": "only film",
        "config": {"worlds": {"kinds": {"film": {}}}}, "progress": {"best": 0.5, "env_steps": 10, "cpu_s": 1.0},
    }  # fmt: skip
    save_policy(make_policy(spec), path, about)
    return path


def test_a_policy_travels_in_a_bundle(policy, tmp_path):
    bundle = export(policy, tmp_path / "mine.zip")
    taken = take_in(bundle, tmp_path / "elsewhere")
    assert taken.read_bytes() == policy.read_bytes() and load_policy(taken)
    assert json.loads(taken.with_suffix(".json").read_text())["seed"] == 3
    with pytest.raises(ConfigError, match="there already"):
        take_in(bundle, tmp_path / "elsewhere")


def test_a_bundle_that_was_changed_is_refused(policy, tmp_path):
    bundle = export(policy, tmp_path / "mine.zip")
    card = json.loads(policy.with_suffix(".json").read_text())
    with zipfile.ZipFile(tmp_path / "changed.zip", "w") as packed:
        packed.write(policy, "policy.safetensors")
        packed.writestr("policy.json", json.dumps({**card, "hash": "0" * 16}))
    with pytest.raises(ConfigError, match="it was changed"):
        take_in(tmp_path / "changed.zip", tmp_path / "elsewhere")
    with zipfile.ZipFile(tmp_path / "pickled.zip", "w") as packed:
        packed.writestr("policy.safetensors", b"\x80\x04.")
        packed.writestr("policy.json", "{}")
    with pytest.raises(ConfigError, match="not safetensors"):
        take_in(tmp_path / "pickled.zip", tmp_path / "elsewhere")
    bundle.write_bytes(bundle.read_bytes()[:100])
    with pytest.raises(ConfigError, match="no bundle of a policy"):
        take_in(bundle, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_card_tells_what_a_policy_is_for(policy):
    text = card_text(policy)
    for words in ("map policy", "interest_above", "overview, detail", "film", "seed 3", "only film", "0.500"):
        assert words in text


def test_the_commands_list_show_and_pack(policy, tmp_path):
    run = CliRunner().invoke
    runs = str(policy.parent.parent)
    assert "mine" in run(app, ["policies", "list", "--runs", runs]).output
    assert json.loads(run(app, ["policies", "list", "--runs", runs, "--json"]).output)[-1]["score"] == 0.5
    assert '"seed": 3' in run(app, ["policies", "show", str(policy)]).output
    assert "only film" in run(app, ["policies", "card", str(policy)]).output
    packed = run(app, ["policies", "export", str(policy), "--out", str(tmp_path / "p.zip")])
    assert packed.exit_code == 0 and (tmp_path / "p.zip").exists()
    taken = run(app, ["policies", "import", str(tmp_path / "p.zip"), "--into", str(tmp_path / "other")])
    assert taken.exit_code == 0 and listed(tmp_path / "other")
    assert run(app, ["policies", "show", "wonder"]).exit_code == 2
