"""A night over the specimens of a loader: each is brought by the guard's rule, and a person opens the valve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from survey_samples import small

from archive.reader import SurveyReader
from instruments.clock import SimulatedClock
from instruments.errors import InstrumentError, LimitError
from instruments.powers import HasLoader
from surveys.endings import Reason
from surveys.loading import bring
from surveys.night import open_night
from surveys.runner import run_survey

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.simulated.world import World
    from surveys.night import Night

CASSETTE = {"kind": "simulated", "cassette": {"specimens": ["grid 1", "grid 2"]}}


def loading(**changes: Any) -> Any:
    area = {"width_nm": 200.0, "height_nm": 200.0}
    specimens = [
        {"name": name, "area": area, "position": position} for name, position in (("a", "grid 1"), ("b", "grid 2"))
    ]
    return small(specimens=specimens, **{"instrument": CASSETTE} | changes)


def world_of(night: Night) -> World:
    return night.guard._microscope._world  # type: ignore[attr-defined, no-any-return]


def test_the_next_specimen_is_brought_and_waits_for_a_person_at_the_valve(tmp_path: Path) -> None:
    night = open_night(loading(), tmp_path / "night")
    world, waited = world_of(night), []

    def person(step: Any, progress: object) -> None:
        if step.fault is not None and not world.valve_open:
            assert "valve is closed" in step.fault.message
            waited.append(step.specimen)
            world.set_valve(is_open=True)

    summary = run_survey(night, person)
    assert (summary.reason, waited) == (Reason.COMPLETE, ["b"])
    made = SurveyReader(tmp_path / "night").steps()
    seen = {step.specimen for step in made if step.look == "detail" and step.fault is None}
    assert seen == {"a", "b"}
    assert world.cassette is not None
    assert world.cassette.on_stage == "grid 2"


def test_a_specimen_that_gets_stuck_ends_the_night_latched(tmp_path: Path) -> None:
    fault = {"kind": "transfer_stuck", "at_s": 0.0}
    summary = run_survey(open_night(loading(instrument={**CASSETTE, "faults": [fault]}), tmp_path / "night"))
    assert summary.reason is Reason.SAFETY
    assert "see where the specimen is" in summary.message
    assert {step.specimen for step in SurveyReader(tmp_path / "night").steps()} == {"a"}


def test_what_lies_there_stays_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    night = open_night(loading(), tmp_path / "night")
    world = world_of(night)
    bring(night.guard, "grid 1")
    assert world.cassette is not None
    assert (world.cassette.on_stage, world.valve_open) == ("grid 1", True)
    with pytest.raises(LimitError, match="there are grid 1, grid 2"):
        bring(night.guard, "grid 7")
    night.close()


def test_a_loader_that_does_not_know_what_is_loaded_is_not_used(tmp_path: Path) -> None:
    night = open_night(loading(), tmp_path / "night")
    world = world_of(night)
    assert world.cassette is not None
    world.cassette.jammed = True
    with pytest.raises(InstrumentError, match="between cassette and stage"):
        night.begin(1)
    assert night.guard.power(HasLoader) is not None
    assert world.valve_open
    night.close()


def test_the_clock_of_the_world_goes_on_while_a_specimen_is_changed(tmp_path: Path) -> None:
    night = open_night(loading(), tmp_path / "night")
    start_s = night.clock.now_s()
    night.begin(1)
    assert isinstance(night.clock, SimulatedClock)
    assert night.clock.now_s() >= start_s + 120.0
    night.close()
