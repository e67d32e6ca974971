"""Does the calibration that a night relies on still hold? One move tells, before anything else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.errors import InstrumentError, NotCalibrated
from instruments.types import StagePosition
from surveys.calibrating import foretold
from surveys.calibrating_bench import CannotCalibrate, NothingToCompare
from surveys.task import survey_looks

if TYPE_CHECKING:
    from surveys.night import Night


def check_at_start(night: Night) -> None:
    """Two overview looks in the middle of the first area, one move apart; nothing where no calibration is named.

    A place that shows too little is written down, and no reason to stop: only what contradicts is. Who confirms every
    action, or is advised, is not moved.

    Raises:
        NotCalibrated: the image did not go where it was foretold.
    """
    settings = night.settings
    if getattr(settings.instrument, "calibration", None) is None or settings.autonomy != "auto":
        return
    area, look = settings.specimens[0].area, survey_looks(settings)[0].exposure
    try:
        night.guard.move(StagePosition(x_nm=area.x_nm, y_nm=area.y_nm))
        off_nm = foretold(night.guard, look, settings.limits.backlash_nm)
    except NothingToCompare as error:
        night.event("calibration", f"could not be checked at the start: {error}")
    except CannotCalibrate as error:
        raise NotCalibrated(f"the calibration does not hold any more: {error} (adaptem calibrate)") from error
    except InstrumentError as error:  # the survey meets it again, and knows what to do about it
        night.event("calibration", f"could not be checked at the start: {error}", error=type(error).__name__)
    else:
        night.event("calibration", f"still holds: a move that was foretold ended {off_nm:.2g} nm off", off_nm=off_nm)
