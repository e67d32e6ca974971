"""Three 8-hour nights on the injected clock, with everything going wrong that usually does.

    python -m benchmarks.night            under 10 minutes on two cores
    python -m benchmarks.night --quick    one night of one hour

A night is good when at least 95 % of the time without a fault is spent moving, focusing or imaging, every exposure is
committed or its loss written down, memory grows by less than 5 MB an hour of the night, and every fault stands in the
record with its reply.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

import surveys.session
from archive.reader import SurveyReader
from benchmarks.common import LIMITS, arguments, finish
from instruments.ledger_sqlite import free_bytes
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from agent.protocol import Agent
    from envs.step import Decision, Step
    from surveys.night import Night

HOUR_S = 3600.0
CURRENT_PA = 5.0
DECISION_S = 0.1
NEXT_STEP_S = 60.0
"""A fault that begins is met by the next request, and reported at most so much later."""


@dataclass(frozen=True)
class Trouble:
    """One scripted fault, in hours of an 8-hour night."""

    kind: str
    at_h: float
    lasts_s: float


NIGHTS = {
    1: (
        Trouble("stage_stuck", 0.8, 45),
        Trouble("dewar_refill", 1.9, 900),
        Trouble("disk_full", 3.1, 300),
        Trouble("blank_frames", 4.4, 120),
        Trouble("agent_hangs", 5.2, 0),
        Trouble("drift_burst", 6.1, 180),
        Trouble("valve_closed", 7.0, 600),
    ),
    2: (
        Trouble("agent_hangs", 0.5, 0),
        Trouble("drift_burst", 1.2, 300),
        Trouble("valve_closed", 2.3, 1200),
        Trouble("stage_stuck", 3.6, 90),
        Trouble("blank_frames", 4.9, 60),
        Trouble("disk_full", 5.8, 600),
        Trouble("dewar_refill", 6.9, 600),
    ),
    3: (
        Trouble("blank_frames", 0.4, 240),
        Trouble("disk_full", 1.6, 120),
        Trouble("agent_hangs", 2.5, 0),
        Trouble("dewar_refill", 3.3, 1200),
        Trouble("valve_closed", 4.7, 300),
        Trouble("drift_burst", 5.6, 120),
        Trouble("stage_stuck", 6.8, 30),
    ),
}


def settings_of(seed: int, hours: float) -> SurveySettings:
    """A long night of slow, careful frames on a large area."""
    scale = hours / 8.0
    faults = [
        {"kind": t.kind, "at_s": t.at_h * scale * HOUR_S, "duration_s": t.lasts_s * scale}
        | ({"drift_nm_per_s": 6.0} if t.kind == "drift_burst" else {})
        for t in NIGHTS[seed]
        if t.kind not in ("disk_full", "agent_hangs")
    ]
    return SurveySettings.model_validate(
        {
            "name": f"night-{seed}",
            "seed": seed,
            "instrument": {"kind": "simulated", "column": {"current_pA": CURRENT_PA}, "faults": faults},
            "specimens": [{"area": {"width_nm": 6400.0, "height_nm": 6400.0}}],
            "current_pA": CURRENT_PA,
            "looks": {
                "overview": {"sites": 8, "shape": [256, 256], "dwell_us": 150.0},
                "detail": {"field_of_view_nm": 100.0, "shape": [128, 128], "dwell_us": 400.0, "frames": 2},
            },
            "budget": {"hours": hours, "electrons": 1e14},
            "limits": LIMITS,
            "controls": {"count": 40},
            "decision_time_s": DECISION_S,
            "decision_deadline_s": 1.0,
        }
    )


class Disk:
    """Free space, except while it is said to be full."""

    def __init__(self, from_s: float, until_s: float) -> None:
        self.night: Night | None = None
        self._from_s, self._until_s = from_s, until_s

    def __call__(self, folder: Path) -> int:
        full = self.night is not None and self._from_s <= self.night.clock.now_s() < self._until_s
        return 1 << 20 if full else free_bytes(folder)


class HangsOnce:
    """An agent that, once its time has come, never answers."""

    hung = False

    def __init__(self, agent: Agent, now_s: Any, at_s: float) -> None:
        self._agent, self._now_s, self._at_s = agent, now_s, at_s
        self.name = agent.name
        self.observe, self.state, self.restore = agent.observe, agent.state, agent.restore

    def act(self, observation: Any) -> Decision:
        if not HangsOnce.hung and self._now_s() >= self._at_s:
            HangsOnce.hung = True
            threading.Event().wait()
        return self._agent.act(observation)


def rss_MB() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def run_night(seed: int, hours: float) -> dict[str, Any]:
    """One night; what is claimed about it."""
    scale = hours / 8.0
    when = {t.kind: (t.at_h * scale * HOUR_S, t.lasts_s * scale) for t in NIGHTS[seed]}
    folder = Path(tempfile.mkdtemp()) / "night"
    disk = Disk(when["disk_full"][0], sum(when["disk_full"]))
    start = time.monotonic()
    night = disk.night = open_night(settings_of(seed, hours), folder, free_bytes=disk)
    make_agent = surveys.session.make_agent
    surveys.session.make_agent = lambda *a: HangsOnce(make_agent(*a), night.clock.now_s, when["agent_hangs"][0])
    memory: list[tuple[float, float]] = []

    def on_step(step: Step, progress: object) -> None:
        if step.number % 25 == 0:
            memory.append((step.end_s / HOUR_S, rss_MB()))

    try:
        summary = run_survey(night, on_step)
        return {
            "night": seed,
            "ended": summary.reason.value,
            "wall_min": (time.monotonic() - start) / 60.0,
            **judge(folder, when),
            **growth(memory),
        }
    finally:
        shutil.rmtree(folder.parent)


def growth(memory: list[tuple[float, float]]) -> dict[str, float]:
    """After the first eighth of the night, when every module is loaded and every cache filled.

    The slope is the median of those between all pairs (Sen 1968): what leaks, leaks all the time. An agent that hangs
    keeps its thread and what it holds, once: that is in the whole growth, printed beside it.
    """
    hours, used = np.array(memory[len(memory) // 8 :]).T
    return {"memory_MB_per_h": float(stats.theilslopes(used, hours).slope), "grown_MB": float(used[-1] - used[0])}


def judge(folder: Path, when: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The night by its record alone."""
    with SurveyReader(folder) as reader:
        steps, events, exposures = list(reader.steps()), reader.events(), list(reader.exposures())
        for row in exposures:
            if row.state == "committed":
                reader.recorded(row.id)  # raises DamagedFrame for one that is not what it was
    troubled = periods(steps, events)
    working_s = free_s = 0.0
    for step in steps:
        left = (step.end_s - step.start_s) - overlap(step.start_s, step.end_s, troubled)
        free_s += left
        working_s += max(left - DECISION_S, 0.0) if left > 0 else 0.0
    faults = [event for event in events if event.kind == "fault"]
    answered = sum(any(e.kind == "reply" and e.id == fault.id + 1 for e in events) for fault in faults)
    met = [kind for kind, (at_s, lasts_s) in when.items() if reported(faults, at_s, lasts_s)]
    return {
        "steps": len(steps),
        "hours": steps[-1].end_s / HOUR_S,
        "hours_in_fault": sum(end - begin for begin, end in troubled) / HOUR_S,
        "working_percent": 100.0 * working_s / free_s,
        "exposures": len(exposures),
        "committed": sum(row.state == "committed" for row in exposures),
        "lost": sum(row.state == "lost" for row in exposures),
        "open": sum(row.state == "intent" for row in exposures),
        "faults_scripted": len(when),
        "faults_met": len(met),
        "not_met": ", ".join(sorted(set(when) - set(met))) or "none",
        "faults_told": len(faults),
        "answered": answered,
    }


def periods(steps: list[Step], events: Any) -> list[tuple[float, float]]:
    """(from, until) of every trouble: from the step that met it to the end of the wait that answered it."""
    by_number = {step.number: step for step in steps}
    found = []
    for event in events:
        if event.kind == "reply":
            step = by_number.get(event.data.get("step"))
            begin = step.start_s if step is not None and step.end_s <= event.time_s else event.time_s
            found.append((begin, event.time_s + event.data.get("wait_s", 0.0)))
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def overlap(begin: float, end: float, troubled: list[tuple[float, float]]) -> float:
    return sum(max(min(end, until) - max(begin, since), 0.0) for since, until in troubled)


def reported(faults: Any, at_s: float, lasts_s: float) -> bool:
    return any(at_s <= fault.time_s <= at_s + lasts_s + NEXT_STEP_S for fault in faults)


def main() -> int:
    options = arguments(__doc__).parse_args()
    nights, hours = ((1,), 1.0) if options.quick else (tuple(NIGHTS), 8.0)
    with ProcessPoolExecutor(max_workers=2, max_tasks_per_child=1, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(run_night, nights, [hours] * len(nights)))
    finish(rows, options, title=f"{len(nights)} night(s) of {hours:g} h with scripted faults")
    bad = [row["night"] for row in rows if not good(row)]
    print(f"not good: night {', '.join(map(str, bad))}" if bad else "every night was good")
    return 1 if bad and not options.quick else 0


def good(row: dict[str, Any]) -> bool:
    """What the head of this file says."""
    whole = row["open"] == 0 and row["not_met"] == "none" and row["answered"] == row["faults_told"]
    return bool(row["ended"] == "complete" and row["working_percent"] >= 95 and row["memory_MB_per_h"] < 5 and whole)


if __name__ == "__main__":
    raise SystemExit(main())
