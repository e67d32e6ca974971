"""A night at the microscope, on one screen.

requests ─► whose turn? ─► control site, drawn at random ───────────────┐
▲             └─► Agent.act ─► (a person agrees) ─► env.apply ─► Step ─► Agent.observe
│                    └ too late, broken, masked: next in serpentine      │
└──────────────────── retry ◄─ skip ◄─ park ◄─ reply to trouble ◄────────┘
└─► stop
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.errors import InstrumentError
from surveys.advice import advise
from surveys.endings import Ending, Reason, Summary, summarise
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
    flags: list[Flag] = []
    try:
        night.event("start", f"survey {night.settings.name} begins or goes on", autonomy=night.settings.autonomy)
        ending = Ending(Reason.COMPLETE, "every specimen is done")
        for number in range(len(night.settings.specimens)):
            try:
                session = night.begin(number)
            except InstrumentError as error:
                ending = Ending(Reason.HARDWARE, f"{night.settings.specimens[number].name}: {error}")
                break
            ending = (advise if night.settings.autonomy == "advise" else survey)(night, session, health, on_step)
            flags += flag_specimen(night, session)
            if ending.reason is not Reason.COMPLETE:
                break
        night.blank()
        night.record.flags(rank_together(flags))
        night.event("end", ending.message, reason=ending.reason, flags=len(flags))
        health.tell("ended", urgent=True, message=ending.message)
    except BaseException as error:
        night.blank()
        health.tell("failed", urgent=True, message=f"{type(error).__name__}: {error}")
        raise
    finally:
        night.close()
    return summarise(ending, flags, night)


def survey(night: Night, session: Session, health: Health, on_step: Callable[[Step, Progress], None]) -> Ending:
    """One specimen, until its budget is spent, its aim met, or somebody or something says stop."""
    turns = Turns(night, session, health)
    recovery = Recovery(night.settings.recovery)
    try:
        while (ending := turns.over()) is None:
            act = turns.next()
            if act is None:
                continue
            step = act()
            session.take_in(step)
            turns.teach(step)
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
        turns.close()
