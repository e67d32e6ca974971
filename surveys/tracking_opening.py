"""Opening what following needs: the instrument behind its guard, and the task before the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.tracking_task import SoFar, TrackSituation, TrackTask
from instruments.clock import Clock, RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.drivers.registry import open_microscope
from instruments.guard import Guard
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED
from surveys.guarding import open_apart
from surveys.night import truth_beside

if TYPE_CHECKING:
    from archive.folder import SurveyFolder
    from archive.recorder import SurveyRecorder
    from instruments.protocol import Guarded
    from surveys.tracking_prepare import Following
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


def situation(
    following: Following, guard: Guarded, clock: Clock, record: SurveyRecorder, so_far: SoFar
) -> TrackSituation:
    """What is followed, and what was done of it already."""
    settings = following.settings
    return TrackSituation(
        guard=guard,
        clock=clock,
        task=TrackTask(
            looks=settings.track_looks(),
            places_nm=settings.places_nm(),
            horizon_s=settings.horizon_s,
            tick_s=settings.tick_s,
            electrons=settings.electrons,
        ),
        sensors=following.sensors,
        recorder=record,
        specimen=settings.specimen,
        program_s=[(order.at_s, order.condition, order.value) for order in settings.program],
        so_far=so_far,
    )
