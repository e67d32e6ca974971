"""What the README shows is run: every bash block that follows the line `<!-- run -->`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from architecture_sources import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run -->\n```bash\n(.*?)```", README, re.DOTALL)


@pytest.mark.skipif(not BLOCKS, reason="no block of the README is marked <!-- run --> yet")
@pytest.mark.parametrize("block", BLOCKS or [""], ids=lambda block: (block.splitlines() or ["none"])[0][:60])
def test_the_readmes_commands_run(block: str, tmp_path: Path) -> None:
    """In a folder of its own that shows the repository's configs, as a reader would have it after `make night`."""
    for shown in ("configs", "benchmarks", "docs", "Makefile"):
        (tmp_path / shown).symlink_to(ROOT / shown)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ADAPTEM_DATA": os.environ.get("ADAPTEM_DATA", str(ROOT.parent / "shared" / "data")),
    }
    command = ["bash", "-euo", "pipefail", "-c", block]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_readme_links_to_what_is_there() -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
