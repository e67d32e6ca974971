"""What is said of a training run that cannot be, before anything runs; and of what was asked of its judging."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from training_samples import EPISODE, VARIED, readings
from typer.testing import CliRunner

from configs.errors import ConfigError
from configs.load import load
from console.main import app
from envs.actions import LookAt, Stop
from training.macro_env import MacroEnv
from training.pictures import rollout_picture
from training.rollout import Episode
from training.settings import TrainSettings


def test_a_width_that_heads_do_not_share_is_refused(tmp_path):
    config = tmp_path / "set.yaml"
    config.write_text("worlds: {kinds: {any: {}}}\nnetwork: {kind: set, width: 10}\n")
    with pytest.raises(ConfigError, match="width 10 was asked; a set's heads of attention want a multiple of 4"):
        load(config, TrainSettings)
    assert load(config, TrainSettings, ["network.width=12"]).network.width == 12
    assert load(config, TrainSettings, ["network.kind=map"]).network.width == 10


@pytest.mark.parametrize("option", ["--specimens", "--workers"])
@pytest.mark.parametrize("count", ["0", "-1"])
def test_nothing_is_judged_on_nothing(option, count, tmp_path):
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "any.yaml"), option, count])
    assert done.exit_code == 2 and option in done.output and "1" in done.output


def test_a_picture_tells_no_colours_of_looks_that_were_not_taken(tmp_path, monkeypatch):
    env, drawn = MacroEnv(EPISODE, readings(), VARIED), []
    monkeypatch.setattr(Figure, "colorbar", lambda figure, *how, **more: drawn.append(more["label"]))
    rollout_picture(env, _episode(env, Stop()), tmp_path / "stopped.png")
    assert drawn == [] and (tmp_path / "stopped.png").exists()
    rollout_picture(env, _episode(env, LookAt(int(env.task.tree.leaves[0]), 1)), tmp_path / "looked.png")
    assert drawn == ["step"]


def _episode(env: MacroEnv, action: LookAt | Stop) -> Episode:
    one = np.zeros(1, dtype=np.float32)
    return Episode(
        features={}, actions=np.array([env.catalogue.encode(action)]), log_chance=one, values=one, rewards=one,
        taught=np.array([-1]), last_value=0.0, score=0.0,
    )  # fmt: skip
