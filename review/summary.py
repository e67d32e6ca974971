"""What the morning report says, as plain data: the content of ``report.json``."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from envs.step import Kind, Purpose, Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.folder import Meta
    from archive.rows import EventRow, Rows
    from envs.step import ExposureRecord, Step

REPORT_VERSION = 1


def summarise(meta: Meta, rows: Rows) -> dict[str, Any]:
    """Everything the report shows except the pictures. Reads rows, never pixels."""
    steps, events, flags = list(rows.steps()), rows.events(), [dict(flag) for flag in rows.flags()]
    exposures = [record for step in steps for record in step.exposures]
    done = _done(steps, exposures)
    faults = pair_faults(events)
    end = _end(events)
    return {
        "report_version": REPORT_VERSION,
        "survey": meta.config.get("name", "survey"),
        "verdict": verdict(done, flags, faults, end),
        "ended": end,
        "plan": dict(meta.config.get("budget", {})),
        "done": done,
        "specimens": sorted({step.specimen for step in steps}),
        "flags": flags,
        "faults": faults,
        "controls": [_control(step) for step in steps if step.kind is Kind.CONTROL],
        "decided_by": dict(Counter(step.decision.decided_by for step in steps)),
        "provenance": {
            "created": meta.created_utc,
            "seed": meta.seed,
            "who": dict(meta.who),
            "policies": sorted({step.decision.policy for step in steps if step.decision.policy}),
            "versions": dict(meta.versions),
            "record": f"schema version {meta.schema_version}",
        },
        "config": meta.config,
    }


def verdict(
    done: Mapping[str, Any],
    flags: Sequence[Mapping[str, Any]],
    faults: Sequence[Mapping[str, Any]],
    end: Mapping[str, Any] | None,
) -> str:
    """The night in one sentence."""
    reason = end["message"] if end else "Still running, or ended without finishing its record"
    unanswered = sum(1 for fault in faults if not fault["replies"])
    parts = [
        f"{len(flags)} region{'s' if len(flags) != 1 else ''} flagged",
        f"{done['detail']} detail looks and {done['controls']} random controls in {done['hours']:.2f} h",
        f"{len(faults)} fault{'s' if len(faults) != 1 else ''}"
        + (f", {unanswered} without a reply" if unanswered else ", each answered" if faults else ""),
    ]
    if done["lost"]:
        parts.append(f"{done['lost']} exposures lost after the beam was on")
    return f"{reason.rstrip('.')}: {'; '.join(parts)}."


def pair_faults(events: Sequence[EventRow]) -> list[dict[str, Any]]:
    """Each fault with the replies that followed it before the next fault."""
    faults: list[dict[str, Any]] = []
    for event in events:
        if event.kind == "fault":
            faults.append({**asdict(event), "replies": []})
        elif event.kind == "reply" and faults:
            faults[-1]["replies"].append(event.message)
    return faults


def _done(steps: Sequence[Step], exposures: Sequence[ExposureRecord]) -> dict[str, Any]:
    committed = [record for record in exposures if record.committed]
    detail = [record for record in committed if record.purpose is Purpose.DETAIL]
    start_s = min((step.start_s for step in steps), default=0.0)
    return {
        "steps": len(steps),
        "hours": (max((step.end_s for step in steps), default=start_s) - start_s) / 3600.0,
        "beam_hours": sum(record.exposure.beam_on_s for record in committed) / 3600.0,
        "electrons": sum(step.electrons for step in steps),
        "overview": sum(record.purpose is Purpose.SURVEY for record in committed),
        "detail": len(detail),
        "detail_area_nm2": sum(record.footprint.area_nm2 for record in detail),
        "focus": sum(record.purpose is Purpose.FOCUS for record in committed),
        "controls": sum(step.kind is Kind.CONTROL and step.fault is None for step in steps),
        "refused": sum(not record.committed and record.electrons == 0 for record in exposures),
        "lost": sum(not record.committed and record.electrons > 0 for record in exposures),
        "failed_steps": sum(step.fault is not None for step in steps),
    }


def _end(events: Sequence[EventRow]) -> dict[str, Any] | None:
    """The last word of the runner; None while it runs, or after it was cut off."""
    last = max(
        (event for event in events if event.kind in ("start", "resume", "end")), key=lambda e: e.id, default=None
    )
    return asdict(last) if last and last.kind == "end" else None


def _control(step: Step) -> dict[str, Any]:
    tags = [tag for record in step.exposures for tag in record.tags] + [tag for _, tag in step.retagged]
    return {
        "specimen": step.specimen,
        "target": step.target,
        "exposure_id": step.exposures[0].exposure.id
        if step.exposures
        else step.retagged[0][0]
        if step.retagged
        else None,
        "inclusion_probability": next(
            (tag.inclusion_probability for tag in tags if tag.stream is Stream.CONTROL), None
        ),
        "also_chosen_by_the_agent": bool(step.retagged),
        "fault": step.fault.message if step.fault else None,
    }
