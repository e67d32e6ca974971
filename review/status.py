"""What a survey is doing now, from its record alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archive.folder import holder, read_meta
from archive.rows import Rows, open_read_only
from review.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path


def status_of(folder: Path) -> dict[str, Any]:
    """State, place, counts, dose and last fault, by name. Raises FolderError where there is no survey."""
    content = summarise(read_meta(folder), Rows(open_read_only(folder / "journal.sqlite")))
    process, health, done = holder(folder), _health(folder), content["done"]
    ended, faults = content["ended"], content["faults"]
    return {
        "survey": content["survey"],
        "state": _state(process, ended, health),
        "specimen": content["specimens"][-1] if content["specimens"] else None,
        "steps": done["steps"],
        "overview_looks": done["overview"],
        "detail_looks": done["detail"],
        "hours": round(done["hours"], 3),
        "electrons": done["electrons"],
        "flags": len(content["flags"]) if content["flags"] or ended else "at the end",
        "faults": len(faults),
        "last_fault": faults[-1]["message"] if faults else "none",
        "health": health,
    }


def _state(process: int | None, ended: dict[str, Any] | None, health: dict[str, Any]) -> str:
    if process is not None:
        return f"{health.get('state', 'running')} (process {process})"
    return f"ended: {ended['message']}" if ended else "cut off; `adaptem resume` goes on"


def _health(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "health.json").read_text())
    except (OSError, ValueError):
        return {}
    return found
