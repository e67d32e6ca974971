"""`adaptem calibrate`: from a config to a file that the next night reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from console_helpers import adaptem, refused, strict

from instruments.clock import SimulatedClock
from instruments.drivers import registry
from instruments.types import StagePosition

if TYPE_CHECKING:
    from pathlib import Path

TURNED = {
    "name": "turned",
    "seed": 5,
    "instrument": {"kind": "simulated", "stage": {"turned_deg": 198.0, "mirrored": True, "approach": False}},
    "specimens": [{"name": "a", "area": {"width_nm": 2048, "height_nm": 2048}}],
    "looks": {
        "overview": {"sites": 4, "shape": [192, 192], "dwell_us": 3},
        "detail": {"field_of_view_nm": 200, "shape": [128, 128]},
    },
    "budget": {"hours": 0.5, "electrons": 3e10},
    "limits": {
        "backlash_nm": 150,
        "stage_uncertainty_nm": 15,
        "max_current_pA": 60,
        "max_fluence_e_per_A2": 1500,
    },
}


def config(folder: Path, **changes: Any) -> Path:
    path = folder / "turned.yaml"
    path.write_text(yaml.safe_dump({**TURNED, **changes}), encoding="utf-8")
    return path


def calibrated(folder: Path) -> Path:
    block: dict[str, Any] = {**TURNED["instrument"], "calibration": str(folder / "stage.yaml")}
    return config(folder, instrument=block)


def test_it_is_measured_kept_read_and_checked(tmp_path: Path) -> None:
    told = adaptem("calibrate", config(tmp_path), "--out", tmp_path / "stage.yaml", "--repeats", "2")
    assert told.exit_code == 0, told.output
    assert "a move that is foretold" in told.stdout
    assert "mirrored" in told.stdout
    assert (tmp_path / "stage.png").read_bytes().startswith(b"\x89PNG")

    path = calibrated(tmp_path)
    settings = registry.parse(yaml.safe_load(path.read_text(encoding="utf-8"))["instrument"])
    scope = registry.open_microscope(settings, seed=5, clock=SimulatedClock())
    assert scope.move(StagePosition(x_nm=100.0)).achieved.x_nm is not None

    held = adaptem("calibrate", path, "--check", "--json")
    assert held.exit_code == 0, held.output
    assert strict(held.stdout)["off_nm"] < 20.0
    listed = strict(adaptem("instruments", "--json", "--config", path).stdout)[-1]
    assert listed["calibrated"].startswith("yes, of 20")

    again = adaptem("calibrate", path, "--repeats", "2", "--json")  # into the file that the config names
    assert again.exit_code == 0, again.output
    assert strict(again.stdout)["file"] == str(tmp_path / "stage.yaml")

    path.write_text(path.read_text(encoding="utf-8").replace("198.0", "150.0"), encoding="utf-8")
    assert "foretold" in refused(adaptem("calibrate", path, "--check"), code=4)


def test_what_needs_no_calibration_says_so(root: Path) -> None:
    settings = ["--set", "instrument={kind: remote, port: 1, token_file: none, name: titan}"]
    line = refused(adaptem("calibrate", root / "configs" / "survey_demo.yaml", *settings), code=4)
    assert "remote speaks in the image's axes already" in line
