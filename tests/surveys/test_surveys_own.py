"""A scorer, a skill and a task of the user's own, in one Python file, flown by name."""

from __future__ import annotations

import pytest
from survey_samples import small

from archive.reader import SurveyReader
from configs.errors import ConfigError
from surveys.dryrun import plan
from surveys.night import open_night
from surveys.runner import run_survey

OWN = """
from dataclasses import replace

import numpy as np

from agent.scripted import raster_agent
from agent.settings import RasterSettings
from agent.view import View, skill_number
from envs.scorers import Description
from envs.skills import SkillResult
from envs.step import Decision
from envs.tasks import Budget


class Bright:
    names = ("mean_ratio",)

    def __init__(self, options):
        self.above = options["above"]

    def describe(self, frame, windows):
        image = next(iter(frame.signals.values())).data
        rows = [[image[slice(*w.rows_px), slice(*w.columns_px)].mean() / image.mean()] for w in windows]
        return Description(descriptors=np.array(rows), quality={})

    def observe(self, look, descriptors):
        pass

    def interest(self, look, descriptors):
        return np.maximum(descriptors[:, 0] - self.above, 0.0)

    def state(self):
        return {}

    def restore(self, state):
        pass


class Breathe:
    name, cost_s = "breathe", 1.0

    def __init__(self, options):
        pass

    def cost_exposures(self):
        return ()

    def run(self, guard, expose):
        return SkillResult(ok=True, message="breathed")


class Choke(Breathe):
    def run(self, guard, expose):
        return {}["breath"]


def fewer_tries(task):
    return replace(task, tries=1, budget=Budget(time_s=task.budget.time_s / 2, electrons=task.budget.electrons))


def richer(task):
    return replace(task, budget=Budget(time_s=2 * task.budget.time_s, electrons=task.budget.electrons))


def no_task(task):
    return "none"


def breathing(options, task, catalogue, skills, seed):
    agent = raster_agent(RasterSettings(corner=0, refocus_every=0), task.looks, catalogue, seed)
    act = agent.act

    def first_breathe(observation):
        view = View.of(observation, catalogue)
        number = skill_number(catalogue, view, "breathe")
        if view.globals["step_number"] == 0 and number is not None:
            return Decision(action=number, policy="breathing")
        return act(observation)

    agent.act = first_breathe
    return agent
"""


def settings(place, **changes):
    (place / "own.py").write_text(OWN)
    name = f"{place}/own.py:"
    return small(**{
        "agent": {"kind": "plugin", "name": name + "breathing"},
        "scorer": {"kind": "plugin", "name": name + "Bright", "options": {"above": 1.0}},
        "skills": {"refocus": None, "own": [{"name": name + "Breathe"}]},
        "task": name + "fewer_tries",
        **changes,
    })  # fmt: skip


def test_a_scorer_a_skill_and_a_task_of_ones_own_fly(tmp_path):
    night = open_night(settings(tmp_path), tmp_path / "night")
    run_survey(night)
    night.close()
    with SurveyReader(tmp_path / "night") as survey:
        steps = list(survey.steps(night.settings.specimens[0].name))
    assert steps[0].skill == "breathe" and steps[0].fault is None
    scores = [step.score for step in steps if step.score is not None]
    assert scores and all(len(row) == 1 for score in scores for row in score.descriptors)
    assert max(value for score in scores for value in score.interest) > 0


def test_a_defect_in_a_skill_costs_a_step_and_not_the_night(tmp_path):
    own = f"{tmp_path}/own.py:Choke"
    night = open_night(settings(tmp_path, skills={"refocus": None, "own": [{"name": own}]}), tmp_path / "night")
    summary = run_survey(night)
    night.close()
    with SurveyReader(tmp_path / "night") as survey:
        steps = list(survey.steps(night.settings.specimens[0].name))
        replies = [event.message for event in survey.rows.events("reply")]
    assert summary.reason == "complete"
    assert steps[0].fault is not None
    assert steps[0].fault.error == "SkillFailed"
    assert "breathe has a defect: KeyError: 'breath' (own.py, line" in steps[0].fault.message
    assert any(message.startswith("skip: breathe has a defect") for message in replies)
    assert all(step.fault is None for step in steps[1:])


def test_what_is_none_is_refused_before_the_night(tmp_path):
    own = f"{tmp_path}/own.py:"
    for task, words in {"no_task": "which is no SurveyTask", "richer": "over the survey's budget"}.items():
        with pytest.raises(ConfigError, match=words):
            plan(settings(tmp_path, task=own + task))
    with pytest.raises(ConfigError, match="which is no skill: no name, cost_s"):
        plan(settings(tmp_path, skills={"refocus": None, "own": [{"name": own + "Bright", "options": {"above": 1.0}}]}))
    with pytest.raises(ConfigError, match="which is no scorer: no names"):
        plan(settings(tmp_path, scorer={"kind": "plugin", "name": own + "Breathe"}))
