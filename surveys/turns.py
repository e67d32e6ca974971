"""Whose turn it is: a person's wish, a control's, or the agent's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from envs.actions import LookAt, Stop
from surveys.deciding import fallback, usable
from surveys.endings import Ending, Reason
from surveys.requests import Inbox, block

if TYPE_CHECKING:
    from collections.abc import Callable

    from archive.rows import RequestRow
    from envs.step import Decision, Step
    from surveys.health import Health
    from surveys.night import Night
    from surveys.session import Session

    Act: TypeAlias = Callable[[], Step]

POLL_S = 0.2
"""People are asked for their answer this often."""


class Turns:
    """Gives the next thing to do on one specimen."""

    def __init__(self, night: Night, session: Session, health: Health) -> None:
        self._night = night
        self._session = session
        self._env = session.env
        self._health = health
        self._inbox = Inbox(night.record)
        self._again: Act | None = None
        self._proposals = 0

    def over(self) -> Ending | None:
        """Why nothing more is to be done here; None while there is. Reads the requests, sits out a pause."""
        while True:
            self._inbox.read(self._env, self._night.clock.now_s())
            if self._inbox.stopped_by is not None:
                return Ending(Reason.STOPPED, f"stopped by {self._inbox.stopped_by}")
            if self._night.stop.is_set():
                return Ending(Reason.INTERRUPTED, f"stopped by {self._night.stop.signal_name or 'the program'}")
            if not self._inbox.paused:
                break
            self._night.blank()
            self._health.tell("paused")
            self._night.people.wait(POLL_S)
        session = self._session
        if session.spent:
            return Ending(Reason.COMPLETE, f"{session.name}: the budget is spent")
        if session.full and self._again is None and session.control_due(1.0) is None:
            why = "nothing is left to look at" if session.closed else "the share of the area to be seen is seen"
            return Ending(Reason.COMPLETE, f"{session.name}: {why}")
        return None

    def next(self) -> Act | None:
        """The next deed, ready to be called; None where a person has refused one, or a pause came between."""
        if self._again is not None:
            act, self._again = self._again, None
            return act
        session = self._session
        site = session.control_due(1.0 if session.full else session.progress().done_ratio)
        if site is not None:
            return partial(self._env.control, site, session.controls.inclusion_probability)
        decision = self._inbox.wish(self._env) or self._decide()
        if self._night.settings.autonomy == "confirm" and decision.decided_by != "person":
            return self._agreed(decision)
        return partial(self._env.apply, decision.action, decision)

    def repeat(self, act: Act | None) -> None:
        """Do this again next."""
        self._again = act

    def teach(self, step: Step) -> None:
        """Let the agent learn from a step; one that breaks over it is replaced."""
        trouble = self._session.teach(step)
        if trouble:
            self._report(trouble, self._session.renew_agent())

    def _decide(self) -> Decision:
        """The agent's decision within its deadline, or the fallback's."""
        night, env, session = self._night, self._env, self._session
        if session.mind.lost and not session.mind.given_up:
            self._report("the agent was lost while it was taught", session.renew_agent())
        observation = env.observation()
        mask, start_s = observation["action_mask"], night.clock.now_s()
        answer = session.mind.decide(observation)
        trouble = answer.trouble or usable(answer.value, mask)
        if trouble is None:
            decision: Decision = answer.value
            return decision
        decision = fallback(env.situation.task, env.catalogue, mask, trouble)
        reply = f"fallback: action {decision.action}, the next in serpentine order"
        if answer.hung:
            spent_s = night.clock.now_s() - start_s
            night.clock.wait(max(night.settings.decision_deadline_s - spent_s, 0.0))  # a simulated clock stood still
            reply = f"{reply}; {session.renew_agent()}"
        self._report(trouble, reply)
        return decision

    def _report(self, trouble: str, reply: str) -> None:
        where = {"specimen": self._session.name, "step": self._env.step_number, "error": "Agent"}
        self._night.event("fault", trouble, **where)
        self._night.event("reply", reply, **where)

    def _agreed(self, decision: Decision) -> Act | None:
        """The deed once a person has approved it; parks, blanked, when the deadline passes without an answer."""
        night = self._night
        self._proposals += 1
        number, label = self._proposals, decision.candidates[0].label if decision.candidates else decision.reason
        night.event("proposal", label, proposal=number, action=decision.action, reason=decision.reason)
        deadline_s, parked = night.people.now_s() + night.settings.confirm_deadline_s, False
        while True:
            self._inbox.read(self._env, night.clock.now_s())
            if self._inbox.stopped_by is not None or self._inbox.paused or night.stop.is_set():
                return None
            verdict = self._verdict(number)
            if verdict is not None:
                break
            if not parked and night.people.now_s() >= deadline_s:
                parked = True
                night.blank()
                night.event("park", f"nobody answered proposal {number} in {night.settings.confirm_deadline_s:g} s")
            self._health.tell("parked" if parked else "waiting for a person", proposal=number, label=label)
            night.people.wait(POLL_S)
        if verdict.kind == "approve":
            return partial(self._env.apply, decision.action, decision)
        action = self._env.catalogue.decode(decision.action)
        if isinstance(action, LookAt):
            block(self._env, night.record, action.slot, f"{verdict.person} rejected it", night.clock.now_s())
        elif isinstance(action, Stop):
            self._inbox.paused = True
        return None

    def _verdict(self, proposal: int) -> RequestRow | None:
        """The first answer to this proposal; answers to others are let go."""
        while self._inbox.verdicts:
            row = self._inbox.verdicts.pop(0)
            if row.data.get("proposal", proposal) == proposal:
                return row
        return None
