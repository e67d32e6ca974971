"""Following a specimen that changes, as a gymnasium environment: where to look, with which signal, or to wait.

action ─► guard.move ─► intent ─► guard.acquire ─► commit ─► descriptors ─► reward: what they tell of the process
      └─► holder condition, through the guard              time passes to the next tick, whatever was done
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.exposing import fault_of
from envs.keeping import Seen
from envs.particles import Measured
from envs.step import Decision, Fault, Kind, Step
from envs.streaming import Event
from envs.tracking_belief import Wandering
from envs.tracking_look import Aside, Made, take
from instruments.errors import BudgetError, InstrumentError, LimitError, NotSupported
from instruments.powers import HasHolder

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.tracked import TrackLook
    from envs.tracking_task import TrackSituation

Ratio: TypeAlias = float
Floats: TypeAlias = npt.NDArray[np.float32]
Observation: TypeAlias = dict[str, npt.NDArray[np.generic]]

_MOST = 1e9


@dataclass(frozen=True, slots=True)
class Taken:
    """What one action came to."""

    step: Step
    measured: Measured | None
    nats: Ratio
    """That it told."""
    seen: Seen | None = None
    """Of the drift, where it is corrected for."""
    events: tuple[Event, ...] = ()
    """Of a stream."""


class TrackEnv(gymnasium.Env[Observation, Any]):
    """Actions: look·places + place; then the holder's settings; the last waits one tick. Masked.

    Reward: information in nats. A spent dose or time is ``truncated``; nothing terminates.
    """

    def __init__(self, situation: TrackSituation, *, remake: Callable[[int], TrackSituation] | None = None) -> None:
        self._remake = remake
        task = situation.task
        places = len(task.places_nm)
        self._holder_names = sorted(situation.guard.state().holder)
        self.action_space = spaces.Discrete(task.actions)
        self.observation_space: spaces.Dict = spaces.Dict(  # type: ignore[assignment]
            {
                "values": spaces.Box(-_MOST, _MOST, (places, 5), np.float32),
                "sds": spaces.Box(0.0, _MOST, (places, 5), np.float32),
                "age_s": spaces.Box(0.0, _MOST, (places, 5), np.float32),
                "fluence_e_per_A2": spaces.Box(0.0, _MOST, (places,), np.float32),
                "holder": spaces.Box(-_MOST, _MOST, (max(len(self._holder_names), 1),), np.float32),
                "globals": spaces.Box(0.0, 1.0, (2,), np.float32),
                "action_mask": spaces.Box(0, 1, (task.actions,), np.int8),
            }
        )
        self._begin(situation)

    def _begin(self, situation: TrackSituation) -> None:
        self.situation = situation
        places, task = len(situation.task.places_nm), situation.task
        self.belief = situation.belief or Wandering(places, task.horizon_s)
        so_far, self._at_s = situation.so_far, situation.clock.now_s()
        self._started_s = self._at_s if so_far.started_s is None else so_far.started_s
        self._values, self._sds = np.zeros((places, 5)), np.full((places, 5), _MOST)
        self._seen_s = np.full((places, 5), -_MOST)
        self.fluence_e_per_A2 = np.array(so_far.fluence_e_per_A2 or np.zeros(places))
        self.electrons, self._number, self.ordered, self._fault = so_far.electrons, so_far.steps, so_far.orders, ""
        self.refusals: list[tuple[float, str]] = []
        """Of the programme: when, and what was not carried out."""
        self._order_due()

    @property
    def now_s(self) -> float:
        """Since following began."""
        return self.situation.clock.now_s() - self._started_s

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode. Raises RuntimeError where exposures cannot be undone (no ``remake``)."""
        super().reset(seed=seed)
        if self._remake is not None:
            self.situation.guard.close()
            self._begin(self._remake(int(self.np_random.integers(2**31)) if seed is None else seed))
        elif self._number:
            raise RuntimeError("this specimen was exposed and cannot begin again; make the environment with remake=")
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One tick. What is refused is told in ``info``, and the tick passes."""
        taken = self.apply(Decision(action=int(action)))
        return self._observation(), taken.nats, False, self.over(), self._info()

    def apply(self, decision: Decision) -> Taken:
        """Carry out a decision, then let time pass to the next tick: the one path of learning and of real runs."""
        task, start_s = self.situation.task, self.situation.clock.now_s()
        looks = len(task.looks) * len(task.places_nm)
        nats, made = 0.0, Made()
        self._fault, fault = "", None
        number = decision.action
        try:
            if not 0 <= number < task.actions:
                raise LimitError(f"asked for action {number}; there are 0 to {task.actions - 1}, the last waits")
            if number < looks:
                if not self.action_masks()[number]:
                    raise BudgetError(
                        f"action {number} was asked, which is masked: {self.electrons:.3g} of {task.electrons:.3g} "
                        "electrons are spent, or its place has had its fluence; wait, or take a look that is allowed"
                    )
                look, place = task.looks[number // len(task.places_nm)], number % len(task.places_nm)
                self._carry_out(partial(take, look=look, place=place, place_nm=task.places_nm[place]), made)
                if made.measured is not None:
                    nats = self._learn(look, place, made.measured)
            elif number < task.actions - 1:
                self._order(*task.settings[number - looks])
        except InstrumentError as error:
            fault = fault_of(error)
            self._fault = f"{fault.error}: {fault.message}"
        step = self._told(decision, made, fault, start_s, nats)
        self._pass_time(start_s)
        return Taken(step, made.measured, nats, made.seen, made.events)

    def aside(self, carry_out: Callable[[TrackSituation, Made], None], kind: Kind, reason: str) -> Aside:
        """What the runner does beside the agent: no belief learns from it. Time and dose count."""
        start_s, made, fault = self.situation.clock.now_s(), Made(), None
        try:
            self._carry_out(carry_out, made)
        except InstrumentError as error:
            fault = fault_of(error)
        decision = Decision(action=0, decided_by="runner", policy=kind.value, reason=reason)
        step = self._told(decision, made, fault, start_s, 0.0, kind=kind)
        self._pass_time(start_s)
        return Aside(step, made.measured, made.done)

    def over(self) -> bool:
        """Whether no look can be paid any more, or the time is over."""
        task = self.situation.task
        looks = len(task.looks) * len(task.places_nm)
        return self.now_s >= task.horizon_s - 1e-9 or not self.action_masks()[:looks].any()

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """(actions,) which are allowed now."""
        task, guard = self.situation.task, self.situation.guard
        state = guard.state()
        current = state.optics.current_pA or guard.limits.max_current_pA
        allowed = np.ones(task.actions, dtype=bool)
        for n, look in enumerate(task.looks):
            exposure = look.exposure
            afford = self.electrons + exposure.electrons(current) <= task.electrons * (1 + 1e-9)
            fluence = self.fluence_e_per_A2 + exposure.fluence_e_per_A2(current)
            places = len(task.places_nm)
            allowed[n * places : (n + 1) * places] = afford & (fluence <= guard.limits.max_fluence_e_per_A2)
        return allowed

    def close(self) -> None:
        self.situation.guard.close()

    def holder(self) -> dict[str, float]:
        """What the holder reads back now, of the conditions that read."""
        found = self.situation.guard.state().holder
        return {name: float(r.value) for name, r in found.items() if r.valid and r.value is not None}

    def sampled(self) -> dict[str, tuple[float, float]]:
        """As ``holder``, each with the time at which it was read, since following began."""
        found = self.situation.guard.state().holder
        return {
            name: (float(r.value), self.now_s - max(r.age_s, 0.0))
            for name, r in found.items()
            if r.valid and r.value is not None
        }

    def _carry_out(self, what: Callable[[TrackSituation, Made], None], made: Made) -> None:
        try:
            what(self.situation, made)
        finally:
            self.electrons += made.electrons

    def _learn(self, look: TrackLook, place: int, measured: Measured) -> float:
        told = np.isfinite(measured.values) & np.isfinite(measured.sds)
        self._values[place, told], self._sds[place, told] = measured.values[told], measured.sds[told]
        self._seen_s[place, told] = self.now_s
        width_A = look.field_of_view_nm * 10.0
        self.fluence_e_per_A2[place] += look.exposure.electrons(self._current_pA()) / width_A**2
        return self.belief.learn(look, place, self.now_s, measured)

    def _current_pA(self) -> float:
        guard = self.situation.guard
        return guard.state().optics.current_pA or guard.limits.max_current_pA

    def _order(self, name: str, value: float) -> None:
        holder = self.situation.guard.power(HasHolder)
        if holder is None:
            raise NotSupported(f"{name} = {value:g} was asked; this instrument has no holder that can be set")
        outcome = holder.set_condition(name, value)
        self.situation.recorder.event(
            "holder",
            f"{name} was ordered to {value:g}",
            time_s=self.situation.clock.now_s(),
            data={"condition": name, "value": value, "achieved": outcome.achieved},
        )

    def _order_due(self) -> None:
        """What the programme asks for by now. What is refused is written down, and following goes on."""
        program = sorted(self.situation.program_s)
        while self.ordered < len(program) and program[self.ordered][0] <= self.now_s + 1e-9:
            _, name, value = program[self.ordered]
            self.ordered += 1
            try:
                self._order(name, value)
            except InstrumentError as error:
                self._fault = f"{name} = {value:g} was not carried out: {type(error).__name__}: {error}"
                self.refusals.append((self.now_s, self._fault))
                self.situation.recorder.event("fault", self._fault, time_s=self.situation.clock.now_s())

    def _pass_time(self, start_s: float) -> None:
        """To the next tick; what an action took beyond it counts."""
        clock, tick_s = self.situation.clock, self.situation.task.tick_s
        used_s = clock.now_s() - start_s
        clock.wait(max(math.ceil(used_s / tick_s - 1e-9), 1) * tick_s - used_s)
        self.belief.wait(clock.now_s() - self._at_s, self.holder())
        self._at_s = clock.now_s()
        self._order_due()

    def _told(
        self, decision: Decision, made: Made, fault: Fault | None, start_s: float, nats: float, kind: Kind = Kind.LOOK
    ) -> Step:
        records = () if made.exposer is None else made.exposer.records
        places = len(self.situation.task.places_nm)
        looked = bool(made.look) and kind is Kind.LOOK
        step = Step(
            number=self._number,
            specimen=self.situation.specimen,
            kind=kind if made.look else Kind.SKILL,
            decision=decision,
            target=decision.action % places if looked else None,
            look=made.look or None,
            skill=None if made.look else made.skill or "wait",
            stage=made.stage,
            exposures=records,
            fault=fault,
            start_s=start_s,
            end_s=self.situation.clock.now_s(),
            electrons=sum(record.electrons for record in records),
            reward=nats,
        )
        self._number += 1
        self.situation.recorder.step(step)
        return step

    def _observation(self) -> Observation:
        task, holder = self.situation.task, self.holder()
        age_s = np.clip(self.now_s - self._seen_s, 0.0, _MOST)
        left = (1 - self.now_s / task.horizon_s, 1 - self.electrons / task.electrons)
        names = self._holder_names or ["none"]
        return {
            "values": self._values.astype(np.float32),
            "sds": self._sds.astype(np.float32),
            "age_s": age_s.astype(np.float32),
            "fluence_e_per_A2": self.fluence_e_per_A2.astype(np.float32),
            "holder": np.array([holder.get(name, 0.0) for name in names], dtype=np.float32),
            "globals": np.clip(np.array(left, dtype=np.float32), 0.0, 1.0),
            "action_mask": self.action_masks().astype(np.int8),
        }

    def _info(self) -> dict[str, Any]:
        return {"now_s": self.now_s, "electrons": self.electrons, "fault": self._fault}
