from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from agent.factory import make_agent, make_skills
from agent.settings import PlannerSettings, RandomSettings, RasterSettings, SkillSettings
from envs.actions import Look, LookAt, Stop, UseSkill
from envs.belief import Belief
from envs.novelty import NoveltyScorer
from envs.observations import Present, observe
from envs.step import Purpose
from envs.targets import Area, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.types import Exposure

SITE_NM, SIDE = 60.0, 16


def make_task(side: int = SIDE) -> SurveyTask:
    tree = grid_tree(Area(x_nm=0, y_nm=0, width_nm=SITE_NM * side, height_nm=SITE_NM * side), 4 * SITE_NM, SITE_NM)
    overview = Exposure(field_of_view_nm=4 * SITE_NM, shape=(256, 256), dwell_us=4.0)
    detail = Exposure(field_of_view_nm=SITE_NM, shape=(256, 256), dwell_us=10.0)
    return SurveyTask(
        tree=tree,
        looks=(
            Look(name="overview", exposure=overview, level="patch", purpose=Purpose.SURVEY),
            Look(name="detail", exposure=detail, level="site", purpose=Purpose.DETAIL),
        ),
        budget=Budget(time_s=3600.0, electrons=1e12),
    )


class Bench:
    """A task, its agents, and observations written by hand."""

    def __init__(self, settings, side: int = SIDE, skills: bool = True) -> None:
        self.task = make_task(side)
        self.skills = make_skills(SkillSettings()) if skills else ()
        self.catalogue = self.task.catalogue(self.skills)
        self.agent = make_agent(settings, self.task, self.catalogue, self.skills, seed=3)
        self.belief = Belief(self.task, NoveltyScorer())
        self.belief.step_number = 1
        self.sites = self.task.tree.of_kind("site")
        self.patches = self.task.tree.of_kind("patch")
        self.stage = (0.0, 0.0)

    def open_all(self, interest) -> None:
        self.belief.looks_done[self.patches, 0] = 1
        self.belief.interest[0, self.sites] = interest

    def see(self, site: int, interest: float) -> None:
        self.belief.looks_done[site, 1] = 1
        self.belief.interest[1, site] = interest

    def observation(self, **globals_):
        done = self.belief.looks_done
        looks = np.zeros((len(self.task.tree), 2), dtype=bool)
        looks[self.patches, 0] = done[self.patches, 0] == 0
        looks[self.sites, 1] = done[self.sites, 1] == 0
        mask = np.concatenate([looks.ravel(), np.ones(len(self.skills), bool), [True]])
        present = Present(
            x_nm=self.stage[0], y_nm=self.stage[1], defocus_nm=0.0, time_left_s=3000.0, electrons_left=9e11,
            travel_s=self.task.travel_s(*self.stage), seed=7, action_mask=mask,
        )
        observation = observe(self.task, self.belief, present)
        return observation

    def act(self):
        decision = self.agent.act(self.observation())
        return self.catalogue.decode(decision.action), decision
