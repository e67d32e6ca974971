"""Makes agents and skills from settings. The only place here where modules are imported inside functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.settings import (
    AgentSettings,
    BayesianSettings,
    EstimateSettings,
    LearnedSettings,
    OwnSkillSettings,
    PlannerSettings,
    PluginSettings,
    RandomSettings,
    RasterSettings,
    RefocusSettings,
    SkillSettings,
)
from configs.errors import ConfigError
from configs.named import own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.focus_reading import Reader
    from agent.prior import Prior
    from agent.protocol import Agent
    from agent.seeking import Array, Model
    from envs.actions import Catalogue
    from envs.skills import Skill
    from envs.tasks import SurveyTask

__all__ = ["AgentSettings", "SkillSettings", "agent_problems", "make_agent", "make_skills", "takes_prior"]


def make_agent(
    settings: AgentSettings,
    task: SurveyTask,
    catalogue: Catalogue,
    skills: tuple[Skill, ...],
    seed: int,
    prior: Prior | None = None,
) -> Agent:
    """The agent that ``settings`` ask for; ``prior`` is for those that ``takes_prior``.

    Raises ConfigError for one that is not there, is none, or cannot fly such a task.
    """
    match settings:
        case PlannerSettings():
            from agent.planner import Planner

            return Planner(settings, task, skills, catalogue, prior)
        case RasterSettings():
            from agent.scripted import raster_agent

            return raster_agent(settings, task.looks, catalogue, seed)
        case RandomSettings():
            from agent.scripted import random_agent

            return random_agent(settings, task.looks, catalogue)
        case LearnedSettings():
            try:
                from agent.learned import learned_agent
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f"a learned agent needs {error.name}, which is not installed: pip install 'adaptem[simulate]'"
                ) from error
            return learned_agent(settings, task, catalogue)
        case BayesianSettings():
            from agent.bayesian import Bayesian

            return Bayesian(settings, task, catalogue, _relation(settings, seed))
        case PluginSettings():
            given = (settings.options, task, catalogue, skills, seed)
            made: Agent = own(settings.name, "adaptem.agents", given, "agent", ("name", "act", "observe"))
            return made


def agent_problems(
    settings: AgentSettings, tasks: Iterable[SurveyTask], skills: tuple[Skill, ...], seed: int
) -> list[str]:
    """Why it cannot be made for these tasks, each reason once; empty where it can."""
    found: dict[str, None] = {}
    for task in tasks:
        try:
            make_agent(settings, task, task.catalogue(skills), skills, seed)
        except ConfigError as error:
            found |= dict.fromkeys(f"agent: {problem}" for problem in error.problems)
    return list(found)


def takes_prior(settings: AgentSettings) -> bool:
    """Whether such an agent makes use of what earlier surveys left."""
    return isinstance(settings, PlannerSettings)


def _relation(settings: BayesianSettings, seed: int) -> Callable[[Array, Array], Model]:
    """What makes the model of places and structure. Raises ConfigError without torch for a deep kernel."""
    if settings.model == "gp":
        from models.structure_gp import StructureGP, whitened

        return lambda places, structure: StructureGP(
            places, [whitened(structure, settings.components)], reach=settings.reach_sites, seed=seed
        )
    try:
        from models.deep_kernel import DeepKernelGP
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a deep kernel needs {error.name}, which is not installed: pip install 'adaptem[simulate]', or set "
            "agent.model to gp"
        ) from error
    return lambda places, structure: DeepKernelGP(places, structure, reach=settings.reach_sites, seed=seed)


def make_skills(settings: SkillSettings) -> tuple[Skill, ...]:
    """The skills that ``settings`` offer, in the catalogue's order. Raises ConfigError for one that is not there."""
    from agent.drifting import WaitForDrift
    from agent.estimating import EstimateFocus
    from agent.focusing import Refocus
    from agent.height import EucentricHeight
    from agent.zone import ZoneAxis

    refocus: tuple[Skill, ...] = ()
    match settings.refocus:
        case RefocusSettings():
            refocus = (Refocus(settings.refocus),)
        case EstimateSettings():
            refocus = (EstimateFocus(settings.refocus, make_reader(settings.refocus)),)
    height = () if settings.eucentric_height is None else (EucentricHeight(settings.eucentric_height),)
    drift = () if settings.wait_for_drift is None else (WaitForDrift(settings.wait_for_drift),)
    zone = () if settings.zone_axis is None else (ZoneAxis(settings.zone_axis),)
    return (*refocus, *height, *drift, *zone, *(_own_skill(each) for each in settings.own))


def _own_skill(settings: OwnSkillSettings) -> Skill:
    members = ("name", "cost_s", "cost_exposures", "run")
    made: Skill = own(settings.name, "adaptem.skills", (settings.options,), "skill", members)
    return made


def make_reader(settings: EstimateSettings) -> Reader:
    """What tells the focus. Raises ConfigError where a network's weights are not there, ImportError without torch."""
    from agent.focus_reading import ByLikelihood, ByRings, ByRonchigram

    match settings.by:
        case "likelihood":
            return ByLikelihood(settings)
        case "rings":
            return ByRings(settings)
        case "ronchigram":
            return ByRonchigram(settings)
        case "network":
            from agent.focus_network_reading import ByNetwork

            return ByNetwork(settings)
