"""The guard in its own process changes nothing about a night but where it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from survey_samples import small

from archive.reader import SurveyReader
from configs.errors import ConfigError
from instruments.errors import LimitError
from instruments.guard import Guard
from instruments.guard_client import GuardClient
from instruments.latches import clear_latches, latch_file
from instruments.ledger_sqlite import SqliteLedger
from surveys.endings import Reason
from surveys.guarding import in_own_process
from surveys.night import open_night, resume_night
from surveys.readonly import HandsOff
from surveys.runner import run_survey
from surveys.settings import recorded

if TYPE_CHECKING:
    from pathlib import Path

    from envs.step import Step


REMOTE = {"kind": "remote", "port": 1, "token_file": "token", "name": "titan"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No latch of another test, and none left for another."""
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def steps_of(folder: Path) -> list[Step]:
    with SurveyReader(folder) as reader:
        return list(reader.steps())


def test_a_survey_is_the_same_through_a_guard_in_its_own_process(tmp_path: Path) -> None:
    """The same config and agent, step by step: simulated time, dose, frames' scores, everything."""
    skills = {"refocus": {"pixels": 32}}
    for place in ("inside", "process"):
        settings = small(4, guard=place, skills=skills, agent={"kind": "raster", "corner": 0, "refocus_every": 5})
        night = open_night(settings, tmp_path / place)
        assert isinstance(night.guard, GuardClient if place == "process" else Guard)
        assert run_survey(night).reason is Reason.COMPLETE
    inside, process = steps_of(tmp_path / "inside"), steps_of(tmp_path / "process")
    assert len(inside) > 20
    assert [repr(step) for step in process] == [repr(step) for step in inside]  # a NaN is not equal to itself


def test_a_latch_is_the_instruments(tmp_path: Path) -> None:
    """Latched in some other survey, this one stops too; a survey cannot clear it, a person with a reason can."""
    settings = small(4, guard="process")
    latches = SqliteLedger(latch_file("simulated"))
    latches.latch("a pole touch")
    latches.close()
    night = open_night(settings, tmp_path / "one")
    ending = run_survey(night)
    assert ending.reason is Reason.SAFETY
    assert "a pole touch" in ending.message
    night = resume_night(tmp_path / "one")
    with pytest.raises(LimitError, match="adaptem guard clear"):
        night.guard.ledger.clear_latch("the runner")
    night.close()
    assert clear_latches("simulated", "Ada", "the holder was re-inserted") == "a pole touch"
    assert run_survey(resume_night(tmp_path / "one")).reason is Reason.COMPLETE


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, False),
        ({"guard": "process"}, True),
        ({"guard": "process", "autonomy": "advise"}, False),
        ({"instrument": REMOTE}, True),
        ({"instrument": {"kind": "faulty", "instrument": {"kind": "simulated"}}, "guard": "inside"}, False),
        ({"instrument": {"kind": "faulty", "instrument": REMOTE}}, True),
    ],
)
def test_where_the_guard_lives(changes: dict[str, object], own: bool) -> None:
    settings = small(4)
    changed = settings.model_dump(mode="json") | changes
    assert in_own_process(type(settings).model_validate(changed)) is own


@pytest.mark.parametrize("instrument", [REMOTE, {"kind": "faulty", "instrument": REMOTE}])
def test_an_instruments_guard_is_never_inside(instrument: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"guard: inside was asked, and kind .* drives an instrument"):
        small(4, instrument=instrument, guard="inside")


def test_an_adviser_needs_no_process(tmp_path: Path) -> None:
    night = open_night(small(4, guard="process", autonomy="advise"), tmp_path / "n")
    assert isinstance(night.guard, HandsOff)
    night.close()


def test_gms_is_advised_by_no_pilot(tmp_path: Path) -> None:
    gms = {"kind": "digitalmicrograph", "port": 1, "token_file": str(tmp_path / "token")}
    with pytest.raises(ConfigError, match="for whose silences it blanks: use kind: remote"):
        open_night(small(4, instrument=gms, autonomy="advise"), tmp_path / "n")


def test_what_was_not_asked_when_a_survey_began_stays_as_it_was_taken(tmp_path: Path) -> None:
    config = small(4).model_dump(mode="json")
    config["limits"] |= {"alpha_deg": [-10.0, 10.0]}
    config["limits"].pop("off_axis_nm")
    assert recorded(config).limits.off_axis_nm == 0.0
    with pytest.raises(ValidationError, match="off_axis_nm"):
        type(small(4)).model_validate(config)
