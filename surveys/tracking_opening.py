"""Opening what following needs: the instrument behind its guard, and the task before the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent.watching import StreamWatch
from archive.errors import ArchiveError
from archive.reader import SurveyReader
from envs.keeping import Keeper
from envs.streaming import Streaming
from envs.tracking_task import SoFar, TrackSituation, TrackTask
from instruments.clock import Clock, RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.drivers.registry import open_microscope
from instruments.guard import Guard
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED
from surveys.guarding import open_apart
from surveys.night import truth_beside
from surveys.tracking_prepare import steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archive.folder import SurveyFolder
    from archive.recorder import SurveyRecorder
    from instruments.protocol import Guarded
    from surveys.tracking_prepare import Following
    from surveys.tracking_rows import Row
    from surveys.tracking_settings import TrackSettings


def opened(settings: TrackSettings, place: SurveyFolder, start_s: float) -> tuple[Guarded, Clock]:
    """The instrument behind its guard, its clock at ``start_s``. Raises ConfigError, InstrumentError."""
    truth = truth_beside(place.path)
    if not registry.simulated(settings.instrument):
        return open_apart(settings, place, truth, start_s)
    clock: Clock = RealClock(start_s) if getattr(settings.instrument, "real_time", False) else SimulatedClock(start_s)
    microscope = open_microscope(settings.instrument, seed=settings.seed, clock=clock, truth=truth)
    try:
        return Guard(microscope, settings.limits, SqliteLedger(place.ledger), clock, SIMULATED), clock
    except BaseException:
        microscope.close()
        raise


def keeper(settings: TrackSettings, folder: Path, begun: Sequence[Row]) -> Keeper | None:
    """What keeps the places in view, as it was when the last row was written; None: nothing does."""
    if settings.keep_in_view is None:
        return None
    tolerance_nm = settings.keep_in_view.tolerance_nm
    state = next((row["drift"] for row in reversed(begun) if row.get("drift")), None)
    if state is None:
        return Keeper(len(settings.places), tolerance_nm)
    images, looks = {}, settings.looks
    with SurveyReader(folder) as reader:
        for each in state["anchors"]:
            try:
                frame = reader.frame(each["exposure"])
            except ArchiveError:  # without it, what the next frame shows is what is kept in view
                continue
            images[each["exposure"]] = frame[looks[each["look"]].signal].astype(np.float32)
    return Keeper.restored(tolerance_nm, state, images)


def streaming(settings: TrackSettings) -> Streaming:
    """How streams are watched."""
    how = settings.bursts
    sums = max(each.frames for each in settings.looks.values()) // how.every
    return Streaming(
        watcher=lambda: StreamWatch(sums, how.false_alarms),
        every=how.every,
        before=how.before,
        after=how.after,
        most=how.most,
    )


def situation(
    following: Following,
    guard: Guarded,
    clock: Clock,
    record: SurveyRecorder,
    so_far: SoFar,
    kept: Keeper | None = None,
) -> TrackSituation:
    """What is followed, and what was done of it already."""
    settings, steps = following.settings, steps_of(following.settings)
    return TrackSituation(
        guard=guard,
        clock=clock,
        task=TrackTask(
            looks=settings.track_looks(),
            places_nm=settings.places_nm(),
            settings=() if steps is None else [(steps.condition, value) for value in steps.values],
            horizon_s=settings.horizon_s,
            tick_s=settings.tick_s,
            electrons=settings.electrons,
        ),
        sensors=following.sensors,
        recorder=record,
        specimen=settings.specimen,
        program_s=[] if settings.holder.by_itself else [(o.at_s, o.condition, o.value) for o in settings.program],
        so_far=so_far,
        keeper=kept,
        streaming=streaming(settings),
    )
