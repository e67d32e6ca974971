"""What stands out of a survey that still runs: by the score that each frame got as it came."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from envs.step import Kind
from surveys.places import trees_of

if TYPE_CHECKING:
    from archive.folder import Meta
    from archive.rows import Rows

MOST = 3


def unusual_so_far(meta: Meta, rows: Rows, specimen: str) -> str | None:
    """The places of a specimen with the highest scores, in words; None where no frame could be judged yet.

    A frame is scored when it comes, against what the survey had shown until then: flags are judged anew at the end,
    against all of it, at a set rate of false ones. Controls are not scored.
    """
    latest: dict[int, tuple[float, str]] = {}
    for step in rows.steps(specimen):
        if step.kind is Kind.LOOK and step.score is not None and step.look is not None:
            for cell, interest in zip(step.score.cells, step.score.interest, strict=True):
                if math.isfinite(interest):
                    latest[cell] = interest, step.look
    highest = sorted(latest, key=lambda cell: (-latest[cell][0], cell))[:MOST]
    if not highest:
        return None
    tree = trees_of(meta.config)[specimen]
    return "; ".join(
        f"x {tree[cell].x_nm:.0f} nm, y {tree[cell].y_nm:.0f} nm: score {latest[cell][0]:.1f} ({latest[cell][1]})"
        for cell in highest
    )
