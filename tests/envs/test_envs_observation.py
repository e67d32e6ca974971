"""What the agent is shown, and how many episodes an instrument has."""

from __future__ import annotations

import numpy as np
import pytest
from envs_helpers import PATCHES, Brightness, Focus, detail, overview, situation, survey

from envs.survey_env import SurveyEnv


def test_the_observation_lies_in_its_space_and_shows_the_children_where_they_are():
    env = survey(skills=(Focus(),))
    for action in (overview(0), detail(4), 40, overview(0)):
        env.apply(action)
        assert env.observation_space.contains(env.observation())
    observation = env.observation()
    assert all(np.isfinite(value).all() for value in observation.values())
    belief = observation["belief"].reshape(4, -1)
    assert belief[3, observation["cell"][4]] == 1
    assert observation["parent"][list(PATCHES)].tolist() == [-1] * 4
    assert (observation["action_mask"].astype(bool) == env.action_masks()).all()


def test_an_instrument_has_no_second_episode():
    env = SurveyEnv(situation(scorer=Brightness()))
    env.reset(seed=3)
    env.apply(overview(0))
    with pytest.raises(RuntimeError, match="made 1 steps"):
        env.reset()
