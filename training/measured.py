"""One simulated specimen, imaged once a place and flown by many agents: what is rendered for one is there for all.

    agent ─► action ─► the place's Step, rendered when first asked for ─► judged anew, by this survey's own background
               └─► skill, control: their real exposures, paid and not imaged again

Belief, scorer, masks, prices and controls are those of ``envs.survey_env``. Not the same as there: every frame is in
focus, and a place looks the same to all agents, whenever they come.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.actions import LookAt, UseSkill
from envs.belief import Belief
from envs.masking import Means, allowed_actions
from envs.observations import Observation, Present, observe
from envs.scoring import make_scorer
from envs.step import Decision, Kind, Purpose, Step
from surveys.controls import draw
from training.episode import opened

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.protocol import Agent
    from envs.actions import Catalogue
    from envs.scorers import Scorer
    from envs.skills import Skill
    from envs.survey_env import SurveyEnv
    from envs.tasks import SurveyTask
    from instruments.simulated.rare import Feature
    from training.episode import EpisodeSettings

Ratio: TypeAlias = float
MakeAgent: TypeAlias = "Callable[[SurveyTask, Catalogue, tuple[Skill, ...], int], Agent]"

REFOCUS_EVERY = 60
"""Rendered places between two foci."""
OVERHEAD_S = 0.3
"""What an exposure takes beside its pixels, in the simulated microscope."""


class MeasuredSpecimen:
    """The specimen of ``seed``. Its world is opened when a place is first asked for."""

    def __init__(self, settings: EpisodeSettings, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.task = settings.task()
        endless = settings.model_copy(update={"dose_ratio": 10.0, "hours": 1e4})
        self._env, world = opened(endless, seed)
        self.features: tuple[Feature, ...] = world.features(settings.area())
        self._looks: dict[int, Step] = {}
        self._focus: Step | None = None

    @property
    def env(self) -> SurveyEnv:
        """That it is rendered in."""
        return self._env

    @property
    def rare(self) -> frozenset[int]:
        """Sites in which the centre of a rare feature lies."""
        tree = self.task.tree
        at = [np.hypot(tree.x_nm[tree.leaves] - f.x_nm, tree.y_nm[tree.leaves] - f.y_nm) for f in self.features]
        return frozenset(int(tree.leaves[int(away.argmin())]) for away in at)

    def focused(self) -> Step:
        """The step of a refocus, the first of the specimen."""
        if self._focus is None:
            action = UseSkill(self._env.catalogue.skills.index("refocus"))
            self._focus = self._env.apply(self._env.catalogue.encode(action))
        return self._focus

    def look(self, target: int) -> Step:
        """The step of the look that is for such targets, at this one."""
        if target not in self._looks:
            env = self._env
            if "refocus" in env.catalogue.skills and self._focus is None:
                self.focused()
            elif env.belief.steps_since_focus >= REFOCUS_EVERY and self._focus is not None:
                env.apply(self._focus.decision.action)
            task = env.situation.task
            look = next(n for n, look in enumerate(task.looks) if look.level == task.tree[target].kind)
            self._looks[target] = env.apply(env.catalogue.encode(LookAt(target, look)))
        return self._looks[target]

    def close(self) -> None:
        """Let go of its world."""
        self._env.close()


def flown(specimen: MeasuredSpecimen, make: MakeAgent) -> tuple[list[Step], Scorer]:
    """The steps of an agent, until the budget is spent, and the scorer that judged them.

    The controls of this seed are the same for every agent.
    """
    flight = Flight(specimen)
    agent = make(specimen.task, flight.catalogue, flight.skills, specimen.seed)
    plan = draw(specimen.task.tree.leaves.tolist(), specimen.settings.controls, specimen.seed)
    steps: list[Step] = []
    taken = 0
    while not (steps and (steps[-1].terminated or steps[-1].truncated)):
        due = plan.due(taken, flight.belief.electrons_used / specimen.task.budget.electrons)
        if due is not None:
            taken += 1
            steps.append(flight.control(due))
            continue
        decision = agent.act(flight.observation())
        steps.append(flight.apply(decision))
        agent.observe(steps[-1])
    return steps, flight.scorer


class Flight:
    """One survey of a measured specimen: ``envs.survey_env`` without an instrument."""

    def __init__(self, specimen: MeasuredSpecimen) -> None:
        self._specimen, self.task = specimen, specimen.task
        self.skills = specimen.env.situation.skills
        self.catalogue = self.task.catalogue(self.skills)
        self.scorer = make_scorer(specimen.settings.scorer)
        self.belief = Belief(self.task, self.scorer)
        self._x_nm, self._y_nm, self._now_s = 0.0, 0.0, 0.0

    def observation(self) -> Observation:
        """As ``envs.survey_env.SurveyEnv.observation``."""
        means = self._means()
        return observe(
            self.task,
            self.belief,
            Present(
                x_nm=self._x_nm,
                y_nm=self._y_nm,
                defocus_nm=0.0,
                time_left_s=means.time_s,
                electrons=means.electrons,
                travel_s=means.travel_s,
                seed=self._specimen.seed,
                action_mask=self._mask(means),
            ),
        )

    def apply(self, decision: Decision) -> Step:
        """Carry out what an agent decided. Raises ValueError for an action that the mask forbids."""
        if not self._mask(self._means())[decision.action]:
            raise ValueError(f"action {decision.action} of {decision.policy} is masked")
        match self.catalogue.decode(decision.action):
            case LookAt(target, look):
                step = self._specimen.look(target)
                if step.score is not None and step.score.cells:
                    rows = np.array(step.score.descriptors)
                    interest = self.scorer.interest(self.task.looks[look].name, rows)
                    step = replace(step, score=replace(step.score, interest=tuple(interest.tolist())))
                self._now_s += self._travelled(target) + self.task.looks[look].duration_s + OVERHEAD_S
            case UseSkill(skill):
                step = self._specimen.focused()
                self._now_s += self.skills[skill].cost_s
            case _:
                step = Step(number=0, specimen="", kind=Kind.STOP, decision=decision, target=None, start_s=0, end_s=0)
        return self._taken(replace(step, decision=decision))

    def control(self, target: int) -> Step:
        """The exposure of a control site: paid, and told to nobody."""
        step = self._specimen.look(target)
        self._now_s += self._travelled(target) + self.task.looks[self.task.detail_look(target)].duration_s + OVERHEAD_S
        exposures = tuple(replace(record, purpose=Purpose.CONTROL) for record in step.exposures)
        return self._taken(replace(step, kind=Kind.CONTROL, score=None, exposures=exposures))

    def _taken(self, step: Step) -> Step:
        self._now_s += self._specimen.settings.decision_time_s
        step = replace(
            step,
            number=self.belief.step_number,
            start_s=self.belief.time_used_s,
            end_s=self._now_s,
            reward=self.belief.reward(step.target, step.score),
        )
        self.belief.absorb(step)
        terminated = step.kind is Kind.STOP or self.belief.finished
        looks = self.catalogue.slots * len(self.catalogue.looks)
        spent = not self._mask(self._means())[:looks].any()
        return replace(step, terminated=terminated, truncated=spent and not terminated)

    def _travelled(self, target: int) -> float:
        """Seconds to a target, where the stage then is."""
        travel_s = float(self.task.travel_s(self._x_nm, self._y_nm)[target])
        self._x_nm, self._y_nm = float(self.task.tree.x_nm[target]), float(self.task.tree.y_nm[target])
        return travel_s

    def _mask(self, means: Means) -> npt.NDArray[np.bool_]:
        shape = self.catalogue.slots, len(self.catalogue.looks)
        return allowed_actions(self.task, self.belief, shape, self.skills, means)

    def _means(self) -> Means:
        return Means(
            time_s=self.task.budget.time_s - self.belief.time_used_s,
            electrons=self.task.budget.electrons - self.belief.electrons_used,
            decision_time_s=self._specimen.settings.decision_time_s,
            travel_s=self.task.travel_s(self._x_nm, self._y_nm),
            current_pA=self._specimen.settings.instrument.column.current_pA,
            max_fluence_e_per_A2=1e6,
        )
