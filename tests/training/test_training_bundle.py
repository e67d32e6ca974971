"""A policy of a run is trained again by the command on its card, where it was made and in another laboratory."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from training_samples import run_settings
from typer.testing import CliRunner

from configs.errors import ConfigError
from console.main import app
from training.bundle import export, take_in
from training.shelf import card_text, read_card
from training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made here")
    return train(run_settings(folder))


def remade(text, *words):
    """Hash of what the command on a card trains."""
    command = re.search(r"Remade by `(adaptem train .*?)`", text)
    assert command is not None, text
    result = CliRunner().invoke(app, [*shlex.split(command[1])[1:], "--json", *map(str, words)])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])["hash"]


def test_the_command_on_a_card_trains_the_same_policy_again(trained):
    text = card_text(trained.policy)
    assert remade(text) == trained.hash
    assert f"`{read_card(trained.policy)['command']}`" in text
    assert "readings.npz" in text, "what the config reads besides is told"


def test_an_imported_one_carries_its_config_and_is_no_run_to_go_on_with(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle = export(trained.policy, tmp_path / "run.zip")
    taken = take_in(bundle, tmp_path / "training_runs")
    text = card_text(taken)
    assert str(taken.parent) in text
    assert remade(text, "--set", f"out={tmp_path / 'elsewhere'}") == trained.hash
    with pytest.raises(ConfigError, match="no run to go on with"):
        train(run_settings(tmp_path).model_copy(update={"out": tmp_path / "training_runs"}), resume=True)
    assert export(taken, tmp_path / "on.zip").read_bytes()[:2] == b"PK"
    assert card_text(take_in(tmp_path / "on.zip", tmp_path / "third")).count("adaptem train") == 1


@pytest.mark.parametrize("name", ["..", ".", ".hidden"])
def test_a_name_that_would_leave_the_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name"):
        run_settings(tmp_path, name)
