"""What a person asks of a running survey: rows that other processes write and the runner reads once a turn.

Asking needs no route to the instrument; whatever a request leads to, the guard still checks.
"""

from __future__ import annotations

import getpass
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from archive.errors import FolderError
from archive.folder import holder, read_meta
from archive.journal import Journal
from archive.recorder import SurveyRecorder
from archive.rows import RequestRow
from envs.actions import LookAt
from envs.step import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envs.survey_env import SurveyEnv

Wish: TypeAlias = Literal["pause", "resume", "stop", "skip", "look_here", "approve", "reject"]
WISHES: tuple[str, ...] = get_args(Wish)


def ask(folder: Path, kind: Wish, data: Mapping[str, object] | None = None, *, person: str | None = None) -> int:
    """Leave a request for the survey in ``folder``; returns its number.

    ``skip`` needs ``{"target": id}``, ``look_here`` needs ``{"x_nm": …, "y_nm": …}``; ``approve`` and ``reject`` need
    ``{"proposal": number}``. Raises FolderError where there is no survey, ValueError for an unknown kind.
    """
    if kind not in WISHES:
        raise ValueError(f"a request is one of {', '.join(WISHES)}, got {kind!r}")
    read_meta(folder)
    journal = Journal(folder / "journal.sqlite")
    try:
        return journal.request(kind, data, person=person or getpass.getuser())
    finally:
        journal.close()


def ask_running(folder: Path, kind: Wish, data: Mapping[str, object] | None = None) -> int:
    """The same, of a survey that must be there to hear it: FolderError where nothing runs."""
    read_meta(folder)
    if holder(folder) is None:
        told = f"nothing runs in {folder}, so there is nothing to {kind.split('_')[0]}"
        raise FolderError(f"{told}; `adaptem resume` goes on")
    return ask(folder, kind, data)


def ask_to_stop(folder: Path, *, person: str | None = None) -> str:
    """Ask for the end, and knock on the running process so that it blanks at once; says what was done."""
    read_meta(folder)
    running = holder(folder)
    if running is None:
        return f"nothing runs in {folder}, so there is nothing to stop"
    ask(folder, "stop", person=person)
    if running:  # 0: it has not said yet who it is, and will read the request
        os.kill(running, signal.SIGTERM)
    return f"process {running} was told to blank and to finish its record"


def forget_stale(record: SurveyRecorder) -> None:
    """Answer what was asked of a process that has ended: it was about that moment, and must not end this one."""
    for row in record.requests():
        if row.kind in ("pause", "resume", "stop", "approve", "reject"):
            record.answer(row.id, "too late", "the survey had ended before it read this")


@dataclass(slots=True)
class Inbox:
    """The runner's side of the requests, and what they have led to."""

    record: SurveyRecorder
    paused: bool = False
    stopped_by: str | None = None
    """Who asked for the end."""
    proposal: int | None = None
    """The one that waits for an answer."""
    verdict: RequestRow | None = None
    """The answer to it."""
    places: list[RequestRow] = field(default_factory=list)
    """Places that a person wants to see."""

    def read(self, env: SurveyEnv, now_s: float) -> None:
        """Take in every new request, answer what can be answered now."""
        for row in self.record.requests():
            self.record.event("request", f"{row.person}: {row.kind}", time_s=now_s, data={"id": row.id, **row.data})
            match row.kind:
                case "pause" | "resume":
                    self.paused = row.kind == "pause"
                    self.record.answer(row.id, "done")
                case "stop":
                    self.stopped_by = row.person
                    self.record.answer(row.id, "done")
                case "skip":
                    self._skip(row, env, now_s)
                case "look_here":
                    self.places.append(row)
                    self.record.answer(row.id, "accepted", "next turn")
                case "approve" | "reject":
                    self._verdict(row)
                case _:
                    self.record.answer(row.id, "refused", f"a request is one of {', '.join(WISHES)}")

    def wish(self, env: SurveyEnv) -> Decision | None:
        """The next place that a person asked for, as a decision; None when there is none."""
        while self.places:
            row = self.places.pop(0)
            try:
                return _look_here(row, env)
            except (KeyError, TypeError, ValueError) as error:
                self.record.answer(row.id, "refused", str(error))
        return None

    def _verdict(self, row: RequestRow) -> None:
        """Only what a person has seen can be approved: the answer must name the proposal that is waiting."""
        if self.proposal is None or row.data.get("proposal") != self.proposal:
            waits = "no proposal waits" if self.proposal is None else f"proposal {self.proposal} waits"
            self.record.answer(row.id, "refused", f"{waits}, not {row.data.get('proposal', 'one without a number')}")
            return
        self.verdict = self.verdict or row
        self.record.answer(row.id, "done")

    def _skip(self, row: RequestRow, env: SurveyEnv, now_s: float) -> None:
        target = row.data.get("target")
        if not isinstance(target, int) or not 0 <= target < env.catalogue.slots:
            self.record.answer(row.id, "refused", f"target is a number from 0 to {env.catalogue.slots - 1}")
            return
        block(env, self.record, target, f"{row.person} asked to skip it", now_s)
        self.record.answer(row.id, "done")


def block(env: SurveyEnv, record: SurveyRecorder, target: int, why: str, now_s: float) -> None:
    """Never look at a target again, also after a resume."""
    specimen = env.situation.specimen
    record.event("block", why, time_s=now_s, data={"specimen": specimen, "target": target})
    env.block(target)


def _look_here(row: RequestRow, env: SurveyEnv) -> Decision:
    """The detail look at the site nearest to a place. Raises ValueError where the mask forbids it."""
    tree = env.situation.task.tree
    x_nm, y_nm = float(row.data["x_nm"]), float(row.data["y_nm"])
    leaves = tree.leaves
    site = int(leaves[np.argmin(np.hypot(tree.x_nm[leaves] - x_nm, tree.y_nm[leaves] - y_nm))])
    action = env.catalogue.encode(LookAt(site, env.situation.task.detail_look(site)))
    if not env.action_masks()[action]:
        raise ValueError(f"site {site} cannot be looked at now: it has been seen, is blocked, or costs too much")
    reason = f"asked for x {x_nm:g} nm, y {y_nm:g} nm"
    return Decision(action=action, decided_by="person", person=row.person, policy="operator", reason=reason)
