from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
from architecture_sources import ROOT

import adaptem
from instruments.types import Axis, Exposure, Frame, Optics, Signal, StagePosition

if TYPE_CHECKING:
    from pathlib import Path


def test_importing_it_loads_nothing() -> None:
    code = "import sys, adaptem; print(len({'numpy', 'envs', 'archive'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


def test_make_env_gives_equal_worlds_for_equal_seeds() -> None:
    first, _ = adaptem.make_env(seed=3).reset(seed=3)
    second, _ = adaptem.make_env(seed=3).reset(seed=3)
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_plot_shows_one_panel_for_each_detector() -> None:
    axes = (Axis("row", 0.5, "nm"), Axis("column", 0.5, "nm"))
    burst = (Axis("frame", 1.0, "s"), *axes)
    frame = Frame(
        exposure=Exposure(field_of_view_nm=8.0, shape=(12, 16), dwell_us=1.0),
        signals={
            "haadf": Signal(np.arange(192.0).reshape(12, 16), axes),
            "bf": Signal(np.stack([np.zeros((12, 16)), np.full((12, 16), 4.0)]), burst),
        },
        stage=StagePosition(),
        optics=Optics(),
        start_s=0.0,
        end_s=1.0,
        electrons=1.0,
    )
    panels = [axis for axis in adaptem.plot(frame).axes if axis.get_images()]
    assert [panel.get_title() for panel in panels] == ["haadf", "bf"]
    assert panels[0].get_xlim() == (-4.0, 4.0)
    assert panels[0].get_ylim() == (3.0, -3.0)
    assert np.all(panels[1].get_images()[0].get_array() == 2.0)


def test_a_hidden_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").touch()
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import adaptem; adaptem.make_env()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "'envs'" in done.stderr and str(tmp_path) in done.stderr and "environment of its own" in done.stderr
    assert adaptem.shadowed() == {}
