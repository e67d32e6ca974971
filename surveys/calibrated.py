"""Is all measured that a night needs, and does it still hold? One move tells, before anything else is done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from instruments.calibration import applied, missing
from instruments.errors import InstrumentError, NotCalibrated
from instruments.types import StagePosition
from surveys.calibrating import foretold
from surveys.calibrating_bench import CannotCalibrate, NothingToCompare
from surveys.task import survey_looks

if TYPE_CHECKING:
    from surveys.night import Night
    from surveys.settings import SurveySettings

_NEEDED = ("stage_to_image", "field_of_view_nm_at_1x")
"""Without the one nothing moves, without the other nothing is exposed; the rest is asked for where it is used."""


def check_measured(settings: SurveySettings) -> None:
    """Before the instrument is opened. Raises NotCalibrated, ConfigError; an adviser needs nothing."""
    if settings.autonomy == "advise":
        return
    instrument = getattr(settings.instrument, "instrument", settings.instrument)  # what faults are planned for
    known, _ = applied(instrument, datetime.now(UTC))
    if lacking := [name for name in missing(known) if name in _NEEDED]:
        raise NotCalibrated(
            f"{', '.join(lacking)} of this {getattr(instrument, 'kind', 'instrument')} is not known, so nothing would "
            "move or be exposed: measure it (adaptem calibrate), and name its file in instrument.calibration"
        )


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
