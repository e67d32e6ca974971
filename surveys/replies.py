"""Carrying out what the recovery table says, and writing it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.step import Kind
from surveys.endings import Ending, Reason
from surveys.recovery import LATCHING, Verb
from surveys.requests import block

if TYPE_CHECKING:
    from envs.step import Step
    from surveys.health import Health
    from surveys.night import Night
    from surveys.recovery import Reply
    from surveys.session import Session

ENDINGS = {LATCHING: Reason.SAFETY, "NoRoom": Reason.INCOMPLETE}
"""Any other trouble that ends a survey is the hardware's."""

PIECE_S = 1.0
"""A wait is taken in pieces, so that a stop is heard."""


def carry_out(reply: Reply, step: Step, night: Night, session: Session, health: Health) -> Ending | None:
    """Do what the reply says; the ending if it is one."""
    where = {"specimen": step.specimen, "step": step.number, "target": step.target}
    night.event("fault", f"{reply.trouble}: {reply.reason}", error=reply.trouble, **where)
    night.event("reply", str(reply), verb=reply.verb, wait_s=reply.wait_s, again=reply.again, **where)
    lost = step.electrons > 0
    if reply.give_up and step.target is not None and (lost or step.kind is not Kind.CONTROL):
        block(session.env, night.record, step.target, reply.reason, night.clock.now_s())
    match reply.verb:
        case Verb.RETRY:
            wait(night, reply.wait_s)
        case Verb.PARK:
            night.blank()
            health.tell("parked", urgent=True, reason=reply.reason, wait_s=reply.wait_s)
            wait(night, reply.wait_s)
        case Verb.STOP:
            night.blank()
            return Ending(ENDINGS.get(reply.trouble, Reason.HARDWARE), reply.reason)
        case _:
            pass
    return None


def wait(night: Night, duration_s: float) -> None:
    """Let instrument time pass, unless somebody says stop."""
    until_s = night.clock.now_s() + duration_s
    while not _called_off(night) and (left_s := until_s - night.clock.now_s()) > 0:
        night.clock.wait(min(left_s, PIECE_S))


def _called_off(night: Night) -> bool:
    return night.stop.is_set() or any(row.kind == "stop" for row in night.record.requests())
