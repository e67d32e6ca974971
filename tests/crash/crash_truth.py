"""Reading a world's truth file while the world writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def rows_of(truth: Path) -> list[dict[str, Any]]:
    """Every whole row so far."""
    return [json.loads(line) for line in truth.read_text().splitlines() if line.endswith("}")]
