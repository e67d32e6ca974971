"""What the registered gymnasium ids make: environments on simulated worlds, a new world with each episode's seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.actions import Look
from envs.novelty import NoveltyScorer
from envs.situation import Situation
from envs.step import Purpose
from envs.survey_env import SurveyEnv
from envs.targets import Area, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.scorers import Scorer
    from envs.skills import Skill

_MARGIN_NM = 500.0
"""The stage may go this far beyond the area: more than any backlash."""


def survey_task(
    *,
    patches: int = 8,
    sites_per_patch: int = 4,
    site_nm: float = 128.0,
    shape: tuple[int, int] = (256, 256),
    overview_dwell_us: float = 2.0,
    detail_dwell_us: float = 4.0,
    budget: Budget | None = None,
) -> SurveyTask:
    """A square of ``patches``² patches, each of ``sites_per_patch``² sites, with an overview and a detail look."""
    patch_nm = site_nm * sites_per_patch
    area = Area(x_nm=0.0, y_nm=0.0, width_nm=patches * patch_nm, height_nm=patches * patch_nm)
    overview = Exposure(field_of_view_nm=patch_nm, shape=shape, dwell_us=overview_dwell_us)
    detail = Exposure(field_of_view_nm=site_nm, shape=shape, dwell_us=detail_dwell_us)
    return SurveyTask(
        tree=grid_tree(area, patch_nm, site_nm),
        looks=(
            Look(name="overview", exposure=overview, level="patch", purpose=Purpose.SURVEY),
            Look(name="detail", exposure=detail, level="site", purpose=Purpose.DETAIL),
        ),
        budget=budget or Budget(time_s=1800.0, electrons=2e10),
        stage_speed_nm_per_s=1000.0,
        settle_s=1.3,
    )


def make_survey_env(
    *,
    task: SurveyTask | None = None,
    instrument: SimulatedSettings | None = None,
    scorer: Callable[[], Scorer] = NoveltyScorer,
    skills: Callable[[], tuple[Skill, ...]] = tuple,
    decision_time_s: float = 0.5,
    seed: int = 0,
) -> SurveyEnv:
    """``adaptem/Survey-v0``: equal seeds give equal episodes.

    ``scorer`` and ``skills`` are made anew for each; ``seed`` is that of the world before the first ``reset``.
    """
    wanted = task or survey_task()
    settings = instrument or SimulatedSettings()

    def remake(world_seed: int) -> Situation:
        clock = SimulatedClock()
        microscope = SimulatedMicroscope(World(settings, world_seed, clock, None))
        return Situation(
            guard=Guard(microscope, _limits(wanted, settings), MemoryLedger(), clock, SIMULATED),
            clock=clock,
            task=wanted,
            scorer=scorer(),
            skills=skills(),
            decision_time_s=decision_time_s,
            seed=world_seed,
        )

    return SurveyEnv(remake(seed), remake=remake)


def _limits(task: SurveyTask, settings: SimulatedSettings) -> Limits:
    """As wide as the task needs; the budget is the task's own."""
    tree = task.tree
    return Limits(
        x_nm=(float(tree.x_nm.min()) - _MARGIN_NM, float(tree.x_nm.max()) + _MARGIN_NM),
        y_nm=(float(tree.y_nm.min()) - _MARGIN_NM, float(tree.y_nm.max()) + _MARGIN_NM),
        alpha_deg=settings.stage.alpha_deg,
        off_axis_nm=settings.stage.eucentric_offset_nm,
        backlash_nm=2 * settings.stage.backlash_nm,
        stage_uncertainty_nm=settings.stage.reach_nm + settings.stage.creep_nm,
        field_of_view_nm=settings.field_of_view_nm,
        dwell_us=settings.dwell_us,
        max_current_pA=settings.column.max_current_pA,
        max_electrons=10 * task.budget.electrons,
        max_fluence_e_per_A2=settings.specimen.critical_fluence_e_per_A2,
        max_time_s=10 * task.budget.time_s,
    )
