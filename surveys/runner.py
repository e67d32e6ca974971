"""A night at the microscope, on one screen.

requests ─► whose turn? ─► control site, drawn at random ───────────────┐
▲             └─► Agent.act ─► (a person agrees) ─► env.apply ─► Step ─► Agent.observe
│                    └ too late, broken, masked: next in serpentine      │
└──────────────────── retry ◄─ skip ◄─ park ◄─ reply to trouble ◄────────┘
└─► stop
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from instruments.errors import InstrumentError
from surveys.advice import advise
from surveys.calibrated import check_at_start
from surveys.endings import Ending, Reason, Summary, reason_of
from surveys.expectation import Expectation
from surveys.health import Health
from surveys.recovery import Recovery, Verb
from surveys.replies import carry_out
from surveys.session import Progress
from surveys.turns import Turns
from surveys.verdicts import flag_specimen, rank_together

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import Step
    from surveys.flagging import Flag
    from surveys.night import Night
    from surveys.session import Session

__all__ = ["Progress", "Reason", "Summary", "run_survey"]


def _nobody(step: Step, progress: Progress) -> None:
    """Nobody watches."""


def run_survey(night: Night, on_step: Callable[[Step, Progress], None] = _nobody) -> Summary:
    """Run every specimen of the night to its end, flag what is unusual, finish the record and let go of everything.

    Whatever happens, the beam is blanked before this returns or raises. What an instrument does is answered by
    ``surveys.recovery``; an error of the record or of the program is raised, and ``adaptem resume`` goes on.
    """
    health = Health(night.folder, night.people)
    try:
        night.event("start", f"survey {night.settings.name} begins or goes on", autonomy=night.settings.autonomy)
        ending, flags = _specimens(night, health, on_step)
        night.blank()
        night.record.flags(rank_together(flags))
        night.event("end", ending.message, reason=ending.reason, flags=len(flags))
        health.tell("ended", urgent=True, message=ending.message)
    except BaseException as error:
        with suppress(Exception):  # the first error is the one to tell
            night.guard.blank()
            health.tell("failed", urgent=True, message=f"{type(error).__name__}: {error}")
        raise
    finally:
        night.close()
    return Summary(reason=ending.reason, message=ending.message, folder=night.folder, flags=len(flags))


def _specimens(night: Night, health: Health, on_step: Callable[[Step, Progress], None]) -> tuple[Ending, list[Flag]]:
    """One after the other; the ending is the last one's, or that of the first that did not complete."""
    flags: list[Flag] = []
    ending = Ending(Reason.COMPLETE, "nothing was to be done")
    for number, specimen in enumerate(night.settings.specimens):
        try:
            session = night.begin(number)
            if number == 0:
                check_at_start(night)
        except InstrumentError as error:
            return Ending(reason_of(error), f"{specimen.name}: {error}"), flags
        ending = (advise if night.settings.autonomy == "advise" else survey)(night, session, health, on_step)
        flags += flag_specimen(night, session)
        if ending.reason is not Reason.COMPLETE:
            break
    return ending, flags


def survey(night: Night, session: Session, health: Health, on_step: Callable[[Step, Progress], None]) -> Ending:
    """One specimen, until its budget is spent, its aim met, or somebody or something says stop."""
    turns = Turns(night, session, health)
    recovery, expectation = Recovery(night.settings.recovery), Expectation(night, session.name)
    try:
        while (ending := turns.over()) is None:
            act = turns.next()
            if act is None:
                continue
            step = act()
            session.take_in(step)
            turns.teach(step)
            expectation.compare(step)
            progress = session.progress()
            on_step(step, progress)
            health.tell("running", specimen=session.name, step=step.number, done_ratio=progress.done_ratio)
            reply = recovery.reply(step, night.clock.now_s())
            if reply.verb is not Verb.CARRY_ON:
                ending = carry_out(reply, step, night, session, health)
                if ending is not None:
                    return ending
                turns.repeat(act if reply.again else None)
        return ending
    finally:
        turns.leave()
        session.mind.close()
