"""What the morning report says, as plain data: the content of ``report.json``."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from envs.step import BY_HAND, Kind, Purpose, Stream
from review.counts import done, planned, streams
from review.verdict import verdict
from surveys.endings import last_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archive.folder import Meta
    from archive.rows import EventRow, Rows
    from envs.step import Step

REPORT_VERSION = 1


def summarise(meta: Meta, rows: Rows, *, running: bool = False) -> dict[str, Any]:
    """Everything the report shows except the pictures. Reads rows, never pixels."""
    steps, events, flags = list(rows.steps()), rows.events(), [dict(flag) for flag in rows.flags()]
    faults, waits, end = pair_faults(events), waits_s(events), _end(events)
    plan, did = planned(meta.config), done(steps, waits)
    specimens = sorted({step.specimen for step in steps})
    only = specimens[0] if len(specimens) == 1 else None
    doubted, why = rows.doubted()
    return {
        "report_version": REPORT_VERSION,
        "survey": meta.config.get("name", "survey"),
        "verdict": verdict(plan, did, flags, faults, end, running=running, only=only),
        "ended": end,
        "plan": plan,
        "done": did,
        "streams": streams(steps),
        "specimens": specimens,
        "flags": flags,
        "closest": [] if flags or end is None else closest(steps),
        "faults": faults,
        "departures": [{"message": event.message, **event.data} for event in events if event.kind == "expectation"],
        "waits_s": waits,
        "faults_by_kind": dict(Counter(str(fault["data"].get("error", "other")) for fault in faults).most_common()),
        "requests": [{"kind": row.kind, "person": row.person, "state": row.state} for row in rows.requests()],
        "controls": [_control(step) for step in steps if step.kind is Kind.CONTROL],
        "agreement": _agreement(events, steps),
        "learned": next((dict(event.data) for event in reversed(events) if event.kind == "learned"), None),
        "earlier": next(({"told": event.message, **event.data} for event in events if event.kind == "earlier"), None),
        "decided_by": dict(Counter(step.decision.decided_by for step in steps)),
        "provenance": {
            "created": meta.created_utc,
            "seed": meta.seed,
            "who": dict(meta.who),
            "policies": sorted({step.decision.policy for step in steps if step.decision.policy}),
            "versions": dict(meta.versions),
            "record": f"schema version {meta.schema_version}",
            "frames the instrument doubts": f"{doubted}; of the latest: {why}" if doubted else "none",
        },
        "config": meta.config,
    }


def closest(steps: Sequence[Step], count: int = 6) -> list[dict[str, Any]]:
    """Detail looks by the interest that the scorer read from them at the time, where nothing was flagged."""
    found: list[tuple[float, Step]] = [
        (max(known), step)
        for step in steps
        if step.kind is Kind.LOOK and step.score and _is_detail(step)
        if (known := [interest for interest in step.score.interest if math.isfinite(interest)])
    ]
    return [
        {"specimen": step.specimen, "step": step.number, "exposure_id": _shown_id(step), "interest": most}
        for most, step in sorted(found, key=lambda pair: pair[0], reverse=True)[:count]
    ]


def _is_detail(step: Step) -> bool:
    return step.shown is not None and step.shown.purpose is Purpose.DETAIL


def _shown_id(step: Step) -> int | None:
    return None if step.shown is None else step.shown.exposure.id


def pair_faults(events: Sequence[EventRow]) -> list[dict[str, Any]]:
    """Each fault with the replies that followed it before the next fault."""
    faults: list[dict[str, Any]] = []
    for event in events:
        if event.kind == "fault":
            faults.append({**asdict(event), "replies": []})
        elif event.kind == "reply" and faults:
            reason = faults[-1]["message"].partition(": ")[2]  # said once is enough
            faults[-1]["replies"].append(event.message.removesuffix(f": {reason}"))
    return faults


def waits_s(events: Sequence[EventRow]) -> list[tuple[float, float]]:
    """From when until when the runner waited for trouble to pass, on the instrument's clock."""
    waits = [(event.time_s, event.data.get("wait_s")) for event in events if event.kind == "reply"]
    return [(time_s, time_s + wait_s) for time_s, wait_s in waits if isinstance(wait_s, float) and wait_s > 0]


def _agreement(events: Sequence[EventRow], steps: Sequence[Step]) -> dict[str, int] | None:
    """How often a person, asked before an action or advised beside one, agreed; None where neither ever happened."""
    said = Counter(
        str(event.data["verdict"]) for event in events if event.kind == "answered" and "verdict" in event.data
    )
    by_hand = [step.decision for step in steps if step.decision.policy == BY_HAND and step.decision.candidates]
    if not said and not by_hand:
        return None
    return {
        "approved": said["approve"], "rejected": said["reject"], "redirected": said["redirect"],
        "advised": len(by_hand), "followed": sum(each.action == each.candidates[0].action for each in by_hand),
    }  # fmt: skip


def _end(events: Sequence[EventRow]) -> dict[str, Any] | None:
    """The last word of the runner; None while it runs, or after it was cut off."""
    last = last_word(events)
    return None if last is None else asdict(last)


def _control(step: Step) -> dict[str, Any]:
    tags = [tag for record in step.exposures for tag in record.tags] + [tag for _, tag in step.retagged]
    shown = [_shown_id(step), *(number for number, _ in step.retagged)]
    return {
        "specimen": step.specimen,
        "target": step.target,
        "exposure_id": next((number for number in shown if number is not None), None),
        "inclusion_probability": next(
            (tag.inclusion_probability for tag in tags if tag.stream is Stream.CONTROL), None
        ),
        "also_chosen_by_the_agent": bool(step.retagged),
        "fault": step.fault.message if step.fault else None,
    }
