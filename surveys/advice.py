"""Autonomy "advise": says what it would do, writes down what the operator does, touches nothing.

Where the operator rests with the beam on is a step, a person's choice beside what was advised (``surveys.hands``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.errors import InstrumentError
from surveys.endings import Ending, Reason
from surveys.hands import Hands
from surveys.requests import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import Decision, Step
    from instruments.types import State
    from surveys.health import Health
    from surveys.night import Night
    from surveys.session import Progress, Session

EVERY_S = 1.0
"""Between two proposals, on the clock that people live by."""


def advise(night: Night, session: Session, health: Health, on_step: Callable[[Step, Progress], None]) -> Ending:
    """Propose until the budget's hours are over or a person says stop. ``on_step`` hears what the operator chose.

    A proposal is written down when it, or what the operator does, has changed.
    """
    inbox = Inbox(night.record)
    until_s = night.people.now_s() + night.settings.budget.hours * 3600.0
    hands = Hands(session.env, night.settings.who.operator or "the operator")
    last: tuple[object, ...] = ()
    proposals = 0
    try:
        while night.people.now_s() < until_s and not night.stop.is_set():
            inbox.read(session.env, night.clock.now_s())
            if inbox.stopped_by is not None:
                return Ending(Reason.STOPPED, f"stopped by {inbox.stopped_by} after {proposals} proposals")
            if not inbox.paused:
                answer = session.mind.decide(session.env.observation())
                proposals += 1
                operator = _read_back(night)
                last = _note(night, answer.value, answer.trouble, operator, last)
                step = hands.take(operator, answer.value, night.people.now_s())
                if step is not None:
                    session.take_in(step)
                    if trouble := session.teach(step):
                        night.event("fault", trouble, error="Agent")
                        night.event("reply", session.renew_agent(), error="Agent")
                    on_step(step, session.progress())
                if answer.hung:
                    session.renew_agent()
            health.tell("paused" if inbox.paused else "advising", proposals=proposals)
            night.people.wait(EVERY_S)
    finally:
        session.mind.close()
    if night.stop.is_set():
        return Ending(Reason.INTERRUPTED, f"stopped by {night.stop.signal_name} after {proposals} proposals")
    return Ending(Reason.COMPLETE, f"the hours are over, after {proposals} proposals")


def _note(
    night: Night, decision: Decision | None, trouble: str, operator: dict[str, object], last: tuple[object, ...]
) -> tuple[object, ...]:
    """Write down the proposal beside the instrument's read-back, if either is new; returns what was seen."""
    seen = (None if decision is None else decision.action, trouble, *operator.values())
    if seen == last:
        return last
    if decision is None:
        night.event("fault", trouble, error="Agent")
        night.event("reply", "no advice now", error="Agent")
    else:
        best = decision.candidates[0] if decision.candidates else None
        label = best.label if best else decision.reason
        night.event("advice", label, action=decision.action, reason=decision.reason, operator=operator)
    return seen


def _read_back(night: Night) -> dict[str, object]:
    try:
        state: State = night.guard.state()
    except InstrumentError as error:
        return {"unreadable": str(error)}
    stage = state.stage
    return {
        "x_nm": stage.x_nm,
        "y_nm": stage.y_nm,
        "z_nm": stage.z_nm,
        "alpha_deg": stage.alpha_deg,
        "defocus_nm": state.optics.defocus_nm,
        "blanked": state.blanked,
    }
