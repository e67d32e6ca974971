"""From the words of a config to the task of an environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from configs.errors import ConfigError
from configs.named import named
from envs.actions import Look
from envs.step import Purpose
from envs.targets import Area, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.types import Exposure

if TYPE_CHECKING:
    from surveys.settings import SurveySettings


def survey_looks(settings: SurveySettings) -> tuple[Look, Look]:
    """The overview and the detail look."""
    detail, overview = settings.looks.detail, settings.looks.overview
    return (
        Look(
            name="overview",
            level="patch",
            purpose=Purpose.SURVEY,
            exposure=Exposure(
                field_of_view_nm=detail.field_of_view_nm * overview.sites,
                shape=overview.shape,
                dwell_us=overview.dwell_us,
                frames=overview.frames,
                signals=overview.signals,
            ),
        ),
        Look(
            name="detail",
            level="site",
            purpose=Purpose.DETAIL,
            tilts_deg=detail.tilts_deg,
            tilt_s=settings.motion.tilt_s,
            exposure=Exposure(
                field_of_view_nm=detail.field_of_view_nm,
                shape=detail.shape,
                dwell_us=detail.dwell_us,
                frames=detail.frames,
                signals=detail.signals,
            ),
        ),
    )


def survey_task(settings: SurveySettings, number: int) -> SurveyTask:
    """The task on specimen ``number``.

    Raises ValueError where area and looks do not fit together, ConfigError for a task of the user's own that is none.
    """
    looks = survey_looks(settings)
    area = Area(**settings.specimens[number].area.model_dump())
    task = SurveyTask(
        tree=grid_tree(
            area,
            patch_nm=looks[0].exposure.field_of_view_nm,
            site_nm=looks[1].exposure.field_of_view_nm,
            site_overlap=settings.looks.detail.overlap_ratio,
        ),
        looks=looks,
        budget=Budget(time_s=settings.budget.hours * 3600.0, electrons=settings.budget.electrons),
        tries=settings.recovery.most_tries,
        stage_speed_nm_per_s=settings.motion.stage_speed_nm_per_s,
        settle_s=settings.motion.settle_s,
    )
    return task if settings.task is None else _own(settings.task, task)


def _own(reference: str, task: SurveyTask) -> SurveyTask:
    made = named(reference, "adaptem.tasks")(task)
    if not isinstance(made, SurveyTask):
        raise ConfigError(f"{reference} gave a {type(made).__name__}, which is no SurveyTask")
    if made.looks != task.looks:
        raise ConfigError(f"{reference} gave other looks than the config's: describe them there, under looks")
    asked, given = made.budget, task.budget
    if asked.time_s > given.time_s or asked.electrons > given.electrons:
        raise ConfigError(
            f"{reference} asks for {asked.time_s:g} s and {asked.electrons:.3g} electrons, over the survey's budget of "
            f"{given.time_s:g} s and {given.electrons:.3g}: raise budget in the config"
        )
    return made
