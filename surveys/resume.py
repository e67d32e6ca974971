"""Going on with a survey that was stopped, killed or cut off.

The folder's config says what was going on, the archive marks every intent without a commit as lost, and each specimen's
session is folded from its Steps. What is left to do here are the exposures that a crash cut off from their step: a
committed frame is described now and gets its step; a lost one has spent its dose, and its place is never exposed again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from archive.errors import DamagedFrame
from envs.actions import LookAt, Stop
from envs.deeds import judge
from envs.step import Decision, ExposureRecord, Fault, Kind, Purpose, Step
from instruments.types import Optics, StagePosition
from surveys.requests import block

if TYPE_CHECKING:
    from archive.reader import SurveyReader
    from archive.rows import ExposureRow
    from envs.actions import Look
    from envs.step import Score
    from envs.survey_env import SurveyEnv
    from envs.targets import Target
    from surveys.session import Session

CUT_OFF = "CutOff"
"""``Fault.error`` of a step whose exposure was lost with the process."""

_KINDS = {Purpose.CONTROL: Kind.CONTROL, Purpose.FOCUS: Kind.SKILL, Purpose.DRIFT: Kind.SKILL}


_ENDED = ("committed", "lost")


def report_cut_off(session: Session, reader: SurveyReader) -> int:
    """Give every exposure of this specimen that no step reports a step of its own; returns how many there were."""
    rows = [row for row in reader.rows.unreported() if row.specimen == session.name and row.state in _ENDED]
    for row in rows:
        step = _step_of(row, session.env, reader)
        session.env.situation.recorder.step(step)
        session.fold(step)
        if step.fault is not None and step.target is not None:
            block(session.env, session.record, step.target, step.fault.message, step.end_s)
    return len(rows)


def _step_of(row: ExposureRow, env: SurveyEnv, reader: SurveyReader) -> Step:
    record = _record(row, env)
    kind = _KINDS.get(row.purpose, Kind.LOOK)
    look, target = _aim(row, env) if kind is not Kind.SKILL else (None, None)
    lost = "the process ended before the frame was kept; its dose counts as spent and the place is not exposed again"
    score: Score | None = None
    if row.frame is not None and kind is Kind.LOOK and look is not None and target is not None:
        with suppress(DamagedFrame):  # the archive has said so; the place counts as seen all the same
            score = judge(env.situation, look, target, reader.recorded(row.id))
    action = Stop() if look is None or target is None else LookAt(target.id, env.situation.task.look_number(look.name))
    return Step(
        number=env.step_number,
        specimen=row.specimen,
        kind=kind,
        decision=Decision(
            action=env.catalogue.encode(action), decided_by="runner", policy="resume", reason="cut off from its step"
        ),
        target=None if target is None else target.id,
        look=None if look is None else look.name,
        skill=str(row.purpose) if kind is Kind.SKILL else None,
        exposures=(record,),
        score=score,
        fault=None if row.frame is not None else Fault(error=CUT_OFF, message=lost),
        start_s=record.start_s,
        end_s=record.end_s,
        electrons=record.electrons,
    )


def _record(row: ExposureRow, env: SurveyEnv) -> ExposureRecord:
    frame, now_s = row.frame, env.situation.clock.now_s()
    return ExposureRecord(
        exposure=replace(row.exposure, id=row.id),
        purpose=row.purpose,
        tags=row.tags,
        footprint=row.footprint,
        stage=StagePosition() if frame is None else frame.stage,
        optics=Optics() if frame is None else frame.optics,
        start_s=now_s - row.exposure.duration_s if frame is None else frame.start_s,
        end_s=now_s if frame is None else frame.end_s,
        electrons=_planned(row, env) if frame is None else frame.electrons,
        committed=frame is not None,
        error=row.error,
    )


def _planned(row: ExposureRow, env: SurveyEnv) -> float:
    """Electrons of an exposure of which nothing came back: what the most that is allowed would have given."""
    return row.exposure.electrons(env.situation.guard.limits.max_current_pA)


def _aim(row: ExposureRow, env: SurveyEnv) -> tuple[Look | None, Target | None]:
    """The look and the target that an exposure was for: of its purpose, nearest to where it was made."""
    task, purpose = env.situation.task, Purpose.DETAIL if row.purpose is Purpose.CONTROL else row.purpose
    look = next((look for look in task.looks if look.purpose is purpose), None)
    if look is None:
        return None, None
    ids = task.tree.of_kind(look.level)
    place = row.footprint
    nearest = ids[np.argmin(np.hypot(task.tree.x_nm[ids] - place.x_nm, task.tree.y_nm[ids] - place.y_nm))]
    return look, task.tree[int(nearest)]
