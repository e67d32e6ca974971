"""What was measured of an instrument reaches its driver, or is refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from configs.load import ConfigError, dump
from instruments.calibration import Calibration, applied, missing
from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.errors import NotCalibrated
from instruments.types import StagePosition

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TURNED = ((0.0, 1.0), (1.0, 0.0))


def stored(folder: Path, **changes: Any) -> Path:
    """A calibration of a simulated stage that is turned by a right angle and mirrored."""
    entry = {"measured_at": NOW, "how": "by moves", "voltage_kV": 200.0}
    stage = {**entry, "matrix": TURNED, "std": 0.001, "move_nm": 100.0, "check_nm": 0.4}
    about = {"instrument": "simulated", "adaptem": "0", "good_until": datetime.now(UTC) + timedelta(days=1)}
    path = folder / "stage.yaml"
    path.write_text(dump(Calibration.model_validate({**about, "stage_to_image": stage, **changes})), encoding="utf-8")
    return path


def simulated(path: Path | None, **changes: Any) -> Any:
    block = {"kind": "simulated", "stage": {"turned_deg": -90.0, "mirrored": True}, **changes}
    return registry.parse(block if path is None else {**block, "calibration": str(path)})


def test_a_driver_reads_it_at_opening(tmp_path: Path) -> None:
    scope = registry.open_microscope(simulated(stored(tmp_path)), seed=1, clock=SimulatedClock())
    reached = scope.move(StagePosition(x_nm=500.0, y_nm=-200.0)).achieved
    assert reached.x_nm == pytest.approx(500.0, abs=4.0)
    assert reached.y_nm == pytest.approx(-200.0, abs=4.0)


def test_without_it_a_turned_stage_does_not_move_in_x_and_y() -> None:
    scope = registry.open_microscope(simulated(None), seed=1, clock=SimulatedClock())
    with pytest.raises(NotCalibrated, match="stage_to_image"):
        scope.move(StagePosition(x_nm=500.0))
    assert scope.move(StagePosition(z_nm=100.0)).achieved.z_nm == pytest.approx(100.0, abs=1.0)


def test_one_that_is_too_old_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, good_until=NOW)
    with pytest.raises(NotCalibrated, match=r"measured on 22 November 2026 .* measure again"):
        applied(simulated(path), NOW + timedelta(days=1))
    assert applied(simulated(path), NOW - timedelta(days=1))[0].stage_to_image == TURNED


def test_one_of_another_instrument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotCalibrated, match=r"measured on jeol .*this instrument is simulated"):
        applied(simulated(stored(tmp_path, instrument="jeol")), NOW)


def test_one_of_another_high_tension_is_refused(tmp_path: Path) -> None:
    settings = simulated(stored(tmp_path), column={"voltage_kV": 80.0})
    with pytest.raises(NotCalibrated, match="measured at 200 kV, the column stands at 80 kV"):
        registry.open_microscope(settings, seed=1, clock=SimulatedClock())


def test_what_stands_in_the_config_as_well_is_refused(tmp_path: Path) -> None:
    settings = simulated(stored(tmp_path), stage_to_image=TURNED)
    with pytest.raises(ConfigError, match=r"stage_to_image stands in the config and in .*: leave it out of one"):
        applied(settings, NOW)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("instrument: simulated\nadaptem: x\n", "good_until: missing"),
        ("!!python/object/apply:os.system ['true']", "adaptem calibrate"),
        ("a: [1", "adaptem calibrate"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        applied(simulated(path), NOW)
    with pytest.raises(ConfigError, match="no such file"):
        applied(simulated(tmp_path / "none.yaml"), NOW)


def test_a_matrix_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("1.0", "3.0"), encoding="utf-8")
    with pytest.raises(ConfigError, match="determinant -9"):
        applied(simulated(path), NOW)


def test_entries_are_named_after_the_settings_they_fill(tmp_path: Path) -> None:
    entry = {"measured_at": NOW, "how": "by moves"}
    view = {**entry, "asked_nm": 500.0, "found_nm": 510.0, "std_nm": 1.0}
    focus = {**entry, "nm_per_unit": -4.5, "std_nm_per_unit": 0.1}
    path = stored(
        tmp_path,
        instrument="thermofisher",
        focus=focus,
        fields_of_view=[{**view, "at_1x_nm": 1e8}, {**view, "at_1x_nm": 2e8}],
    )
    bare = registry.parse({"kind": "thermofisher", "calibration": str(path)})
    assert missing(bare) == ["stage_to_image", "field_of_view_nm_at_1x", "defocus_nm_per_unit"]
    known = applied(bare, NOW)[0]
    assert missing(known) == []
    assert (known.field_of_view_nm_at_1x, known.defocus_nm_per_unit) == (1.5e8, -4.5)
