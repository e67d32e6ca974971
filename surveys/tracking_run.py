"""One run of following: what holds, what was read, who decides, and what is kept of every tick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent.stepping import Stepper
from agent.tracking import Tracker
from configs.errors import ConfigError
from envs.step import Decision
from instruments.types import Optics
from surveys.signals import Interruption
from surveys.tracking_aside import Asides
from surveys.tracking_focus import FocusKeeper
from surveys.tracking_holder import Holder, divided
from surveys.tracking_mind import FollowingMind
from surveys.tracking_prepare import Following, expected_conditions, steps_of
from surveys.tracking_rows import RUNNER, Failed, Row, RowsFile, refold
from surveys.tracking_summary import summarise, told_of_drift, told_of_focus, trouble_of
from surveys.tracking_tick import Tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envs.tracking_env import TrackEnv
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading
    from surveys.tracking_aside import Done
    from surveys.tracking_mind import Follower

Tell: TypeAlias = Callable[[str], None]

_SETTLE_S = 60.0
_LASTING = ("LimitError", "BudgetError", "NotSupported", "ReachError")
"""Errors of a look that would come again."""


class Run:
    """One run's state: what holds, what was read, who decides."""

    def __init__(
        self, following: Following, env: TrackEnv, rows: RowsFile, tell: Tell, deadline_s: float | None
    ) -> None:
        self.following, self.env, self._rows, self._tell = following, env, rows, tell
        self.stop, self.guard = Interruption(), env.situation.guard
        settings = following.settings
        self.asides = self._asides(())
        self.holder = Holder(settings.steady)
        self._names = [n for n in ("temperature_K", settings.expected.supply) if n is not None]
        self._names = [n for n in self._names if n != "temperature_K" or settings.expected.temperature_K is not None]
        self.held = self.holder.passed(env.sampled(), self._names, 0.0, 0.0)[-1][1]
        if missing := [name for name in self._names if name not in self.held]:
            raise ConfigError(f"expected: the holder does not read {', '.join(missing)}, which would drive the process")
        self.tracker = Tracker(following.mission, self._forecast)
        self.mind = FollowingMind(self._agent(), deadline_s)
        self.readings: list[Reading] = []
        self.controls: list[Reading] = []
        self.late, self.broken, self._turn, self._told_refusals, self.settled = 0, 0, 0, 0, True
        self._laws, self._known = self.tracker.filter.names, self.tracker.known()

    def _asides(self, begun: Sequence[Row]) -> Asides:
        focus, current_pA = self.following.settings.focus, self.following.mission.current_pA
        keeper = None if focus is None else FocusKeeper(focus, current_pA, begun)
        return Asides(self.following.settings, keeper, begun)

    def _agent(self) -> Follower:
        """Who decides: the tracker, which may step the holder where that is allowed."""
        settings, steps = self.following.settings, steps_of(self.following.settings)
        if steps is None:
            return self.tracker
        return Stepper(self.tracker, steps, lambda held: partial(expected_conditions, settings, held))

    def _forecast(self, from_s: float, to_s: float) -> list[tuple[float, Conditions]]:
        return expected_conditions(self.following.settings, self.held, from_s, to_s)

    def to_the_end(self, watch: Callable[[Run], None] | None = None) -> None:
        """``watch`` is called after every tick."""
        env, asides = self.env, self.asides
        while not env.over() and not self.stop.is_set():
            if asides.control_due(env.now_s):
                self._keep_aside(asides.control(env, self.following.mission))
            elif asides.focus_due(env.now_s):
                self._keep_aside(asides.refocus(env))
            else:
                self._tick()
                if watch is not None:
                    watch(self)
        self.settled = self.mind.settle(_SETTLE_S)

    def _tick(self) -> None:
        env, mission, began_s = self.env, self.following.mission, self.env.now_s
        choice, order = self.mind.act(), None
        decided_by, why = "agent", "" if choice is None else choice.why
        action = env.situation.task.actions - 1
        if choice is None:
            decided_by, why = "fallback", self.mind.trouble
            self.late += self.mind.late
            self.broken += not self.mind.late
            action = self._in_turn()
        else:
            self._known = choice.known or self._known
            if choice.look is not None:
                action = choice.look * len(mission.places_nm) + choice.place
            elif choice.order is not None:
                looks = len(mission.looks) * len(mission.places_nm)
                action = looks + list(env.situation.task.settings).index((choice.order.condition, choice.order.value))
                order = choice.order
        taken = env.apply(Decision(action=action, decided_by=decided_by, policy="tracker", reason=why))
        step, reading = taken.step, None
        exposed = [(each.start_s + each.end_s) / 2 - step.start_s for each in step.exposures]
        middle_s = exposed[-1] if exposed else 0.0
        passed = divided(self._passed(began_s), middle_s)
        failed = None
        self._wait(passed[0])
        if step.look is not None and step.target is not None:
            n = next(k for k, each in enumerate(mission.looks) if each.name == step.look)
            if taken.measured is not None:
                reading = mission.reading(mission.looks[n], step.target, began_s + middle_s, taken.measured)
                self.readings.append(reading)
                self.mind.observe(reading)
            else:
                lasting = step.fault is not None and step.fault.error in _LASTING
                failed = Failed(n, step.target, step.electrons, lasting)
                self.mind.failed(n, step.target, step.electrons, lasting=lasting)
        self._wait(passed[1])
        for each in taken.events:
            self._tell(f"{began_s:7.1f} s  something happened {each.after_s:.2f} s into {step.look}: its burst is kept")
        self._write(
            Tick(
                began_s=began_s,
                decided_by=decided_by,
                why=why,
                passed=passed,
                look=step.look,
                reading=reading,
                exposures=[record.exposure.id for record in step.exposures if record.committed],
                nats=0.0 if choice is None else choice.nats,
                fault=step.fault,
                failed=failed,
                away_nm=None if taken.seen is None else taken.seen.away_nm,
                order=order,
                events=taken.events,
            )
        )

    def _keep_aside(self, done: Done) -> None:
        if done.reading is not None:
            self.controls.append(done.reading)
        passed = self._passed(done.began_s)
        self._wait(passed)
        self._write(
            Tick(
                began_s=done.began_s,
                decided_by=RUNNER,
                why=done.why,
                passed=((), passed),
                look=done.step.look,
                reading=done.reading,
                fault=done.step.fault,
                focus=done.focus,
            )
        )

    def _passed(self, began_s: float) -> list[tuple[float, dict[str, float]]]:
        """What held since then, as the holder was read."""
        found = self.holder.passed(self.env.sampled(), self._names, began_s, self.env.now_s)
        self.held = found[-1][1]
        return found

    def _wait(self, passed: list[tuple[float, dict[str, float]]]) -> None:
        for duration_s, held in passed:
            self.mind.wait(duration_s, held)

    def _in_turn(self) -> int:
        """The fallback: the cheapest look, one place after another, no faster than the budget lasts."""
        env, mission = self.env, self.following.mission
        prices = [mission.electrons_of(look) for look in mission.looks]
        look = int(np.argmin(prices))
        waits = env.situation.task.actions - 1
        action = look * len(mission.places_nm) + self._turn % len(mission.places_nm)
        paced = mission.electrons * (env.now_s + mission.tick_s) / mission.horizon_s
        if env.electrons - self.asides.electrons + prices[look] > paced or not env.action_masks()[action]:
            return waits
        self._turn += 1
        return action

    def _write(self, tick: Tick) -> None:
        keeper = self.env.situation.keeper
        faults = [] if tick.fault is None else [f"{tick.fault.error}: {tick.fault.message}"]
        faults += [message for _, message in self.env.refusals[self._told_refusals :]]
        self._told_refusals = len(self.env.refusals)
        row = tick.row() | {
            "holder": self.env.holder(),
            "held": self.held,
            "probabilities": dict(zip(self._laws, self._known.probabilities, strict=True)),
            "against_all": self._known.log_against_all,
            "changes": self._known.changes,
            "fault": "; ".join(faults) or None,
            "asides": self.asides.made,
            "drift": None if keeper is None else keeper.state() | {"away_nm": tick.away_nm},
            "orders": self.env.ordered,
            "ended_s": self.env.now_s,
            "clock_s": self.env.situation.clock.now_s(),
            "spent": self.env.electrons,
        }
        self._rows.add(row)
        if tick.look is not None or tick.order is not None or tick.focus is not None:
            self._tell(f"{tick.t_s:7.1f} s  {tick.why}")
        for each in faults:
            self._tell(f"{tick.t_s:7.1f} s  {each}")

    def so_far(self) -> dict[str, Any] | None:
        """What is known now, of an agent that may be at work; None: it gave no answer in time."""
        found = self.mind.ask(lambda: self.summary(final=False), self.mind.deadline_s or _SETTLE_S)
        told = f"{self.env.now_s:.0f} of {self.following.settings.horizon_s:g} s, and it goes on"
        return None if found is None else found | {"ended": told}

    def summary(self, *, final: bool = True) -> dict[str, Any]:
        """What is known, under the conditions that were read, and the programme's for what has not passed."""
        known = self.tracker.filter
        to_come = self._forecast(known.time_s, max(self.following.settings.horizon_s, known.time_s))
        aside = [(place.x_nm, place.y_nm) for place in self.following.settings.controls.places]
        found = summarise(self.tracker, self.readings, self.controls, aside, [*known.lived, *to_come], final=final)
        found |= {
            "late": self.late,
            "broken": self.broken,
            "not_learned": self.mind.failures + ([] if self.settled else [f"it still worked after {_SETTLE_S:g} s"]),
            "orders_refused": [{"t_s": t_s, "what": what} for t_s, what in self.env.refusals],
            "holder_gaps": self.holder.gaps,
            "electrons": self.env.electrons,
            "drift": told_of_drift(self.env.situation.keeper),
            "focus": told_of_focus(self.asides.focus),
            "stopped": self.stop.is_set(),
            "ended": self._why_ended(),
        }
        return found | {"trouble": trouble_of(found)}

    def _why_ended(self) -> str:
        settings, env = self.following.settings, self.env
        if self.stop.is_set():
            return f"stopped by {self.stop.signal_name or 'the program'}"
        return "the time is over" if env.now_s >= settings.horizon_s - 1e-9 else "no look can be paid any more"

    def take_up(self, rows: Sequence[Row]) -> None:
        """Learn again what was told before, and let pass what has passed since."""
        tracker, mission = self.tracker, self.following.mission
        for row in rows:
            refold(row, mission, tracker, self.readings, self.controls)
        last = rows[-1]
        self.held = dict(last["held"])
        self.asides = self._asides(rows)
        if self.asides.focus is not None and self.asides.focus.at_nm is not None:
            self.guard.tune(Optics(defocus_nm=self.asides.focus.at_nm))  # a crash may have left a sweep half made
        self.holder.held = dict(last["held"])
        self.late += sum(row["decided_by"] == "fallback" for row in rows)
        if (gone_s := self.env.now_s - last["ended_s"]) > 1e-9:
            tracker.wait(gone_s, self.held)
        told = sum(row["electrons"] + (row["failed"] or {"electrons": 0.0})["electrons"] for row in rows)
        tracker.spent += max(self.env.electrons - told, 0.0)  # of what a crash cut off from its row
        tracker.settle()
        self._known = tracker.known()
