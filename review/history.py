"""What the library says of a survey's flags: how unusual each is among earlier surveys, and the cases nearest to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def histories_of(folder: Path) -> dict[tuple[str, int], str]:
    """By specimen and rank, in words; empty where the library knew too little, or was not asked."""
    try:
        rows = json.loads((folder / "history.json").read_text())
        return {(str(each["specimen"]), int(each["rank"])): str(each["told"])
                for each in rows if each["p_value"] is not None}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}
