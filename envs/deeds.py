"""Carrying out one action at the instrument; what kept it from happening is part of the result."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.exposing import fault_of
from envs.step import Fault, Kind, Score, Tag
from envs.targets import windows
from envs.tasks import ON_PLACE
from instruments.errors import InstrumentError, ReachError
from instruments.types import Optics, Outcome, StagePosition

if TYPE_CHECKING:
    from envs.actions import Look
    from envs.exposing import Exposer
    from envs.situation import Situation
    from envs.step import Purpose
    from envs.targets import Target
    from instruments.types import Frame

SKILL_FAILED = "SkillFailed"
"""Of ``Fault.error``: no error of an instrument, but a skill's own."""

_SAME_TILT_DEG = 0.01


@dataclass(slots=True, kw_only=True)
class Deed:
    """What a step will say was done, filled in while it is done. Fields as in ``Step``."""

    kind: Kind
    target: int | None = None
    look: str | None = None
    skill: str | None = None
    stage: Outcome[StagePosition] | None = None
    optics: Outcome[Optics] | None = None
    retagged: tuple[tuple[int, Tag], ...] = ()
    score: Score | None = None
    fault: Fault | None = None
    skill_data: dict[str, float] | None = None


def image(
    situation: Situation, exposer: Exposer, deed: Deed, look: Look, target: Target, purpose: Purpose
) -> Frame | None:
    """Go to a target and expose it, at each tilt of the look; None where that failed, and the deed says how.

    Of a series the least tilted frame, and the holder is tilted back.
    """
    guard = situation.guard
    try:
        before = guard.state().stage
        first = look.tilts_deg[0] if look.tilts_deg else None
        wanted = _motion(before, target, first)
        if wanted is not None:
            deed.stage = guard.move(wanted)
        if look.defocus_nm is not None:
            deed.optics = guard.tune(Optics(defocus_nm=look.defocus_nm))
        if len(look.tilts_deg) < 2:
            return exposer.expose(look.exposure, purpose)
        return _series(situation, exposer, look, purpose, StagePosition(alpha_deg=before.alpha_deg))
    except InstrumentError as error:
        _note(deed, error)
        return None


def _series(situation: Situation, exposer: Exposer, look: Look, purpose: Purpose, home: StagePosition) -> Frame:
    """An exposure at each tilt, the first of which is reached; tilted back also where one fails."""
    frames = []
    try:
        for tilt in look.tilts_deg:
            if not _near(situation.guard.state().stage.alpha_deg, tilt, _SAME_TILT_DEG):
                situation.guard.move(StagePosition(alpha_deg=tilt))
            frames.append(exposer.expose(look.exposure, purpose))
    except InstrumentError:
        with suppress(InstrumentError):  # the first fault is the one to tell
            situation.guard.move(home)
        raise
    situation.guard.move(home)
    return min(zip(look.tilts_deg, frames, strict=True), key=lambda pair: abs(pair[0]))[1]


def judge(situation: Situation, look: Look, target: Target, frame: Frame) -> Score:
    """Describe the cells of a frame and hold them against the background known so far."""
    placed = frame.stage.x_nm is not None and frame.stage.y_nm is not None
    cells = windows(
        situation.task.tree, target.id, frame.exposure, frame.stage if placed else None, situation.stage_to_image
    )
    scorer = situation.scorer
    description = scorer.describe(frame, [window for _, window in cells])
    if description.quality.get("blank", 0.0) > 0:  # the beam was not there: nothing is to be learned about the place
        return Score(cells=(), descriptors=(), interest=(), quality=dict(description.quality))
    told = np.asarray(np.isfinite(description.descriptors).all(axis=1))  # of the others too little lies in the frame
    rows = description.descriptors[told]
    interest = scorer.interest(look.name, rows) if len(rows) else np.empty(0)
    return Score(
        cells=tuple(cell for (cell, _), known in zip(cells, told, strict=True) if known),
        descriptors=tuple(tuple(row) for row in rows.tolist()),
        interest=tuple(interest.tolist()),
        quality=dict(description.quality),
    )


def use_skill(situation: Situation, exposer: Exposer, deed: Deed, number: int) -> None:
    """Run a skill at the present place. One that did not reach what it is for gives a ``ReachError`` fault.

    One that has a defect gives a ``SKILL_FAILED`` fault: skills come from users' files, and a night goes on without.
    """
    skill = situation.skills[number]
    try:
        result = skill.run(situation.guard, exposer.expose)
    except InstrumentError as error:
        _note(deed, error)
        return
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"
        deed.fault = Fault(error=SKILL_FAILED, message=f"{skill.name} has a defect: {told}; mend it, or leave it out")
        return
    deed.optics, deed.stage = result.optics, result.stage
    deed.skill_data = dict(result.data)
    if not result.ok:
        deed.fault = Fault(error=ReachError.__name__, message=f"{skill.name}: {result.message}")


def _motion(stage: StagePosition, target: Target, tilt_deg: float | None) -> StagePosition | None:
    """The axes that have to move; None when all are in place. A tilt of None is left as it is."""
    x_nm = None if _near(stage.x_nm, target.x_nm, ON_PLACE * target.width_nm) else target.x_nm
    y_nm = None if _near(stage.y_nm, target.y_nm, ON_PLACE * target.height_nm) else target.y_nm
    alpha_deg = None if tilt_deg is None or _near(stage.alpha_deg, tilt_deg, _SAME_TILT_DEG) else tilt_deg
    if x_nm is None and y_nm is None and alpha_deg is None:
        return None
    return StagePosition(x_nm=x_nm, y_nm=y_nm, alpha_deg=alpha_deg)


def _near(value: float | None, wanted: float, tolerance: float) -> bool:
    return value is not None and abs(value - wanted) <= tolerance


def _note(deed: Deed, error: InstrumentError) -> None:
    deed.fault = fault_of(error)
    if isinstance(error, ReachError):
        match error.target, error.readback:
            case StagePosition(), StagePosition():
                deed.stage = Outcome(error.target, error.readback)
            case Optics(), Optics():
                deed.optics = Outcome(error.target, error.readback)
