"""The command stays light: help without numerics, a planner's night without any learning stack."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from architecture_sources import ROOT
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {"numpy", "scipy", "skimage", "matplotlib", "zarr", "gymnasium", "torch", "ray", "mlflow", "pandas", "PIL"}
SLOW_TO_START = {"pydantic", "yaml"}
"""Not for the first help; typer itself needs pydantic for a command's."""

HELP = """
import json, sys
from console.main import main
sys.argv = ["adaptem", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print("\\n" + json.dumps(sorted(sys.modules)))
"""

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "ray", "mlflow", "safetensors", "hyperspy", "rsciio"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from console.main import main
main()
"""


def python(code: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize("words", [["--help"], ["survey", "--help"], ["resume", "--help"], ["doctor", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    done = python(HELP, json.dumps(words))
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert sorted(loaded & (HEAVY | SLOW_TO_START if words == ["--help"] else HEAVY)) == []


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a lattice, 512 × 512 pixels, and one place where the lattice is broken."""
    rows, columns = np.mgrid[:512, :512]
    rng = np.random.default_rng(11)
    image = 120 + 40 * np.cos(rows * 0.7) * np.cos(columns * 0.7) + rng.normal(0, 6, (512, 512))
    image[300:330, 200:230] = 120 + rng.normal(0, 30, (30, 30))
    path = tmp_path_factory.mktemp("film") / "film.png"
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_a_planner_surveys_a_recorded_image_without_torch_ray_or_mlflow(film: Path, tmp_path: Path) -> None:
    settings = [f"instrument.image={film}", "instrument.pixel_size_nm=0.1", "agent.kind=planner"]
    sets = [word for setting in settings for word in ("--set", setting)]
    done = python(WITHOUT, "survey", "configs/survey_replay.yaml", *sets, "--out", str(tmp_path / "night"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "night" / "report.html").is_file()
    report = json.loads((tmp_path / "night" / "report.json").read_text(encoding="utf-8"))
    assert report


def test_the_blocker_blocks() -> None:
    done = python(WITHOUT.replace("from console.main import main\nmain()", "import torch"))
    assert "No module named 'torch'" in done.stderr
