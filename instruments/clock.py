"""Time comes from a clock that is handed in."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that never run backwards."""

    def now_s(self) -> float: ...

    def wait(self, duration_s: float) -> None:
        """Let ``duration_s`` pass (≥ 0; ValueError otherwise)."""
        ...


class SimulatedClock:
    """The clock of a simulated world: it advances when told, at once.

    >>> clock = SimulatedClock(10.0)
    >>> clock.wait(2.5); clock.now_s()
    12.5
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def wait(self, duration_s: float) -> None:
        _check(duration_s)
        self._now_s += duration_s


class RealClock:
    """The computer's monotonic clock, counted from ``start_s``; waiting sleeps.

    Sleeping in short pieces lets a signal handler of the main thread run in between.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._origin_s = time.monotonic() - start_s

    def now_s(self) -> float:
        return time.monotonic() - self._origin_s

    def wait(self, duration_s: float) -> None:
        _check(duration_s)
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))


def _check(duration_s: float) -> None:
    if not duration_s >= 0 or duration_s == float("inf"):
        raise ValueError(f"cannot wait {duration_s} s: a wait is a finite number of seconds, 0 or more")
