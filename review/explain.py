"""Why the agent did what it did at one step, from what it wrote down then."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from archive.folder import read_meta
from archive.rows import Rows, open_read_only
from envs.step import Step
from review.words import decider

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Explanation:
    """One step's decision and what came of it."""

    step: Step

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self.step)

    def as_table(self) -> Table:
        """The choice and the next best, side by side; the chosen one is marked."""
        step, decision = self.step, self.step.decision
        table = Table(title=f"step {step.number} of {step.specimen}: {_deed(step)}", title_justify="left")
        for column in ("", "candidate", "predicted interest", "uncertainty", "cost (s)", "probability"):
            table.add_column(column, justify="left" if column in ("", "candidate") else "right")
        for candidate in decision.candidates:
            table.add_row(
                "→" if candidate.action == decision.action else "",
                candidate.label,
                f"{candidate.value:.3g}",
                f"{candidate.uncertainty:.2g}",
                f"{candidate.cost_s:.1f}",
                f"{candidate.probability:.2f}",
            )
        return table

    def as_words(self) -> str:
        """Its reason, who decided, what was found."""
        decision = self.step.decision
        policy = f" ({decision.policy})" if decision.policy else ""
        lines = [
            f"reason: {decision.reason or 'none was given'}",
            f"decided by: {decider(decision)}{policy}",
        ]
        known = [value for value in self.step.score.interest if math.isfinite(value)] if self.step.score else []
        if known:
            cells = f", the largest of {len(known)} places" if len(known) > 1 else ""
            lines.append(f"interest found: {max(known):.3g}{cells}")
        elif self.step.score:
            lines.append("interest found: not known yet, too little of this specimen had been seen")
        return "\n".join(lines)


def explanation(folder: Path, number: int, specimen: str | None = None) -> Explanation | None:
    """The explanation of a step, or None where there is no such step. Raises FolderError, JournalError."""
    read_meta(folder)  # says plainly where there is no survey
    steps = Rows(open_read_only(folder / "journal.sqlite")).steps(specimen)
    return next((Explanation(step) for step in steps if step.number == number), None)


def _deed(step: Step) -> str:
    what = step.skill or (f"{step.look} of target {step.target}" if step.look else str(step.kind))
    return f"{what}, failed: {step.fault.message}" if step.fault else what
