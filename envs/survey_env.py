"""A survey as a gymnasium environment, and the one path by which anything is done at the instrument.

    action ─► mask ─► move, tune ─► intent ─► guard ─► commit ─► describe, judge ─► Step ─► belief ─► recorder
                        └────────────── a fault is an outcome too ──────────────────►┘

gymnasium's ``step``, the overnight runner and replay all call ``apply``; the belief is a fold over its Steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.actions import LookAt, Stop, UseSkill
from envs.belief import MASKED, Belief
from envs.deeds import Deed, image, judge, use_skill
from envs.exposing import Exposer
from envs.masking import Bools, Means, allowed_actions, allowed_looks, allowed_skills, look_tests, price_tests, why_not
from envs.observations import Observation, Present, observation_space, observe
from envs.readback import Readback
from envs.situation import Situation
from envs.step import REFUSED, Decision, Fault, Kind, Purpose, Step, Stream, Tag
from instruments.errors import BudgetError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import ExposureRecord

Ratio: TypeAlias = float

__all__ = ["Situation", "SurveyEnv"]


class SurveyEnv(gymnasium.Env[Observation, np.int64]):
    """One specimen. ``remake`` builds a new episode's situation from a seed; an instrument has no second episode."""

    def __init__(self, situation: Situation, *, remake: Callable[[int], Situation] | None = None) -> None:
        self._remake = remake
        self._begin(situation)
        self.observation_space: spaces.Dict = observation_space(situation.task.tree, self.catalogue)
        self.action_space: spaces.Discrete = spaces.Discrete(self.catalogue.size)

    def _begin(self, situation: Situation) -> None:
        self.situation = situation
        self.catalogue = situation.task.catalogue(situation.skills)
        self.belief = Belief(situation.task, situation.scorer)
        self.last_step: Step | None = None
        self._readback = Readback(situation.guard)
        self._closed_s = situation.clock.now_s()

    # --- gymnasium -------------------------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode. Raises RuntimeError where steps were made that cannot be undone (no ``remake``)."""
        super().reset(seed=seed)
        if self._remake is not None:
            self.situation.guard.close()
            self._begin(self._remake(int(self.np_random.integers(2**31)) if seed is None else seed))
        elif self.step_number:
            raise RuntimeError(
                f"this survey has made {self.step_number} steps at an instrument and cannot begin again; "
                "open a new one, or make the environment with remake="
            )
        return self.observation(), self._info()

    def step(self, action: int | np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """``apply``, as gymnasium wants it; the whole Step is in ``last_step``."""
        step = self.apply(int(action))
        return self.observation(), step.reward, step.terminated, step.truncated, self._info()

    def close(self) -> None:
        self.situation.guard.close()

    def _info(self) -> dict[str, Any]:
        step = self.last_step
        return {
            "electrons": 0.0 if step is None else step.electrons,
            "fault": "" if step is None or step.fault is None else f"{step.fault.error}: {step.fault.message}",
            "targets_waiting": 0,
        }

    # --- the one path ----------------------------------------------------------------------------------------------

    def apply(self, action: int, decision: Decision | None = None) -> Step:
        """Carry out an action and say what came of it; one that is not allowed moves nothing and gives a fault.

        Raises ValueError where ``decision`` is about another action.
        """
        number = _whole(action)
        decision = Decision(action=number) if decision is None else replace(decision, action=_whole(decision.action))
        if decision.action != number:
            raise ValueError(f"asked to apply action {action} with the decision for action {decision.action}")
        stream = Stream.OPERATOR if decision.decided_by == "person" else Stream.POLICY
        exposer = self._exposer(Tag(stream=stream, inclusion_probability=None))
        self._readback.refresh()
        deed, refusal = self._chosen(number)
        if self.situation.decision_time_s > 0:
            self.situation.clock.wait(self.situation.decision_time_s)
        if refusal is not None:
            deed.fault = Fault(
                error=LimitError.__name__, message=f"{MASKED}{refusal}; take one that action_mask allows"
            )
        elif deed.skill is not None:
            use_skill(self.situation, exposer, deed, self.catalogue.skills.index(deed.skill))
        elif deed.look is not None and deed.target is not None:
            task = self.situation.task
            look, target = task.looks[task.look_number(deed.look)], task.tree[deed.target]
            frame = image(self.situation, exposer, deed, look, target, look.purpose)
            deed.score = None if frame is None else judge(self.situation, look, target, frame)
        return self._finish(decision, deed, exposer)

    def control(self, target_id: int, inclusion_probability: Ratio) -> Step:
        """Image a place that the runner drew at random. Nothing but its dose and time is told to scorer or agent.

        A place that has a detail exposure already is not exposed again: that exposure gets the tag as well.
        Raises ValueError where the task has no detail look for such a target, or for a probability outside (0, 1].
        """
        if not 0 < inclusion_probability <= 1:
            raise ValueError(f"an inclusion probability lies in (0, 1], got {inclusion_probability}")
        task = self.situation.task
        target, number = task.tree[target_id], task.detail_look(target_id)
        look = task.looks[number]
        tag = Tag(stream=Stream.CONTROL, inclusion_probability=inclusion_probability)
        exposer = self._exposer(tag)
        deed = Deed(kind=Kind.CONTROL, target=target_id, look=look.name)
        earlier = self.belief.detail_exposure.get(target_id)
        self._readback.refresh()
        refusal = why_not(price_tests(task, self.belief, self._means()), target_id, number, self._shape)
        if earlier is not None:
            deed.retagged = ((earlier, tag),)
        elif refusal is not None:
            deed.fault = Fault(error=BudgetError.__name__, message=f"{MASKED}control at target {target_id}: {refusal}")
        else:
            image(self.situation, exposer, deed, look, target, Purpose.CONTROL)
        decision = Decision(
            action=self.catalogue.encode(LookAt(target_id, number)),
            decided_by="runner",
            policy="random control",
            reason=f"drawn at random with inclusion probability {inclusion_probability:.3g}",
        )
        return self._finish(decision, deed, exposer)

    def noted(self, decision: Decision, *, refused_by: str | None = None) -> Step:
        """Write down a choice that is not carried out here: nothing moves, nothing is exposed.

        ``refused_by``: the person who turned down what was proposed; None = a person did it with their own hands.
        """
        deed, _ = self._chosen(_whole(decision.action))
        if refused_by is not None:
            deed.fault = Fault(error=REFUSED, message=f"{refused_by} turned it down")
        return self._finish(decision, deed, self._exposer(Tag(stream=Stream.OPERATOR, inclusion_probability=None)))

    def _chosen(self, number: int) -> tuple[Deed, str | None]:
        """The deed that an action asks for, and why it is not allowed (None = it is)."""
        try:
            action = self.catalogue.decode(number)
        except ValueError as error:
            return Deed(kind=Kind.LOOK), str(error)
        match action:
            case LookAt(slot, look):
                name = self.catalogue.looks[look]
                reason = why_not(look_tests(self.situation.task, self.belief, self._means()), slot, look, self._shape)
                return Deed(kind=Kind.LOOK, target=slot, look=name), reason and f"{name} at target {slot}: {reason}"
            case UseSkill(skill):
                name = self.catalogue.skills[skill]
                payable = allowed_skills(self.situation.skills, self._means())[skill]
                return Deed(kind=Kind.SKILL, skill=name), None if payable else f"{name}: it costs more than is left"
            case Stop():
                return Deed(kind=Kind.STOP), None

    def _exposer(self, tag: Tag) -> Exposer:
        now = self.situation
        return Exposer(now.guard, now.recorder, now.clock, now.specimen, (tag,))

    def _finish(self, decision: Decision, deed: Deed, exposer: Exposer) -> Step:
        """Make the step of a deed, take it in, write it down."""
        end_s = self.situation.clock.now_s()
        step = Step(
            number=self.step_number,
            specimen=self.situation.specimen,
            kind=deed.kind,
            decision=decision,
            target=deed.target,
            look=deed.look,
            skill=deed.skill,
            stage=deed.stage,
            optics=deed.optics,
            exposures=exposer.records,
            retagged=deed.retagged,
            score=deed.score,
            fault=deed.fault,
            start_s=self._closed_s,
            end_s=end_s,
            electrons=sum(record.electrons for record in exposer.records),
            reward=self.belief.reward(deed.target, deed.score),
            skill_data=deed.skill_data,
        )
        self.belief.absorb(step)
        self._closed_s = end_s
        self._readback.refresh()
        terminated = (deed.kind is Kind.STOP and deed.fault is None) or self.belief.finished
        step = replace(step, terminated=terminated, truncated=not terminated and self._spent())
        self.last_step = step
        self.situation.recorder.step(step)
        return step

    def _spent(self) -> bool:
        """Whether nothing is left to pay for one more look."""
        means = self._means()
        if means.time_s <= 0 or means.electrons <= 0:
            return True
        return not allowed_looks(look_tests(self.situation.task, self.belief, means), self._shape).any()

    # --- state -----------------------------------------------------------------------------------------------------

    @property
    def step_number(self) -> int:
        """Of the step that comes next."""
        return self.belief.step_number

    def fold(self, *steps: Step) -> None:
        """Take in steps of the journal, in order; no pixel is read and no instrument asked.

        Raises ValueError where a step is missing before or among them.
        """
        self.belief.fold(steps)
        self.last_step = steps[-1] if steps else self.last_step
        self._closed_s = self.situation.clock.now_s()

    def book(self, record: ExposureRecord) -> None:
        """Count the dose of an exposure that a crash cut off from its step (an intent without a commit)."""
        self.belief.book(record)

    def block(self, target_id: int) -> None:
        """Never look at a target again. On resume, the runner's events say which to block."""
        self.belief.blocked[target_id] = True

    def observation(self) -> Observation:
        """What an agent sees now (``envs.observations``)."""
        self._readback.refresh()
        means = self._means()
        return observe(
            self.situation.task,
            self.belief,
            Present(
                x_nm=self._readback.x_nm,
                y_nm=self._readback.y_nm,
                defocus_nm=self._readback.defocus_nm,
                time_left_s=means.time_s,
                electrons=means.electrons,
                travel_s=means.travel_s,
                seed=self.situation.seed,
                action_mask=self._mask(means),
            ),
        )

    def action_masks(self) -> Bools:
        """(A,) actions that are allowed now; stop always is."""
        self._readback.refresh()
        return self._mask(self._means())

    def _mask(self, means: Means) -> Bools:
        return allowed_actions(self.situation.task, self.belief, self._shape, self.situation.skills, means)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.catalogue.slots, len(self.catalogue.looks)

    def _means(self) -> Means:
        task, clock, guard = self.situation.task, self.situation.clock, self.situation.guard
        return Means(
            time_s=task.budget.time_s - self.belief.time_used_s - (clock.now_s() - self._closed_s),
            electrons=task.budget.electrons - self.belief.electrons_used,
            decision_time_s=self.situation.decision_time_s,
            travel_s=task.travel_s(self._readback.x_nm, self._readback.y_nm),
            current_pA=self._readback.current_pA,
            max_fluence_e_per_A2=guard.limits.max_fluence_e_per_A2,
        )


def _whole(action: object) -> int:
    """An action as a plain int; −1, which no catalogue has, for what is none."""
    return int(action) if isinstance(action, int | np.integer) and not isinstance(action, bool) else -1
