"""What a person asks of a running survey, as the runner hears it: rows of the journal, read once a turn.

``surveys.asking`` writes them. Whatever a request leads to, the guard still checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from archive.recorder import SurveyRecorder
from archive.rows import RequestRow
from envs.actions import LookAt
from envs.step import Candidate, Decision
from surveys.asking import WISHES

if TYPE_CHECKING:
    from envs.survey_env import SurveyEnv


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
                case "skip" | "look_here" if row.data.get("specimen") not in (None, env.situation.specimen):
                    there, here = row.data["specimen"], env.situation.specimen
                    self.record.answer(row.id, "refused", f"it is a place of {there}, and now it is {here}")
                case "skip":
                    self._skip(row, env, now_s)
                case "look_here":
                    self.places.append(row)
                    self.record.answer(row.id, "accepted", "next turn")
                case "approve" | "reject":
                    self._verdict(row)
                case _:
                    self.record.answer(row.id, "refused", f"a request is one of {', '.join(WISHES)}")

    def wish(self, env: SurveyEnv, instead_of: Decision | None = None) -> Decision | None:
        """The next place that a person asked for, as a decision; None when there is none.

        ``instead_of``: what the agent had proposed when the person asked for this; its candidates are kept beside it.
        """
        while self.places:
            row = self.places.pop(0)
            try:
                return beside(_look_here(row, env), instead_of)
            except (KeyError, TypeError, ValueError) as error:
                self.record.answer(row.id, "refused", str(error))
        return None

    def leave(self, specimen: str) -> None:
        """Its turn is over: places on it that were asked for and never came to theirs are answered."""
        while self.places:
            self.record.answer(self.places.pop(0).id, "too late", f"{specimen} was over before")

    def _verdict(self, row: RequestRow) -> None:
        """Only what a person has seen can be approved: the answer must name the proposal that is waiting."""
        if self.proposal is None or row.data.get("proposal") != self.proposal:
            waits = "no proposal waits" if self.proposal is None else f"proposal {self.proposal} waits"
            self.record.answer(row.id, "refused", f"{waits}, not {row.data.get('proposal', 'one without a number')}")
            return
        if self.verdict is not None and self.verdict.kind != row.kind:
            self.record.answer(row.id, "refused", f"{self.verdict.person} answered first: {self.verdict.kind}")
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


def beside(chosen: Decision, proposed: Decision | None) -> Decision:
    """A person's choice, and among its candidates what the agent would have done, which comes first."""
    if proposed is None:
        return chosen
    kept = sorted(proposed.candidates, key=lambda one: one.action != proposed.action)
    if not kept or kept[0].action != proposed.action:
        kept.insert(0, Candidate(action=proposed.action, label=proposed.reason))
    if all(one.action != chosen.action for one in kept):
        kept.append(Candidate(action=chosen.action, label=f"{chosen.person or 'a person'}: {chosen.reason}"))
    return replace(chosen, candidates=tuple(kept))


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
