"""`adaptem instruments`, and `doctor` on a back end of other people's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from console_helpers import adaptem, strict

from instruments.checks import READS
from instruments.latches import latch_file
from instruments.ledger_sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

BEADS = {
    "kind": "micromanager",
    "properties": {"Camera": {"Mode": "Fluorescent Beads"}},
    "unit_nm": 1.0,
    "x_nm": [-5000.0, 5000.0],
    "y_nm": [-5000.0, 5000.0],
    "defocus_nm": [-500.0, 500.0],
    "stage_to_image": [[-1.0, 0.0], [0.0, -1.0]],
}


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Path:
    data = yaml.safe_load((root / "configs" / "survey_backends.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "beads.yaml"
    path.write_text(yaml.safe_dump({**data, "instrument": BEADS}), encoding="utf-8")
    return path


def test_instruments_are_listed_with_what_they_need_and_answer(config: Path, tmp_path: Path) -> None:
    far = tmp_path / "far.yaml"
    data = yaml.safe_load(config.read_text(encoding="utf-8"))
    far.write_text(yaml.safe_dump({**data, "instrument": {"kind": "thermofisher", "port": 1}}), encoding="utf-8")
    result = adaptem("instruments", "--json", "--config", str(config), "--config", str(far))
    assert result.exit_code == 0, result.output
    rows = {row["instrument"]: row for row in strict(result.stdout)}
    assert {"simulated", "replay", "detwin", "de", "nion", "thermofisher", "micromanager"} <= set(rows)
    assert rows["serialem"]["installed"] == "no: it comes with SerialEM (its folder PythonModules)"
    assert rows["autoscript"]["installed"] == "no: it comes with Thermo Fisher's installer of the AutoScript TEM client"
    assert rows["nion"]["installed"].startswith("yes, nionswift-usim ")
    assert rows["beads.yaml"]["reachable"].startswith("yes")
    assert rows["beads.yaml"]["calibrated"] == "yes"
    assert rows["far.yaml"]["reachable"].startswith("no: temscript's server at 127.0.0.1:1 cannot be reached")
    assert rows["far.yaml"]["calibrated"] == "not stage_to_image, field_of_view_nm_at_1x, defocus_nm_per_unit"


def test_doctor_checks_a_back_end_and_tells_what_it_declares(config: Path) -> None:
    result = adaptem("doctor", "--instrument", "micromanager", "--config", str(config), "--defocus-nm", "20", "--json")
    found = {row["check"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 0, result.stdout
    assert found["focus responds"]["checked"]
    declared = {check: row["message"] for check, row in found.items() if not row["checked"]}
    assert list(declared) == [*(check for name, check in READS.items() if name != "blanker"), "a blanked beam is dark"]
    assert "shutter" in declared["a blanked beam is dark"]


def test_doctor_heeds_the_instruments_latches(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a config that only advises: whoever moves the stage goes by a guard that knows of the pole touch."""
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    latches = SqliteLedger(latch_file("simulated"))
    latches.latch("a pole touch")
    latches.close()
    data = yaml.safe_load((root / "configs" / "survey_demo.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "latched.yaml"
    path.write_text(yaml.safe_dump({**data, "guard": "process", "autonomy": "advise"}), encoding="utf-8")
    result = adaptem("doctor", "--instrument", "simulated", "--config", str(path), "--json")
    found = {row["check"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 1, result.stdout
    for check in ("read-back is true", "blank blanks", "stage and image agree"):
        assert not found[check]["ok"]
        assert "a pole touch" in found[check]["message"]
