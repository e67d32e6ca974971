from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from agent.features import FEATURES, SCALARS
from configs.errors import ConfigError
from console.main import app
from models.checkpoint import SHIPPED, load_policy, make_policy, save_policy
from models.policy import PolicySpec
from training.bundle import export, take_in
from training.shelf import card_text, listed


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


def adaptem(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def renamed(policy, name):
    """The same policy in another folder."""
    other = policy.parent.parent / name / policy.name
    other.parent.mkdir()
    other.write_bytes(policy.read_bytes())
    card = json.loads(policy.with_suffix(".json").read_text())
    other.with_suffix(".json").write_text(json.dumps({**card, "name": name}))
    return other


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


@pytest.mark.parametrize("command", ["show", "card"])
def test_what_is_listed_is_found_by_its_name(command, policy):
    runs = policy.parent.parent
    renamed(policy, "other")
    for row in json.loads(adaptem("policies", "list", "--runs", runs, "--json").stdout):
        by_name = adaptem("policies", command, row["policy"], "--runs", runs)
        assert by_name.exit_code == 0, by_name.stderr
        assert by_name.stdout == adaptem("policies", command, row["file"]).stdout


def test_two_of_a_name_are_told_with_their_files(policy, tmp_path):
    runs = tmp_path / "runs"
    adaptem("policies", "export", "survey", "--out", tmp_path / "survey.zip", "--runs", runs)
    assert adaptem("policies", "import", tmp_path / "survey.zip", "--into", runs).exit_code == 0
    told = adaptem("policies", "show", "survey", "--runs", runs)
    assert told.exit_code == 2
    assert str(SHIPPED / "survey.safetensors") in told.stderr and str(runs / "survey" / policy.name) in told.stderr
    none = adaptem("policies", "show", "wonder", "--runs", runs)
    assert none.exit_code == 2 and "there: mine, survey" in none.stderr and "--runs" in none.stderr


@pytest.mark.parametrize("torn", ['{"name": "mi', "[]", '{"spec": []}', '{"progress": {"best": "much"}}', None])
def test_a_card_that_is_torn_hides_no_other(torn, policy):
    other = renamed(policy, "other")
    card = other.with_suffix(".json")
    card.unlink() if torn is None else card.write_text(torn)
    told = adaptem("policies", "list", "--runs", policy.parent.parent)
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["survey", "mine", "other"]
    assert "card cannot be read" in lines[2] and str(other) in lines[2]
    assert "card cannot" not in lines[1]
    assert adaptem("policies", "card", "other", "--runs", policy.parent.parent).exit_code == 2


def test_a_bundle_that_is_there_is_left(policy, tmp_path):
    bundle = tmp_path / "mine.zip"
    bundle.write_text("of somebody else")
    told = adaptem("policies", "export", policy, "--out", bundle)
    assert told.exit_code == 2 and "exists already" in told.stderr
    assert bundle.read_text() == "of somebody else"
    card = json.loads(policy.with_suffix(".json").read_text())
    policy.with_suffix(".json").write_text(json.dumps({**card, "hash": "0" * 16}))
    assert "it was changed" in adaptem("policies", "export", policy, "--out", tmp_path / "new.zip").stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.zip", "runs"]


def test_what_a_card_of_the_shipped_policy_says_is_what_was_measured():
    limits = json.loads((SHIPPED / "survey.json").read_text())["limits"]
    measured = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    for agent in ("policy", "planner"):
        named = re.search(rf"^\| {agent} \| (0\.\d+) \(.*\) \| .* \| .* \|$", measured, re.MULTILINE)
        assert named is not None and f"({float(named[1]):.2f})" in limits
    assert "behind the planner on\nfour of six" in measured or "behind the planner on four of six" in measured
    assert "On four of six images" in limits
