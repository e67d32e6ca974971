"""One agent on one simulated specimen, and what it found against the specimen's truth.

Navigation (was a rare feature imaged in detail?) and perception (was it flagged?) are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from agent.factory import make_agent, make_skills
from agent.scripted import ScriptedAgent, at_truth, in_serpentine
from agent.settings import AgentSettings, SkillSettings
from configs.load import Settings
from envs.actions import Look
from envs.novelty import NoveltySettings
from envs.scoring import ScorerSettings, make_scorer
from envs.situation import Situation
from envs.step import Kind, Purpose, Step
from envs.survey_env import SurveyEnv
from envs.targets import Area, grid_tree
from envs.tasks import Budget, SurveyTask
from instruments.clock import SimulatedClock
from instruments.guard import Guard
from instruments.ledger import MemoryLedger
from instruments.limits import SIMULATED, Limits
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.rare import covered_area_nm2
from instruments.simulated.settings import SimulatedSettings
from instruments.simulated.world import World
from instruments.types import Exposure, Footprint
from surveys.controls import ControlSettings, draw
from surveys.flagging import FlaggingSettings, flag_survey

if TYPE_CHECKING:
    from agent.protocol import Agent
    from instruments.simulated.rare import Feature

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

ORACLE = "oracle"


class EpisodeSettings(Settings):
    """What all agents of a comparison have in common."""

    instrument: SimulatedSettings = SimulatedSettings()
    sites: PositiveInt = 32
    """The specimen is so many sites wide and high."""
    site_nm: PositiveFloat = 60.0
    sites_per_patch: PositiveInt = 4
    """Width of an overview, in sites."""
    pixels: PositiveInt = 256
    """Rows and columns of every frame."""
    overview_dwell_us: PositiveFloat = 2.0
    detail_dwell_us: PositiveFloat = 4.0
    dose_ratio: Ratio = 0.15
    """Electrons to spend, over those of a detail look at every site."""
    hours: PositiveFloat = 12.0
    decision_time_s: NonNegativeFloat = 0.05
    scorer: ScorerSettings = NoveltySettings()
    skills: SkillSettings = SkillSettings()
    controls: ControlSettings = ControlSettings()
    flagging: FlaggingSettings = FlaggingSettings()

    def task(self) -> SurveyTask:
        """The targets, looks and budget."""
        side_nm = self.sites * self.site_nm
        patch_nm = self.sites_per_patch * self.site_nm
        shape = (self.pixels, self.pixels)
        overview = Exposure(field_of_view_nm=patch_nm, shape=shape, dwell_us=self.overview_dwell_us)
        detail = Exposure(field_of_view_nm=self.site_nm, shape=shape, dwell_us=self.detail_dwell_us)
        return SurveyTask(
            tree=grid_tree(Area(x_nm=0.0, y_nm=0.0, width_nm=side_nm, height_nm=side_nm), patch_nm, self.site_nm),
            looks=(
                Look(name="overview", exposure=overview, level="patch", purpose=Purpose.SURVEY),
                Look(name="detail", exposure=detail, level="site", purpose=Purpose.DETAIL),
            ),
            budget=Budget(time_s=self.hours * 3600.0, electrons=self.dose_ratio * self.full_electrons()),
            stage_speed_nm_per_s=self.instrument.stage.speed_nm_per_s,
            settle_s=self.instrument.stage.overhead_s + self.instrument.stage.settle_s,
        )

    def full_electrons(self) -> float:
        """Of a full detail raster: a detail look at every site."""
        detail = Exposure(field_of_view_nm=self.site_nm, shape=(self.pixels,) * 2, dwell_us=self.detail_dwell_us)
        return self.sites**2 * detail.electrons(self.instrument.column.current_pA)

    def area(self) -> Footprint:
        side_nm = self.sites * self.site_nm
        return Footprint(x_nm=0.0, y_nm=0.0, width_nm=side_nm, height_nm=side_nm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one agent found on one specimen, after each of T steps; arrays `(T,)`, cumulative."""

    agent: str
    seed: int
    features: int
    """Rare features in the area."""
    rare_area: Ratio
    """Share of the area that they cover."""
    dose: Array
    """Electrons of everything (atlas, focus, controls), over those of a full detail raster."""
    time_s: Array
    area: Array
    """Share of the sites that had a detail look."""
    found: Array
    """Share of the features whose centre lies in a committed detail frame of the policy (navigation)."""
    flagged: Ratio
    """Share of the features found that the survey's flags name in the end (perception)."""
    called: Ratio
    """Share of all features that the flags name, looked at in detail or not: what no navigation could have raised."""
    precision: Ratio
    """Share of the flags that name a feature; NaN without flags."""
    refocused: int
    faults: int


def opened(settings: EpisodeSettings, seed: int) -> tuple[SurveyEnv, World]:
    """The environment of one episode, and the world that knows the truth."""
    clock = SimulatedClock()
    world = World(settings.instrument, seed, clock)
    guard = Guard(SimulatedMicroscope(world), _limits(settings), MemoryLedger(), clock, SIMULATED)
    situation = Situation(
        guard=guard,
        clock=clock,
        task=settings.task(),
        scorer=make_scorer(settings.scorer),
        skills=make_skills(settings.skills),
        decision_time_s=settings.decision_time_s,
        seed=seed,
    )
    return SurveyEnv(situation), world


def image_env(settings: EpisodeSettings) -> SurveyEnv:
    """The same as a gymnasium environment that begins anew with each seed: every frame is rendered."""
    first, _ = opened(settings, 0)
    return SurveyEnv(first.situation, remake=partial(_situation, settings))


def _situation(settings: EpisodeSettings, seed: int) -> Situation:
    return opened(settings, seed)[0].situation


def play(settings: EpisodeSettings, agent: AgentSettings | str, seed: int, name: str) -> Trace:
    """One episode on the specimen of ``seed``. ``agent``: its settings, or "oracle", which alone is told the truth."""
    env, world = opened(settings, seed)
    task, skills = env.situation.task, env.situation.skills
    features = world.features(settings.area())
    if isinstance(agent, str):
        places = np.array([(f.x_nm, f.y_nm) for f in features]).reshape(-1, 2)
        orders = (in_serpentine(0), at_truth(places, settings.site_nm))
        player: Agent = ScriptedAgent(ORACLE, env.catalogue, task.looks, orders, refocus_every=0)
    else:
        player = make_agent(agent, task, env.catalogue, skills, seed)
    steps = survey_steps(env, player, settings.controls, seed)
    flags = flag_survey(steps, env.situation.scorer, settings.flagging, task.tree)
    env.close()
    flagged = [
        [Footprint(x_nm=s.x_nm, y_nm=s.y_nm, width_nm=s.width_nm, height_nm=s.height_nm) for s in flag.sites]
        for flag in flags
    ]
    return _trace(settings, name, seed, features, steps, flagged)


def survey_steps(env: SurveyEnv, agent: Agent, controls: ControlSettings, seed: int) -> list[Step]:
    """Step until the budget ends, with the control sites of this seed, which are the same for every agent."""
    task = env.situation.task
    plan = draw(task.tree.leaves.tolist(), controls, seed)
    steps: list[Step] = []
    taken = 0
    while not (steps and (steps[-1].terminated or steps[-1].truncated)):
        due = plan.due(taken, env.belief.electrons_used / task.budget.electrons)
        if due is not None:
            taken += 1
            step = env.control(due, plan.inclusion_probability)
        else:
            decision = agent.act(env.observation())
            step = env.apply(decision.action, decision)
            agent.observe(step)
        steps.append(step)
    return steps


def _trace(
    settings: EpisodeSettings,
    name: str,
    seed: int,
    features: tuple[Feature, ...],
    steps: list[Step],
    flagged: list[list[Footprint]],
) -> Trace:
    """``flagged``: the sites of each flag."""
    found: set[int] = set()
    seen: set[int] = set()
    counts: list[tuple[int, int]] = []
    for step in steps:
        for record in step.exposures if step.kind is Kind.LOOK else ():
            if record.committed and record.purpose is Purpose.DETAIL:
                found |= {n for n, f in enumerate(features) if record.footprint.contains(f.x_nm, f.y_nm)}
                seen.add(-1 if step.target is None else step.target)
        counts.append((len(found), len(seen)))
    found_so_far, seen_so_far = np.array(counts, dtype=np.float64).reshape(-1, 2).T
    hits = [{n for n, f in enumerate(features) if any(s.contains(f.x_nm, f.y_nm) for s in sites)} for sites in flagged]
    called = set[int]().union(*hits)
    named = found & called
    true = [bool(hit) for hit in hits]
    return Trace(
        agent=name,
        seed=seed,
        features=len(features),
        rare_area=sum(map(covered_area_nm2, features)) / settings.area().area_nm2,
        dose=np.cumsum([step.electrons for step in steps]) / settings.full_electrons(),
        time_s=np.array([step.end_s for step in steps]) - steps[0].start_s,
        area=seen_so_far / settings.sites**2,
        found=found_so_far / max(len(features), 1),
        flagged=len(named) / len(found) if found else float("nan"),
        called=len(called) / len(features) if features else float("nan"),
        precision=float(np.mean(true)) if true else float("nan"),
        refocused=sum(step.kind is Kind.SKILL for step in steps),
        faults=sum(step.fault is not None for step in steps),
    )


def _limits(settings: EpisodeSettings) -> Limits:
    """Wide enough that only the task's budget ends an episode."""
    stage = settings.instrument.stage
    return Limits(
        x_nm=stage.x_nm,
        y_nm=stage.y_nm,
        z_nm=stage.z_nm,
        backlash_nm=stage.backlash_nm,
        stage_uncertainty_nm=stage.reach_nm + stage.creep_nm,
        defocus_nm=settings.instrument.column.defocus_nm,
        max_current_pA=settings.instrument.column.max_current_pA,
        max_electrons=10 * settings.full_electrons(),
        max_fluence_e_per_A2=1e6,
        max_time_s=10 * settings.hours * 3600.0,
        max_exposures_per_min=10_000,
    )
