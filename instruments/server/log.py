"""What the server has to say, said by a thread of its own: a console that takes no text must not hold the watch."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Any

MOST = 1000
"""Lines that wait; what comes beyond is counted and dropped."""


class Log:
    """Lines to ``stream``, each with the time; by itself to stderr."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream
        self._lines = queue.Queue(MOST)  # type: queue.Queue[str]
        self._dropped = 0
        threading.Thread(target=self._write, daemon=True).start()

    def say(self, line: str) -> None:
        """Never waits, and never raises."""
        try:
            self._lines.put_nowait(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + line)
        except queue.Full:
            self._dropped += 1

    def flush(self, limit_s: float = 1.0) -> None:
        """Wait until all is said, but no longer than that."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: self._lines.unfinished_tasks == 0, limit_s)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if self._dropped:
                line, self._dropped = f"{line} ({self._dropped} lines before it were dropped)", 0
            try:
                print(line, file=self._stream or sys.stderr, flush=True)
            except (OSError, ValueError):
                pass  # a log that cannot be written is no reason to stop seeing to the beam
            self._lines.task_done()
