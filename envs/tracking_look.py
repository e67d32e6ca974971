"""One look at a place that is followed: brought into view, exposed, kept, read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from envs.exposing import Exposer
from envs.keeping import Seen
from envs.particles import Measured
from envs.skills import SkillResult
from envs.step import Purpose, Step, Stream, Tag
from envs.streaming import Event, streamed, summed
from instruments.powers import HasStream
from instruments.types import Outcome, StagePosition

if TYPE_CHECKING:
    from envs.skills import Skill
    from envs.tracked import TrackLook
    from envs.tracking_task import TrackSituation
    from instruments.types import Exposure, Frame

POLICY = (Tag(stream=Stream.POLICY, inclusion_probability=None),)
CONTROL = (Tag(stream=Stream.CONTROL, inclusion_probability=None),)
_TOLERANCE_NM = 1.0


@dataclass(slots=True)
class Made:
    """What came of a look so far, whatever is raised after."""

    exposer: Exposer | None = None
    look: str = ""
    stage: Outcome[StagePosition] | None = None
    measured: Measured | None = None
    seen: Seen | None = None
    """Of the drift."""
    events: tuple[Event, ...] = ()
    """Of a stream."""
    skill: str = ""
    done: SkillResult | None = None
    """Of a skill."""

    @property
    def electrons(self) -> float:
        return 0.0 if self.exposer is None else sum(record.electrons for record in self.exposer.records)


@dataclass(frozen=True, slots=True)
class Aside:
    """What something beside the agent's actions came to."""

    step: Step
    measured: Measured | None
    done: SkillResult | None
    """Of a skill."""


def take(
    situation: TrackSituation, made: Made, look: TrackLook, place: int | None, place_nm: tuple[float, float]
) -> None:
    """Look at a place, and fill ``made`` with what comes of it. ``place`` None: a region with little dose.

    Raises InstrumentError.
    """
    guard, keeper = situation.guard, situation.keeper
    tags = CONTROL if place is None else POLICY
    made.exposer, made.look = Exposer(guard, situation.recorder, situation.clock, situation.specimen, tags), look.name
    here = guard.state().stage
    aim_nm = place_nm if keeper is None else keeper.aim_nm(place_nm, situation.clock.now_s(), place)
    away_nm = math.dist(aim_nm, (here.x_nm or 0.0, here.y_nm or 0.0))
    if away_nm > (_TOLERANCE_NM if keeper is None else keeper.tolerance_nm):
        made.stage = guard.move(StagePosition(x_nm=aim_nm[0], y_nm=aim_nm[1]))
    frame = _exposed(situation, made, made.exposer, look, Purpose.CONTROL if place is None else Purpose.DETAIL)
    if keeper is not None and place is not None:
        made.seen = _drifted(situation, frame, look, place, made.exposer.records[-1].exposure.id)
    made.measured = situation.sensors[look.signal].measure(frame, look)


def carry_out(situation: TrackSituation, made: Made, skill: Skill, place_nm: tuple[float, float]) -> None:
    """A skill at a place that is not followed. Raises InstrumentError."""
    made.exposer = Exposer(situation.guard, situation.recorder, situation.clock, situation.specimen, ())
    made.skill = skill.name
    here = situation.guard.state().stage
    if math.dist(place_nm, (here.x_nm or 0.0, here.y_nm or 0.0)) > _TOLERANCE_NM:
        made.stage = situation.guard.move(StagePosition(x_nm=place_nm[0], y_nm=place_nm[1]))
    made.done = skill.run(situation.guard, made.exposer.expose)


def _exposed(situation: TrackSituation, made: Made, exposer: Exposer, look: TrackLook, purpose: Purpose) -> Frame:
    """The look as one image; of a stream, with the events in it."""
    how = situation.streaming if look.frames > 1 else None
    camera = None if how is None else situation.guard.power(HasStream)
    if how is None or camera is None:
        return summed(exposer.expose(look.exposure, purpose))

    def make(exposure: Exposure) -> Frame:
        frame, made.events = streamed(camera, exposure, how)
        return frame

    return exposer.expose(look.exposure, purpose, make)


def _drifted(situation: TrackSituation, frame: Frame, look: TrackLook, place: int, exposure: int | None) -> Seen | None:
    """What an image tells of the drift; spectra and patterns tell nothing of it."""
    keeper, signal = situation.keeper, frame.signals.get(look.signal)
    if keeper is None or signal is None or signal.data.ndim != 2:
        return None
    trouble, middle_s = keeper.trouble, (frame.start_s + frame.end_s) / 2
    image = signal.data.astype(np.float32)
    seen = keeper.learn((place, look.name), image, look.exposure.pixel_size_nm, frame.stage, middle_s, exposure)
    if keeper.trouble != trouble:
        situation.recorder.event("drift", keeper.trouble, time_s=situation.clock.now_s())
    return seen
