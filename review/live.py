"""What a survey has done since a moment, as a browser is told it: steps, remarks, requests, each once and in order.

Random controls are told without their place, so that whoever watches can still judge them blind. Once the survey has
ended nothing of decisions is told to a person who has places left to judge.
"""

from __future__ import annotations

import math
import re
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from archive.rows import Rows, open_read_only
from envs.step import Kind, Step
from review.words import decider
from surveys.places import trees_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archive.folder import Meta

News: TypeAlias = "tuple[Cursor, str, dict[str, Any]]"

AT_ONCE = 200
CURSOR = r"[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,18}"
"""A cursor as text: its numbers fit SQLite's."""
MOST_STEPS = 2000
"""That a page is told when it opens."""
_CANDIDATES = 5
_OF_NO_PLACE = frozenset({"start", "resume", "end", "calibration", "learned", "earlier", "waived", "cleared"})
"""Remarks that never tell of a place; of a fault only its kind does not. Of others, also new ones, nothing is said."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far somebody has read: the last row of each table. As text it is the id of a server-sent event.

    >>> Cursor.of("12-4-1"), str(Cursor(12, 4, 1))
    (Cursor(step=12, event=4, request=1), '12-4-1')
    """

    step: int = 0
    event: int = 0
    request: int = 0

    @classmethod
    def of(cls, text: str) -> Cursor:
        """From the beginning where it is none."""
        return cls(*map(int, text.split("-"))) if re.fullmatch(CURSOR, text) else cls()

    def __str__(self) -> str:
        return f"{self.step}-{self.event}-{self.request}"


def news(folder: Path, since: Cursor, *, hidden: bool) -> list[News]:
    """What came after ``since``, at most ``AT_ONCE`` steps of it; each with the cursor that has read up to it.

    ``hidden``: nothing that tells of places or of why they were chosen. Raises JournalError.
    """
    told: list[News] = []
    with closing(open_read_only(folder / "journal.sqlite")) as database:
        rows = Rows(database)
        for event in rows.events():
            if event.id > since.event:
                since = replace(since, event=event.id)
                if not hidden or event.kind in _OF_NO_PLACE | {"fault"}:
                    message = str(event.data.get("error")) if hidden and event.kind == "fault" else event.message
                    body = {"kind": event.kind, "message": message, "time_s": event.time_s}
                    told.append((since, "event", body | {"proposal": event.data.get("proposal")}))
        for seq, step in rows.steps_after(since.step, AT_ONCE):
            since = replace(since, step=seq)
            told.append((since, "step", {"seq": seq} | told_of(step, hidden=hidden)))
        for request in rows.requests():
            if request.id > since.request:
                since = replace(since, request=request.id)
                body = {"id": request.id, "kind": request.kind, "person": request.person}
                told.append((since, "request", body))
    return told


def latest(folder: Path, *, hidden: bool) -> list[News]:
    """All of it so far, of steps no more than ``MOST_STEPS``. Raises JournalError."""
    with closing(open_read_only(folder / "journal.sqlite")) as database:
        since = Cursor(step=max(Rows(database).step_count() - MOST_STEPS, 0))
    told: list[News] = []
    while found := news(folder, since, hidden=hidden):
        told += found
        since = found[-1][0]
    return told


def told_of(step: Step, *, hidden: bool) -> dict[str, Any]:
    """What may be told of a step."""
    body: dict[str, Any] = {
        "number": step.number, "specimen": step.specimen, "kind": step.kind.value, "look": step.look,
        "skill": step.skill, "start_s": step.start_s, "end_s": step.end_s, "electrons": step.electrons,
        "fault": None if step.fault is None else f"{step.fault.error}: {step.fault.message}",
    }  # fmt: skip
    if hidden or step.kind is Kind.CONTROL:
        return body | {"fault": None if step.fault is None else step.fault.error}
    decision, shown, chosen = step.decision, step.shown, step.decision.action
    known = [value for value in step.score.interest if math.isfinite(value)] if step.score else []
    return body | {
        "target": step.target,
        "stage": _stage(step),
        "exposure": None if shown is None else shown.exposure.id,
        "decided_by": decider(decision),
        "reason": decision.reason,
        "interest": max(known) if known else None,
        "candidates": [
            {"label": one.label, "value": one.value, "uncertainty": one.uncertainty, "chosen": one.action == chosen}
            for one in decision.candidates[:_CANDIDATES]
        ],
    }  # fmt: skip


def _stage(step: Step) -> dict[str, float | None] | None:
    """Where the beam was: of the exposure that shows the target, else where the stage came to."""
    place = step.shown.stage if step.shown is not None else step.stage.achieved if step.stage is not None else None
    return None if place is None else {"x_nm": place.x_nm, "y_nm": place.y_nm}


def requests_of(folder: Path) -> list[dict[str, Any]]:
    """What people asked last, and what became of it. Raises JournalError."""
    with closing(open_read_only(folder / "journal.sqlite")) as database:
        return [
            {
                "id": row.id,
                "kind": row.kind,
                "proposal": row.data.get("proposal"),
                "person": row.person,
                "state": row.state,
                "reply": row.reply,
            }
            for row in Rows(database).requests()[-8:]
        ]


def without_places(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of the present, for who must not know of places: of the last fault its kind, of health nothing."""
    return {**told, "asks": None, "health": {}, "last_fault": told["last_fault_kind"], "most_unusual": None}


def left_of(meta: Meta, folder: Path, specimen: str | None) -> dict[str, float | None]:
    """Time and electrons that the budget of the present specimen still has, and when it may end at the latest."""
    budget: Mapping[str, Any] = meta.config["budget"]
    start_s, end_s, spent = math.inf, -math.inf, 0.0
    with closing(open_read_only(folder / "journal.sqlite")) as database:
        for step in Rows(database).steps(specimen) if specimen is not None else ():
            start_s, end_s = min(start_s, step.start_s), max(end_s, step.end_s)
            spent += step.electrons
    used_s = max(end_s - start_s, 0.0) if math.isfinite(start_s) else 0.0
    return {
        "time_left_s": max(float(budget["hours"]) * 3600.0 - used_s, 0.0),
        "electrons_left_ratio": max(1.0 - spent / float(budget["electrons"]), 0.0),
    }


def site_at(meta: Meta, specimen: str, x_nm: float, y_nm: float) -> int:
    """The site nearest to a place. Raises KeyError for no such specimen."""
    tree = trees_of(meta.config)[specimen]
    leaves = tree.leaves
    off = (tree.x_nm[leaves] - x_nm) ** 2 + (tree.y_nm[leaves] - y_nm) ** 2
    return int(leaves[int(off.argmin())])
