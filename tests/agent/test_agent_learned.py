from __future__ import annotations

import numpy as np
import pytest
import torch

from agent.factory import make_agent
from agent.features import FEATURES, SCALARS
from agent.learned import LearnedAgent
from agent.settings import LearnedSettings, PlannerSettings
from configs.errors import ConfigError
from envs.actions import Catalogue
from envs.observations import TARGET_COLUMNS
from models.checkpoint import make_policy, save_policy
from models.policy import PolicySpec
from training.episode import EpisodeSettings, opened

SMALL = EpisodeSettings(sites=8, pixels=64, dose_ratio=0.3)
LONG = SMALL.model_copy(update={"dose_ratio": 5.0})


def policy(kind: str = "map", **changes: object):
    torch.manual_seed(0)
    told = {
        "kind": kind, "columns": FEATURES[kind][1], "scalars": SCALARS, "looks": ("overview", "detail"),
        "skills": ("refocus",), "width": 8,
    }  # fmt: skip
    return make_policy(PolicySpec(**{**told, **changes}))


@pytest.fixture
def env():
    made, _ = opened(SMALL, 3)
    yield made
    made.close()


def test_an_answer_that_is_not_finite_is_refused(env):
    """Finite numbers out of their range: the logarithm of a negative interest is none."""
    agent, observation = LearnedAgent(policy(), env.situation.task, env.catalogue), env.observation()
    observation["targets"][:, TARGET_COLUMNS.index("interest_above")] = -3.0
    with pytest.raises(ValueError, match="answer to this observation is not finite"), np.errstate(invalid="ignore"):
        agent.act(observation)


@pytest.mark.parametrize("kind", ["map", "set"])
def test_a_policy_flies_a_real_survey(env, tmp_path, kind):
    save_policy(policy(kind), tmp_path / "p.safetensors", {})
    task, skills = env.situation.task, env.situation.skills
    agent = make_agent(
        LearnedSettings(weights=str(tmp_path / "p.safetensors"), sample=True), task, env.catalogue, skills, 0
    )
    steps = 0
    while env.last_step is None or not (env.last_step.terminated or env.last_step.truncated):
        decision = agent.act(env.observation())
        step = env.apply(decision.action, decision)
        assert step.fault is None and decision.policy == agent.name
        assert decision.candidates[0].action == decision.action and 0 < decision.candidates[0].probability <= 1
        steps += 1
    assert steps > 5


def test_a_decision_has_no_side_effect_and_draws_by_seed_and_step(env):
    task, observation = env.situation.task, env.observation()
    drawn = LearnedAgent(policy(), task, env.catalogue, sample=True)
    first = drawn.act(observation)
    assert first == drawn.act(observation)
    later = {**observation, "globals": observation["globals"] + np.eye(10)[9]}  # another seed
    assert drawn.act(later).action != first.action


def test_numbers_that_are_not_finite_are_refused(env):
    task, observation = env.situation.task, env.observation()
    observation["targets"][3, 4] = np.nan
    planner = make_agent(PlannerSettings(), task, env.catalogue, env.situation.skills, 0)
    for agent in (LearnedAgent(policy(), task, env.catalogue), planner):
        with pytest.raises(ValueError, match="targets holds 1 numbers that are not finite"):
            agent.act(observation)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": ("detail",)}, "knows no overview"),
        ({"skills": ()}, "knows no refocus"),
        ({"columns": ("interest",)}, "trained to see the columns interest"),
        ({"scalars": ("time",)}, "trained to see the scalars time"),
    ],
)
def test_a_policy_of_another_observation_or_action_space_is_refused(env, changes, words):
    with pytest.raises(ConfigError, match=words):
        LearnedAgent(policy(**changes), env.situation.task, env.catalogue)


def test_a_survey_may_lack_a_skill_that_the_policy_knows(env):
    fewer = Catalogue(slots=env.catalogue.slots, looks=env.catalogue.looks, skills=())
    observation = env.observation()
    observation["action_mask"] = np.delete(observation["action_mask"], fewer.size - 1)
    decision = LearnedAgent(policy(), env.situation.task, fewer).act(observation)
    assert observation["action_mask"][decision.action]


def test_the_focus_may_follow_a_clock_instead():
    env, _ = opened(LONG, 3)
    agent = LearnedAgent(policy(), env.situation.task, env.catalogue, sample=True, refocus_every=5)
    skills = []
    for _ in range(11):
        decision = agent.act(env.observation())
        skills.append(env.apply(decision.action, decision).skill)
    env.close()
    assert [n for n, skill in enumerate(skills) if skill] == [0, 6]
