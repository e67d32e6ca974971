"""health.json: what a watcher needs to know about a running survey, from the loop that makes progress."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from archive.folder import write_health
from instruments.ledger_sqlite import free_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from instruments.clock import Clock

EVERY_S = 5.0


class Health:
    """Rewrites health.json at most every ``EVERY_S``; a watcher compares ``beat``, or the file's age, with a clock."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._due_s = float("-inf")
        self._beat = 0

    def tell(self, state: str, *, urgent: bool = False, **facts: object) -> None:
        """``state``: running, paused, parked, waiting for a person, ended. ``facts``: anything JSON can say."""
        self._beat += 1
        if self._clock.now_s() < self._due_s and not urgent:
            return
        self._due_s = self._clock.now_s() + EVERY_S
        free = free_bytes(self._folder)
        with suppress(OSError):  # a watcher then sees the file grow old; the record is another matter
            write_health(
                self._folder, {"state": state, "pid": os.getpid(), "beat": self._beat, "free_bytes": free, **facts}
            )
