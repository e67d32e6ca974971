"""`adaptem metadata`: what a file says, for a person and for a program."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from console_helpers import adaptem, refused, strict


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.ones((16, 24), np.float32))
        mrc.voxel_size = 2.5
    text = "Voltage = 200\nIntensity = 0.4\n[ZValue = 0]\nStagePosition = -1.5 2.25\nExposureDose = 0\n"
    Path(f"{path}.mdoc").write_text(text, encoding="utf-8")
    return path


def test_a_person_sees_values_and_where_they_come_from(file: Path) -> None:
    told = adaptem("metadata", file, "--all").stdout
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "grid.mrc: image 16 × 24 (mrc)" in lines
    assert "pixel_size_nm 0.25 voxel size 2.5 Å" in lines
    assert "x_nm -1500 StagePosition/0 -1.5 um" in lines
    assert {"not told: 35 quantities; not understood: 2 tags", "Intensity", "ExposureDose"} <= set(lines)


def test_a_program_gets_nexus_names_in_si(file: Path) -> None:
    _, beside = strict(adaptem("metadata", file, "--json").stdout)
    assert beside["values"]["x_nm"] == -1500
    assert beside["values"]["z_nm"] is None
    position = beside["nexus"]["/entry/measurement/event/instrument/stage/position"]
    assert position == {"value": [-1.5e-6, 2.25e-6, None], "unit": "m"}
    assert "stage/position = (-1.5e-06, 2.25e-06, None) m" in adaptem("metadata", file, "--nexus").stdout


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.xyzzy").write_bytes(b"1")
    assert "a.xyzzy" in refused(adaptem("metadata", tmp_path / "a.xyzzy"))
    assert "no such file" in refused(adaptem("metadata", tmp_path / "b.mrc"))
