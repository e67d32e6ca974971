from __future__ import annotations

import numpy as np
import pytest
from survey_samples import small
from training_samples import run_settings
from typer.testing import CliRunner

from agent.features import FEATURES, SCALARS
from archive.errors import ArchiveError
from configs.errors import ConfigError
from configs.named import named
from console.main import app
from models.policy import PolicySpec
from surveys.night import open_night
from surveys.runner import run_survey
from training.nights import nights_of
from training.train import train

READ = FEATURES["map"][0]


def spec(*skills: str) -> PolicySpec:
    return PolicySpec(
        kind="map", columns=FEATURES["map"][1], scalars=SCALARS, looks=("overview", "detail"), skills=skills, width=8
    )


NOTING = """
from agent.features import map_features
from agent.scripted import raster_agent
from agent.settings import RasterSettings

SEEN = []


def make(options, task, catalogue, skills, seed):
    agent = raster_agent(RasterSettings(corner=0, refocus_every=5), task.looks, catalogue, seed)
    act = agent.act

    def noted(observation):
        SEEN.append(map_features(observation))
        return act(observation)

    agent.act = noted
    return agent
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A night, and what its agent saw at each decision."""
    place = tmp_path_factory.mktemp("night")
    (place / "noting.py").write_text(NOTING)
    settings = small(agent={"kind": "plugin", "name": f"{place}/noting.py:make"}, skills={"refocus": {"dwell_us": 1.0}})
    night = open_night(settings, place / "night")
    run_survey(night)
    night.close()
    return place / "night", named(f"{place}/noting.py:SEEN", "")


def test_what_was_seen_is_told_again_by_the_journal(recorded):
    folder, seen = recorded
    (night,) = nights_of([folder], spec("refocus"), READ)
    assert len(night) >= 10
    for name in ("action_mask", "cells", "scalars"):
        then = np.stack([each[name] for each in seen[: len(night)]])
        np.testing.assert_allclose(night.features[name], then, atol=0.02 if name == "scalars" else 1e-4, err_msg=name)
    assert all(night.features["action_mask"][n, action] for n, action in enumerate(night.taught))


def test_a_policy_imitates_a_recorded_night(recorded, tmp_path):
    folder, _ = recorded
    told = []
    train(run_settings(tmp_path, nights=(folder,)), told=told.append)
    losses = [row["nights_loss"] for row in told if "nights_loss" in row]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_a_recorded_night_is_a_minari_dataset(recorded, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    folder, _ = recorded
    (night,) = nights_of([folder], spec("refocus"), READ)
    config = tmp_path / "train.yaml"
    config.write_text("worlds: {kinds: {any: {}}}\n")
    wanted = tmp_path / "night-v0"
    command = ["train", str(config), "--from", str(folder), "--minari", wanted.name]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and f"1 episodes, {len(night)} steps" in done.output.replace("\n", " "), done.output
    dataset = minari.MinariDataset(wanted / "data")
    (episode,) = dataset.iterate_episodes()
    assert episode.actions.tolist() == night.taught.tolist() and len(episode.observations["globals"]) == len(night) + 1
    np.testing.assert_allclose(episode.rewards, night.rewards)
    assert [*episode.truncations, *episode.terminations].count(True) == 1
    for n in range(len(night) + 1):
        seen = {name: rows[n] for name, rows in episode.observations.items()}
        assert dataset.observation_space.contains(seen)
        if n < len(night):
            np.testing.assert_allclose(READ(seen)["cells"], night.features["cells"][n], atol=1e-6)
    assert [each.name for each in wanted.iterdir()] == ["data"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code != 0 and "holds a dataset already" in again.output
    without = CliRunner().invoke(app, ["train", str(config), "--minari", str(tmp_path / "other")])
    assert without.exit_code != 0 and "name them by --from" in without.output


def test_a_dataset_is_whole_or_not_there(recorded, tmp_path, monkeypatch):
    pytest.importorskip("minari")
    from training import offline

    def full(number, night):
        raise OSError("no space left on device")

    with monkeypatch.context() as torn:
        torn.setattr(offline, "_episode", full)
        with pytest.raises(OSError, match="no space left"):
            offline.write_minari([recorded[0]], ("overview", "detail"), ("refocus",), tmp_path / "night-v0")
    assert list((tmp_path / "night-v0").iterdir()) == []
    episodes, _ = offline.write_minari([recorded[0]], ("overview", "detail"), ("refocus",), tmp_path / "night-v0")
    assert episodes == 1


def test_nights_that_do_not_fit_are_refused(recorded, tmp_path):
    folder, _ = recorded
    with pytest.raises(ConfigError, match="train on nights alike"):
        nights_of([folder], spec(), READ)
    with pytest.raises(ArchiveError):
        nights_of([tmp_path], spec("refocus"), READ)
