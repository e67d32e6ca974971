"""Progress of a night: a live line on a terminal, plain lines without one, JSON lines with ``--json``."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.table import Table

from console.exits import output, say, show
from review.words import length

if TYPE_CHECKING:
    from types import TracebackType

    from envs.step import Step
    from surveys.session import Progress

PLAIN_EVERY_S = 10.0


class Reporter:
    """Called after every step with what the runner knows."""

    def __init__(self, *, json_lines: bool) -> None:
        self._json = json_lines
        self._live = Live(console=output, refresh_per_second=4) if output.is_terminal and not json_lines else None
        self._last_s = float("-inf")
        self._last_fault = "none"
        self.without_agent = 0
        """Decisions that were the fallback's."""
        self.why_without = ""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            with suppress(OSError):  # the terminal is gone; the record is not
                self._live.stop()

    def __call__(self, step: Step, progress: Progress) -> None:
        if step.fault:
            self._last_fault = f"{step.fault.error} at step {step.number}: {step.fault.message}"
        if step.decision.decided_by == "fallback":
            self.without_agent += 1
            self.why_without = step.decision.reason
            self._last_fault = f"no agent's decision at step {step.number}: {step.decision.reason}"
        if self._json:
            show(_row(step, progress), line=True)
        elif self._live:
            with suppress(OSError):
                self._live.update(self._table(step, progress))
        elif time.monotonic() - self._last_s > PLAIN_EVERY_S:
            self._last_s = time.monotonic()
            say(
                f"step {step.number}  {_where(step)}  time left {_clock(progress.time_left_s)}  "
                f"dose {progress.electrons_ratio:.0%}  detail {progress.detail_looks}  last fault: {self._last_fault}"
            )

    def _table(self, step: Step, progress: Progress) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        table.add_row("where", f"{step.specimen}, step {step.number}: {_where(step)}")
        table.add_row("done", f"{progress.overview_looks} overview, {progress.detail_looks} detail looks")
        table.add_row("dose", f"{_bar(progress.electrons_ratio)} {progress.electrons_ratio:.0%} of the budget")
        table.add_row("time left", _clock(progress.time_left_s))
        table.add_row("last fault", self._last_fault)
        return table


def _row(step: Step, progress: Progress) -> dict[str, object]:
    return {
        "step": step.number,
        "specimen": step.specimen,
        "where": _where(step),
        "time_left_s": progress.time_left_s,
        "electrons_ratio": progress.electrons_ratio,
        "overview_looks": progress.overview_looks,
        "detail_looks": progress.detail_looks,
        "decided_by": step.decision.decided_by,
        "fault": step.fault.message if step.fault else None,
    }


def _where(step: Step) -> str:
    if step.skill:
        return step.skill
    if step.target is None:
        return str(step.kind)
    at = step.stage.achieved if step.stage else None
    place = f" ({length(at.x_nm)}, {length(at.y_nm)})" if at and at.x_nm is not None and at.y_nm is not None else ""
    return f"{step.look or step.kind} of target {step.target}{place}"


def _bar(ratio: float, width: int = 24) -> str:
    filled = min(int(ratio * width), width)
    return "━" * filled + "─" * (width - filled)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds % 3600 // 60):02d}:{int(seconds % 60):02d}"
