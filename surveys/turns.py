"""Whose turn it is: a person's wish, a control's, or the agent's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from envs.actions import LookAt, Stop
from surveys.deciding import fallback, usable
from surveys.endings import Ending, Reason
from surveys.requests import Inbox, block

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._proposed: Decision | None = None
        """What the agent had proposed when a person asked for another place."""
        self._told = ""
        """Why the last decision was not the agent's."""

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
            again, self._again = self._again, None
            return again
        session = self._session
        asks = self._night.settings.autonomy == "confirm"
        site = None
        if not (asks and self._inbox.places):  # a place that a person waits for withdraws every question before it
            site = session.control_due(1.0 if session.full else session.progress().done_ratio)
        act: Act
        if site is not None:
            act = partial(self._env.control, site, session.controls.inclusion_probability)
            label = "a random control"  # not which: whoever answers may judge it blind later
            return self._agreed(label, "drawn by chance", act, partial(self._refuse_control, site)) if asks else act
        decision = self._inbox.wish(self._env, self._proposed) or self._decide()
        self._proposed = None
        act = partial(self._env.apply, decision.action, decision)
        if not asks or decision.decided_by == "person":
            return act
        label = decision.candidates[0].label if decision.candidates else decision.reason
        return self._agreed(label, decision.reason, act, partial(self._refuse, decision), decision)

    def leave(self) -> None:
        """This specimen's turn is over."""
        self._inbox.leave(self._session.name)

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
            self._report(session.mind.loss, session.renew_agent())
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
        if not (session.mind.given_up and trouble == self._told):  # each of its steps says so; the journal, once
            self._report(trouble, reply)
        self._told = trouble
        return decision

    def _report(self, trouble: str, reply: str) -> None:
        where = {"specimen": self._session.name, "step": self._env.step_number, "error": "Agent"}
        self._night.event("fault", trouble, **where)
        self._night.event("reply", reply, **where)

    def _agreed(
        self, label: str, reason: str, act: Act, refuse: Callable[[str], None], decision: Decision | None = None
    ) -> Act | None:
        """The deed once a person has approved it; parks, blanked, when the deadline passes without an answer."""
        night, inbox = self._night, self._inbox
        last = night.record.rows.last_event("proposal")
        number = 1 if last is None else 1 + int(last.data["proposal"])
        night.event("proposal", label, proposal=number, specimen=self._session.name, reason=reason)
        inbox.proposal, inbox.verdict = number, None
        deadline_s, parked = night.people.now_s() + night.settings.confirm_deadline_s, False
        try:
            while True:
                inbox.read(self._env, night.clock.now_s())
                if inbox.stopped_by is not None or inbox.paused or inbox.places or night.stop.is_set():
                    redirected = {"verdict": "redirect"} if inbox.places and decision is not None else {}
                    night.event("answered", f"proposal {number} is withdrawn", proposal=number, **redirected)
                    self._proposed = decision if redirected else None
                    return None  # a person who asks for another place has redirected it there
                if (verdict := inbox.verdict) is not None:
                    break
                if not parked and night.people.now_s() >= deadline_s:
                    parked = True
                    night.blank()
                    night.event("park", f"nobody answered proposal {number} in {night.settings.confirm_deadline_s:g} s")
                state = "parked" if parked else "waiting for a person"
                self._health.tell(state, proposal=number, label=label)
                night.people.wait(POLL_S)
        finally:
            inbox.proposal = None
        night.event("answered", f"{verdict.person}: {verdict.kind}", proposal=number, verdict=verdict.kind)
        if verdict.kind == "reject":
            refuse(verdict.person)
            return None
        if decision is None:
            return act
        return partial(self._env.apply, decision.action, replace(decision, person=verdict.person))

    def _refuse(self, decision: Decision, person: str) -> None:
        """A rejected look is not proposed again; a rejected stop leaves it to the person to go on.

        That it was proposed and turned down is a step of its own: what people turn down can be learned from.
        """
        step = self._env.noted(replace(decision, person=person), refused_by=person)
        self._session.take_in(step)
        self.teach(step)
        action = self._env.catalogue.decode(decision.action)
        if isinstance(action, LookAt):
            why, now_s = f"{person} rejected it", self._night.clock.now_s()
            block(self._env, self._night.record, action.slot, why, now_s)
        elif isinstance(action, Stop):
            self._inbox.paused = True

    def _refuse_control(self, site: int, person: str) -> None:
        self._session.tried.add(site)
        block(self._env, self._night.record, site, f"{person} rejected it", self._night.clock.now_s())
