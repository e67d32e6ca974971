"""What was planned and what was done, in numbers, from the steps of a journal."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envs.step import REFUSED, Kind, Purpose
from envs.targets import Area, grid_tree
from instruments.ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from envs.step import ExposureRecord, Step

    Span: TypeAlias = tuple[float, float]


def planned(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the config allows, on all specimens together; ``sites`` are all there are."""
    budget, detail = config["budget"], config["looks"]["detail"]
    site_nm, specimens = detail["field_of_view_nm"], config["specimens"]
    patch_nm = site_nm * config["looks"]["overview"]["sites"]
    overlap = detail.get("overlap_ratio", 0.0)  # earlier records do not tell it
    trees = [grid_tree(Area(**one["area"]), patch_nm, site_nm, overlap) for one in specimens]
    sites = [len(tree.leaves) for tree in trees]
    return {
        "hours": budget["hours"] * len(specimens),
        "electrons": budget["electrons"] * len(specimens),
        "sites": sum(sites),
        "sites_in_detail": sum(max(int(budget["detail_fraction"] * count + 1e-6), 1) for count in sites),
        "overview": sum(map(len, trees)) - sum(sites),
        "max_fluence_e_per_A2": config["limits"]["max_fluence_e_per_A2"],
        "false_discovery_rate": config["flagging"]["false_discovery_rate"],
    }


def done(steps: Sequence[Step], waits_s: Sequence[Span] = ()) -> dict[str, Any]:
    """What became of it; ``waits_s``: from when until when the runner waited for trouble to pass."""
    exposures = [record for step in steps for record in step.exposures]
    committed = [record for record in exposures if record.committed]
    purposes = Counter(record.purpose for record in committed)
    seen = {
        (step.specimen, step.target)
        for step in steps
        if step.retagged or any(r.committed and r.purpose in (Purpose.DETAIL, Purpose.CONTROL) for r in step.exposures)
    }
    detail = [record for record in committed if record.purpose is Purpose.DETAIL]
    total_s = sum(_spans_s(steps))
    busy_s = sum(end_s - start_s for step in steps if not step.fault for start_s, end_s in [work_s(step, waits_s)])
    return {
        "steps": len(steps),
        "hours": total_s / 3600.0,
        "busy_ratio": busy_s / total_s if total_s else None,
        "beam_ratio": sum(record.exposure.beam_on_s for record in committed) / total_s if total_s else None,
        "electrons": sum(step.electrons for step in steps),
        "largest_fluence_e_per_A2": largest_fluence(steps),
        "sites_in_detail": len(seen),
        "overview": purposes[Purpose.SURVEY],
        "detail": len(detail),
        "detail_area_nm2": sum(record.footprint.area_nm2 for record in detail),
        "focus": purposes[Purpose.FOCUS] + purposes[Purpose.DRIFT],
        "controls": sum(step.kind is Kind.CONTROL and step.fault is None for step in steps),
        "refused": sum(not record.committed and record.electrons == 0 for record in exposures),
        "lost": sum(not record.committed and record.electrons > 0 for record in exposures),
        "failed_steps": dict(Counter(step.fault.error for step in steps if step.fault and step.fault.error != REFUSED)),
    }


def streams(steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """Committed exposures and their electrons by who chose the place; an exposure may be in two streams."""
    records = {r.exposure.id: r for step in steps for r in step.exposures if r.committed}
    members = [(record, tag) for record in records.values() for tag in record.tags]
    members += [(records[number], tag) for step in steps for number, tag in step.retagged if number in records]
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"exposures": 0, "electrons": 0.0})
    for record, tag in members:
        found[tag.stream]["exposures"] += 1
        found[tag.stream]["electrons"] += record.electrons
        if tag.inclusion_probability is not None:
            found[tag.stream]["inclusion_probability"] = tag.inclusion_probability
    return dict(found)


def largest_fluence(steps: Sequence[Step]) -> float:
    """Of the most exposed point of any specimen (e/Å²), each exposure where its record has it.

    The guard's own ledger is more cautious: it reckons with what is not known about the stage.
    """
    by_specimen: dict[str, list[ExposureRecord]] = defaultdict(list)
    for step in steps:
        by_specimen[step.specimen] += [record for record in step.exposures if record.electrons > 0]
    largest = 0.0
    for records in by_specimen.values():
        ledger = MemoryLedger()
        for record in records:
            ledger.reserve(replace(record.exposure, id=None), record.footprint, record.electrons)
        largest = max([largest, *(ledger.fluence_e_per_A2(record.footprint) for record in records)])
    return largest


def _spans_s(steps: Sequence[Step]) -> list[float]:
    """From the first to the last step, specimen by specimen."""
    times: dict[str, list[float]] = defaultdict(list)
    for step in steps:
        times[step.specimen] += [step.start_s, step.end_s]
    return [max(found) - min(found) for found in times.values()]


def work_s(step: Step, waits_s: Sequence[Span]) -> Span:
    """From when until when a step was at work: its own time begins where the step before ended, waits included."""
    start_s = max((end for start, end in waits_s if start <= step.start_s < end), default=step.start_s)
    return min(start_s, step.end_s), step.end_s
