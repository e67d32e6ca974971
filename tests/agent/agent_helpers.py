"""A task, its agents, and observations written by hand."""

from __future__ import annotations

import numpy as np

from agent.factory import make_agent, make_skills
from agent.settings import SkillSettings
from envs.actions import Look
from envs.belief import ABOVE, SEEN, Belief
from envs.novelty import NoveltyScorer
from envs.observations import GLOBALS, Present, observe
from envs.step import Purpose
from envs.targets import Area, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.types import Exposure

SITE_NM = 60.0


def make_task(side: int) -> SurveyTask:
    width_nm = SITE_NM * side
    tree = grid_tree(Area(x_nm=0, y_nm=0, width_nm=width_nm, height_nm=width_nm), 4 * SITE_NM, SITE_NM)
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
    """What an agent would see of a specimen of side × side sites, set by hand."""

    def __init__(self, settings, *, side: int = 16, focus: bool = True) -> None:
        self.task = make_task(side)
        self.skills = make_skills(SkillSettings() if focus else SkillSettings(refocus=None))
        self.catalogue = self.task.catalogue(self.skills)
        self.agent = make_agent(settings, self.task, self.catalogue, self.skills, seed=3)
        self.belief = Belief(self.task, NoveltyScorer())
        self.belief.step_number = 1
        self.patches = self.task.tree.of_kind("patch")
        self.sites = self.task.tree.of_kind("site")
        self.stage_nm = (0.0, 0.0)
        self.seed = 7

    def open_patches(self, interest, patches=None) -> None:
        """Overviews of all patches (or some) that read ``interest`` at their sites."""
        patches = self.patches if patches is None else patches
        self.belief.looks_done[patches, 0] = 1
        inside = self.sites[np.isin(self.task.tree.parent[self.sites], patches)]
        self.belief.interest[ABOVE, inside] = interest

    def see(self, site: int, interest: float) -> None:
        self.belief.looks_done[site, 1] = 1
        self.belief.interest[SEEN, site] = interest

    def at(self, row: int, column: int) -> int:
        """The site in this row and column."""
        tree = self.task.tree
        return int(self.sites[(tree.row[self.sites] == row) & (tree.column[self.sites] == column)][0])

    def observation(self, **changed: float):
        looks = np.zeros((len(self.task.tree), 2), dtype=bool)
        looks[self.patches, 0] = self.belief.looks_done[self.patches, 0] == 0
        looks[self.sites, 1] = self.belief.looks_done[self.sites, 1] == 0
        looks &= ~self.belief.blocked[:, None]
        mask = np.concatenate([looks.ravel(), np.ones(len(self.skills), dtype=bool), [True]])
        present = Present(
            x_nm=self.stage_nm[0],
            y_nm=self.stage_nm[1],
            defocus_nm=0.0,
            time_left_s=3000.0,
            electrons=9e11,
            travel_s=self.task.travel_s(*self.stage_nm),
            seed=self.seed,
            action_mask=mask,
        )
        observation = observe(self.task, self.belief, present)
        for name, value in changed.items():
            observation["globals"][GLOBALS.index(name)] = value
        return observation

    def act(self, **changed: float):
        """(action, decision)."""
        decision = self.agent.act(self.observation(**changed))
        return self.catalogue.decode(decision.action), decision
