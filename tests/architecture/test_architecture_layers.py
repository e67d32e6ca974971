"""The contracts of pyproject.toml hold, and would fail if they were broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from architecture_sources import FOLDERS, ROOT


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("house")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("configs", "import instruments.types", "points down only"),
        ("envs", "import surveys.settings", "points down only"),
        ("envs", "import models.gp", "points down only"),
        ("archive", "import agent.protocol", "points down only"),
        ("surveys", "import ray", "Ray and MLflow"),
        ("console", "def late():\n    import mlflow", "Ray and MLflow"),
        ("archive", "import torch.nn", "No torch"),
        ("instruments", "import torch", "No torch"),
        ("envs", "import numba", "Numba and xraydb"),
        ("instruments", "import temscript", "vendor"),
        ("review", "import surveys.runner", "Review has no way"),
        ("surveys", "import hyperspy.api", "Copyleft"),
    ],
)
def test_breaking_one_is_noticed(copy: Path, where: str, line: str, contract: str) -> None:
    planted = copy / where / "planted.py"
    planted.write_text(line + "\n")
    try:
        done = lint_imports(copy)
    finally:
        planted.unlink()
    assert done.returncode != 0
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout


def test_the_simulator_may_use_torch(copy: Path) -> None:
    planted = copy / "instruments" / "simulated" / "planted.py"
    planted.write_text("import torch\n")
    try:
        assert "No torch" not in "".join(line for line in lint_imports(copy).stdout.splitlines() if "BROKEN" in line)
    finally:
        planted.unlink()
