"""What a survey is doing now, from its record alone."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from archive.folder import Meta, holder, read_meta
from archive.rows import Rows, open_read_only
from review.summary import summarise
from review.unusual import unusual_so_far
from surveys.tracking_rows import ended, is_followed, read_rows

if TYPE_CHECKING:
    from pathlib import Path


def status_of(folder: Path) -> dict[str, Any]:
    """State, place, counts, dose and last fault, by name. Raises FolderError where there is no survey, JournalError."""
    meta = read_meta(folder)
    if is_followed(folder):
        return _followed(folder, meta)
    process, health = holder(folder), _health(folder)
    with closing(open_read_only(folder / "journal.sqlite")) as journal:
        content = summarise(meta, Rows(journal), running=process is not None)
        waiting = Rows(journal).open_proposal() if process is not None else None
        present = content["specimens"][-1] if content["specimens"] else None
        unusual = unusual_so_far(meta, Rows(journal), present) if process is not None and present is not None else None
    if waiting is not None and health.get("state") == "running":
        health = {**health, "state": "waiting for a person"}  # the journal knows it some seconds before
    done, ended, faults = content["done"], content["ended"], content["faults"]
    return {
        "survey": content["survey"],
        "state": _state(process, ended, health),
        "asks": None if waiting is None else f"proposal {waiting.data['proposal']}: {waiting.message}",
        "last_heard_s": None if process is None else health.get("age_s"),
        "specimen": present,
        "steps": done["steps"],
        "overview_looks": done["overview"],
        "detail_looks": done["detail"],
        "sites_in_detail_ratio": done["sites_in_detail"] / content["plan"]["sites"],
        "hours": done["hours"],
        "electrons": done["electrons"],
        "electrons_of_budget_ratio": done["electrons"] / content["plan"]["electrons"],
        "flags": len(content["flags"]) if content["flags"] or ended else "at the end",
        "most_unusual": unusual,
        "faults": len(faults),
        "last_fault": faults[-1]["message"] if faults else None,
        "last_fault_kind": faults[-1]["data"].get("error", "other") if faults else None,
        "health": health,
    }


def _followed(folder: Path, meta: Meta) -> dict[str, Any]:
    """The same of a specimen that is followed."""
    rows, process = read_rows(folder), holder(folder)
    last: dict[str, Any] = rows[-1] if rows else {"ended_s": 0.0, "probabilities": {}, "spent": 0.0}
    likeliest = max(last["probabilities"].items(), key=lambda each: each[1], default=None)
    faults = [row["fault"] for row in rows if row["fault"]]
    # rows of the first version tell neither
    spent = last.get("spent", sum(row["electrons"] for row in rows))
    passed_s = last.get("ended_s", last.get("t_s", 0.0))
    if process is not None:
        state = f"running (process {process})"
    else:
        state = "ended" if ended(folder) else "stopped or cut off; `adaptem resume` goes on"
    return {
        "survey": folder.name,
        "state": state,
        "steps": len(rows),
        "looks": sum(row["look"] is not None for row in rows),
        "hours": passed_s / 3600.0,
        "time_passed_ratio": min(passed_s / meta.config["horizon_s"], 1.0),
        "electrons": spent,
        "electrons_of_budget_ratio": spent / meta.config["electrons"],
        "likeliest": None if likeliest is None else f"{likeliest[0]} {likeliest[1]:.2f}",
        "conditions": ", ".join(f"{name} {value:.4g}" for name, value in last.get("held", {}).items()) or None,
        "faults": len(faults),
        "last_fault": faults[-1] if faults else None,
    }


def _state(process: int | None, ended: dict[str, Any] | None, health: dict[str, Any]) -> str:
    if process is not None:
        return f"{health.get('state', 'running')} (process {process})"
    return (
        f"ended: {ended['message']}"
        if ended
        else "cut off; `adaptem resume` goes on, `adaptem end` says that it never will"
    )


def _health(folder: Path) -> dict[str, Any]:
    """What the process last wrote about itself, and how long ago; a silent one hangs."""
    path = folder / "health.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        age_s = max(time.time() - path.stat().st_mtime, 0.0)
    except (OSError, ValueError):
        return {}
    return {**found, "age_s": round(age_s, 1)} if isinstance(found, dict) else {}
