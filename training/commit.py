"""Which code trained a network: kept with its weights."""

from __future__ import annotations

import shutil
import subprocess


def commit() -> str:
    """Of the repository in the working directory; "unknown" where there is none."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    found = subprocess.run([git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or "unknown"
