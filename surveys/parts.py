"""What a config names of a survey's parts, tried before the night: tasks, scorer, skills, agent, what labels taught."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.factory import agent_problems, make_skills
from configs.errors import ConfigError
from envs.scoring import scorer_problems
from surveys.controls import draw
from surveys.learned import learned_problems
from surveys.task import survey_task

if TYPE_CHECKING:
    from envs.tasks import SurveyTask
    from surveys.settings import SurveySettings


def tasks_of(settings: SurveySettings) -> tuple[list[SurveyTask], list[str]]:
    """One for each specimen, and why some of them, or their controls, cannot be made."""
    tasks: list[SurveyTask] = []
    problems: list[str] = []
    for number, specimen in enumerate(settings.specimens):
        try:
            tasks.append(survey_task(settings, number))
            draw(tasks[-1].tree.leaves.tolist(), settings.controls, settings.seed, number)
        except (ValueError, ConfigError) as error:
            problems.append(f"specimens.{number} ({specimen.name}): {error}")
    return tasks, problems


def parts_problems(settings: SurveySettings, tasks: list[SurveyTask]) -> list[str]:
    """Why what the config names cannot be made, or cannot fly these tasks. Raises ConfigError for a skill."""
    skills = make_skills(settings.skills)
    found = scorer_problems(settings.scorer) or learned_problems(settings)
    return found + agent_problems(settings.agent, tasks, skills, settings.seed)
