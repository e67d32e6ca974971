"""What the loop itself costs per step, at 256 × 256 pixels: decide, guard, write durably, judge and flag.

    python -m benchmarks.loop            about a minute
    python -m benchmarks.loop --quick    a few steps

The simulated instrument's own time is taken out; what is left should be under 50 ms in the median.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import surveys.runner
from benchmarks.common import LIMITS, arguments, finish
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.step import Step
    from surveys.session import Session

INSTRUMENT, DECIDE, GUARD, WRITE, JUDGE, FLAG = "instrument", "decide", "guard", "write", "judge", "flag"
PARTS = (DECIDE, GUARD, WRITE, JUDGE, FLAG)


class Stopwatch:
    """Seconds by part, each without the parts it calls."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._inside: list[str] = []
        self._since_s = time.perf_counter()

    def lap(self) -> None:
        """Book the time since the last change to the part that is on."""
        now_s = time.perf_counter()
        self.spent_s[self._inside[-1] if self._inside else "other"] += now_s - self._since_s
        self._since_s = now_s

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.lap()
            self._inside.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.lap()
                self._inside.pop()

        return call

    def wrap(self, thing: object, part: str, *names: str) -> None:
        for name in names:
            setattr(thing, name, self.timed(part, getattr(thing, name)))


def settings_of(sites: int) -> SurveySettings:
    return SurveySettings.model_validate(
        {
            "name": "loop",
            "seed": 5,
            "instrument": {"kind": "simulated"},
            "specimens": [{"area": {"width_nm": 3200.0, "height_nm": 3200.0}}],
            "current_pA": 50.0,
            "looks": {
                "overview": {"sites": 4, "shape": [256, 256], "dwell_us": 2.0},
                "detail": {"field_of_view_nm": 100.0, "shape": [256, 256], "dwell_us": 4.0},
            },
            "budget": {"hours": 8.0, "electrons": 1e13, "detail_fraction": sites / 1024},
            "controls": {"count": 2},
            "limits": LIMITS,
        }
    )


def measure(sites: int) -> list[dict[str, Any]]:
    watch = Stopwatch()
    laps: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as parent:
        night = open_night(settings_of(sites), Path(parent) / "loop")
        watch.wrap(vars(night.guard)["_microscope"], INSTRUMENT, "state", "move", "tune", "acquire", "blank")
        watch.wrap(night.guard, GUARD, "state", "move", "tune", "acquire", "blank")
        watch.wrap(night.record, WRITE, "intent", "commit", "step", "event", "requests")
        begin, flag = type(night).begin, surveys.runner.flag_specimen

        def timed_begin(night: Any, number: int) -> Session:
            session = begin(night, number)
            watch.wrap(session.env, DECIDE, "observation")
            watch.wrap(session.mind, DECIDE, "decide", "learn")
            watch.wrap(session.env.situation.scorer, JUDGE, "describe", "interest", "observe")
            return session

        def on_step(step: Step, progress: object) -> None:
            watch.lap()
            if step.look is not None and step.fault is None:
                laps.append(dict(watch.spent_s))
            watch.spent_s.clear()

        type(night).begin = timed_begin
        surveys.runner.flag_specimen = watch.timed(FLAG, flag)
        run_survey(night, on_step)
        watch.lap()
    for lap in laps:
        lap[FLAG] = watch.spent_s[FLAG] / len(laps)  # once a survey, shared by its steps
    whole = [sum(seconds for part, seconds in lap.items() if part != INSTRUMENT) for lap in laps]
    rows = [_row(part, [lap.get(part, 0.0) for lap in laps]) for part in (*PARTS, "other")]
    return [*rows, _row("all but the instrument", whole), _row("(instrument)", [lap[INSTRUMENT] for lap in laps])]


def _row(part: str, seconds: list[float]) -> dict[str, Any]:
    ordered = sorted(seconds)
    return {
        "part": part,
        "median_ms": 1e3 * median(ordered),
        "p95_ms": 1e3 * ordered[int(0.95 * (len(ordered) - 1))],
        "steps": len(ordered),
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    finish(measure(10 if options.quick else 200), options, title="Time a step of the loop costs, 256 × 256 pixels")


if __name__ == "__main__":
    main()
