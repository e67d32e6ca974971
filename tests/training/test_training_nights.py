from __future__ import annotations

import numpy as np
import pytest
from survey_samples import small
from training_samples import run_settings

from agent.features import FEATURES, SCALARS
from archive.errors import ArchiveError
from configs.errors import ConfigError
from configs.named import named
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


def test_nights_that_do_not_fit_are_refused(recorded, tmp_path):
    folder, _ = recorded
    with pytest.raises(ConfigError, match="train on nights alike"):
        nights_of([folder], spec(), READ)
    with pytest.raises(ArchiveError):
        nights_of([tmp_path], spec("refocus"), READ)
