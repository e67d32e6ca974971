"""What a run plays with, by its config: environment, network, teacher."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent.factory import make_agent, make_skills
from agent.features import FEATURES, SCALARS
from models.checkpoint import make_policy
from models.policy import PolicySpec
from training.macro_env import MacroEnv
from training.rollout import Kit

if TYPE_CHECKING:
    from agent.protocol import Agent
    from training.readings import Readings
    from training.settings import TrainSettings


def kit_of(settings: TrainSettings, readings: Readings) -> tuple[Kit, PolicySpec]:
    """What a worker plays with, and what its policy sees and may do."""
    spec = spec_of(settings)
    kit = Kit(
        make_env=partial(MacroEnv, settings.episode, readings, settings.worlds.variation, settings.reward),
        make_policy=partial(make_policy, spec),
        read=FEATURES[settings.network.kind][0],
        teacher=partial(teacher, settings),
    )
    return kit, spec


def spec_of(settings: TrainSettings) -> PolicySpec:
    """What the policy will see and may do."""
    catalogue = settings.episode.task().catalogue(make_skills(settings.episode.skills))
    return PolicySpec(
        kind=settings.network.kind,
        columns=FEATURES[settings.network.kind][1],
        scalars=SCALARS,
        looks=catalogue.looks,
        skills=catalogue.skills,
        width=settings.network.width,
    )


def teacher(settings: TrainSettings, env: MacroEnv) -> Agent:
    """Who is imitated. Raises ConfigError for one that is not there."""
    return make_agent(settings.teacher, env.task, env.catalogue, env.skills, settings.seed)
