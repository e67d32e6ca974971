"""On an instrument a survey begins only where every interlock reads, or a person answers for it by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from survey_samples import small

from archive.reader import SurveyReader
from benchmarks.benches import served
from configs.load import ConfigError
from instruments.drivers.served import FIELD_OF_VIEW_NM_AT_1X
from instruments.errors import NotCalibrated
from instruments.latches import waived_of
from instruments.types import Optics, Reading, StagePosition, State
from surveys.guarding import waived
from surveys.night import open_night

if TYPE_CHECKING:
    from pathlib import Path

WHY = "Ada looks at the gun every hour"
TOLD = State(
    time_s=0.0,
    stage=StagePosition(),
    optics=Optics(voltage_kV=200.0),
    blanked=True,
    valve_open=True,
    vacuum=Reading(value=1.0, unit="ready", age_s=0.0),
)
"""All but the emission."""
NOTHING = State(time_s=0.0, stage=StagePosition(), optics=Optics(), blanked=True)


def settings(instrument: dict[str, Any], **changes: Any) -> Any:
    return small(4, instrument=instrument, current_pA=None, **changes)


def test_what_does_not_read_and_is_not_waived_is_named_with_what_to_do() -> None:
    column = {"kind": "thermofisher"}
    with pytest.raises(ConfigError, match=r"limits.waived.emission: thermofisher tells nothing.*\(standard scripting"):
        waived(settings(column), lambda: TOLD)
    with pytest.raises(ConfigError) as caught:
        waived(settings(column), lambda: NOTHING)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        f"limits.waived.{name}" for name in ("emission", "high_tension", "vacuum", "valve")
    ]


def test_a_waiver_that_is_not_needed_is_not_told() -> None:
    reasons = {"emission": WHY, "vacuum": WHY}
    assert waived(settings({"kind": "thermofisher"}, limits={"waived": reasons}), lambda: TOLD) == {"emission": WHY}


def unasked() -> State:
    raise AssertionError("nobody needs to read it")


@pytest.mark.parametrize("changes", [{"instrument": {"kind": "simulated"}}, {"autonomy": "advise"}])
def test_a_world_without_a_beam_and_an_adviser_need_none(changes: dict[str, Any]) -> None:
    assert waived(settings(**({"instrument": {"kind": "thermofisher"}} | changes)), unasked) == {}


def test_a_night_is_refused_or_writes_down_who_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    with served("instruments.drivers.served", "--seed", "3") as ports:
        column = {"kind": "thermofisher", **ports, "field_of_view_nm_at_1x": FIELD_OF_VIEW_NM_AT_1X}
        with pytest.raises(NotCalibrated, match=r"stage_to_image of this thermofisher is not known.*adaptem calibrate"):
            open_night(settings(column), tmp_path / "refused")
        column["stage_to_image"] = [[1.0, 0.0], [0.0, 1.0]]
        with pytest.raises(ConfigError, match=r"limits\.waived\.emission"):
            open_night(settings(column), tmp_path / "refused")
        assert not (tmp_path / "refused").exists()
        night = open_night(settings(column, limits={"waived": {"emission": WHY}}), tmp_path / "night")
        night.close()
    with SurveyReader(tmp_path / "night") as reader:
        (event,) = reader.events("waived")
        assert (event.message, event.data["interlock"]) == (f"emission does not read: {WHY}", "emission")
    assert waived_of("thermofisher") == {"emission": WHY}


def test_no_config_that_comes_with_adaptem_waives_an_interlock(root: Path) -> None:
    configs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((root / "configs").glob("*.yaml"))]
    assert configs
    assert [data["name"] for data in configs if data.get("limits", {}).get("waived")] == []
