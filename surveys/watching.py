"""A watcher beside a survey: reads its record and its sign of life, says what is worth saying, and never touches it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from archive.folder import holder, read_meta
from archive.rows import Rows, open_read_only
from surveys.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from instruments.clock import Clock
    from surveys.notices import Message

EVERY_S = 5.0


def watch(
    folder: Path,
    send: Callable[[Message], list[str]],
    clock: Clock,
    *,
    quiet_s: float,
    silent_s: float,
    told: Callable[[str], None] = lambda text: None,
    wall_s: Callable[[], float] = time.time,
) -> Message:
    """Until the survey has ended; returns the last message. What could not be sent is tried again.

    ``told``: hears what was sent and what could not be. ``wall_s``: the clock of the file system.
    Raises FolderError, JournalError.
    """
    notices = Notices(str(read_meta(folder).config.get("name", "survey")), quiet_s=quiet_s, silent_s=silent_s)
    waiting: list[Message] = []
    end: Message | None = None
    last = 0
    while True:
        with closing(open_read_only(folder / "journal.sqlite")) as database:
            rows = Rows(database)
            events, steps = [event for event in rows.events() if event.id > last], rows.step_count()
        last = max((event.id for event in events), default=last)
        messages = notices.take(events, steps, _heard_s(folder, wall_s), clock.now_s())
        for message in messages:
            told(f"{message.severity}: {message.title}: {message.text}")
        waiting += messages
        while waiting and not (troubles := send(waiting[0])):
            waiting.pop(0)
        if waiting:
            told(f"not sent yet ({'; '.join(troubles)}): {waiting[0].title}")
        end = next((message for message in reversed(messages) if message.key == "end"), end)
        if end is not None and not waiting:
            return end
        clock.wait(EVERY_S)


def _heard_s(folder: Path, wall_s: Callable[[], float]) -> float | None:
    """Since the survey's process last wrote that it lives; None where there is no such process."""
    if holder(folder) is None:
        return None
    try:
        return max(wall_s() - (folder / "health.json").stat().st_mtime, 0.0)
    except OSError:
        return 0.0  # it has only just begun
