"""Which adaptem this is, to the commit where it runs from its source."""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[1]


def version() -> str:
    """Of the installed package; "source" where none is installed."""
    try:
        return metadata.version("adaptem")
    except metadata.PackageNotFoundError:
        return "source"


def commit() -> str | None:
    """Of the repository that this code runs from, ``-dirty`` where it was changed since; None where there is none."""
    git = shutil.which("git")
    if git is None or not (_SOURCE / ".git").exists():
        return None
    asked = [git, "-C", str(_SOURCE), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or None
