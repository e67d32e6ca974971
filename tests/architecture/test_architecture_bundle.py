"""The offline bundle installs where there is no package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from architecture_sources import ROOT, published


def run(*command: str | Path, cwd: Path, **changed: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **changed}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_bundle_installs_and_runs_without_an_index(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for path in published():
        target = clone / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    made = tmp_path / "bundle"
    run("make", "-o", ".venv/core", "bundle", f"BIN={Path(sys.executable).parent}", f"BUNDLE={made}", cwd=clone)
    assert not (clone / "build").exists()

    # A machine without an index: pip's own settings point nowhere.
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9", "PYTHON": sys.executable}
    run(made / "install.sh", tmp_path / "env", cwd=tmp_path, **offline)
    adaptem = tmp_path / "env" / "bin" / "adaptem"
    assert "Usage" in run(adaptem, "--help", cwd=tmp_path)
    run(adaptem, "survey", made / "configs" / "survey_demo.yaml", "--out", tmp_path / "night", cwd=tmp_path)
    assert (tmp_path / "night" / "report.html").is_file()
