"""A night that relies on a calibration begins with a move that tells whether it still holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from survey_samples import small

from archive.reader import SurveyReader
from configs.load import dump
from instruments.calibration import Calibration
from instruments.drivers import registry
from surveys.endings import Reason
from surveys.night import open_night
from surveys.runner import run_survey

if TYPE_CHECKING:
    from pathlib import Path

    from archive.rows import EventRow
    from surveys.endings import Summary

STAGE = {"turned_deg": 160.0, "mirrored": True}
LOOKS = {"overview": {"sites": 4, "shape": [128, 128], "dwell_us": 4.0}, "detail": {"field_of_view_nm": 100.0}}


def night(folder: Path, turned_deg: float, **changes: Any) -> tuple[Summary, list[EventRow], int]:
    """Its ending, what it wrote of the calibration, and its steps; the stage is turned by 160°."""
    at = datetime.now(UTC)
    told: Any = registry.parse({"kind": "simulated", "stage": {**STAGE, "turned_deg": turned_deg}})
    entry = {
        "measured_at": at,
        "how": "by moves",
        "matrix": told.stage.in_image,
        "std": 0.001,
        "move_nm": 100.0,
        "check_nm": 1.0,
    }
    found = {"instrument": "simulated", "adaptem": "0", "good_until": at + timedelta(days=1), "stage_to_image": entry}
    path = folder / "stage.yaml"
    path.write_text(dump(Calibration.model_validate(found)), encoding="utf-8")
    instrument = {"kind": "simulated", "stage": STAGE, "calibration": str(path), **changes}
    area = {"width_nm": 400.0, "height_nm": 400.0}
    settings = small(4, instrument=instrument, looks=LOOKS, specimens=[{"name": "a", "area": area}])
    summary = run_survey(open_night(settings, folder / "survey"))
    with SurveyReader(folder / "survey") as reader:
        return summary, list(reader.events("calibration")), len(list(reader.steps()))


def test_one_that_holds_is_told_and_the_night_goes_on(tmp_path: Path) -> None:
    summary, (event,), steps = night(tmp_path, 160.0)
    assert summary.reason is Reason.COMPLETE
    assert event.data["off_nm"] < 15.0
    assert steps > 10


def test_one_that_does_not_hold_ends_the_night_before_it_begins(tmp_path: Path) -> None:
    summary, events, steps = night(tmp_path, 70.0)
    assert summary.reason is Reason.HARDWARE
    assert "does not hold any more" in summary.message
    assert (events, steps) == ([], 0)


@pytest.mark.timeout(120)
def test_a_place_that_shows_nothing_is_no_reason_to_stop(tmp_path: Path) -> None:
    bare = {"heavy_per_um2": 0.0, "light_per_um2": 0.0, "rare_layout": "none", "film_variation": 0.0, "film_grain": 0.0}
    summary, (event,), _ = night(tmp_path, 160.0, specimen=bare)
    assert summary.reason is Reason.COMPLETE
    assert "could not be checked" in event.message
