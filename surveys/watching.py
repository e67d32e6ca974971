"""A watcher beside a survey: reads its record and its sign of life, says what is worth saying, and never touches it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from archive.folder import holder, read_meta
from archive.rows import Rows, open_read_only
from surveys.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archive.rows import EventRow
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

    A record that cannot be read for a moment is read again; after ``silent_s`` that is an alarm. ``told``: hears what
    was sent and what could not be. ``wall_s``: the clock of the file system.
    Raises FolderError, JournalError where it cannot be read at first.
    """
    notices = Notices(str(read_meta(folder).config.get("name", "survey")), quiet_s=quiet_s, silent_s=silent_s)
    waiting: list[Message] = []
    end: Message | None = None
    last = 0
    read_s: float | None = None
    while True:
        try:
            events, steps, heard_s = _read(folder, last, wall_s)
        except (ArchiveError, OSError, sqlite3.Error) as error:
            if read_s is None:
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            told(f"the record cannot be read now ({reason}); tried again")
            messages = notices.unread(reason, clock.now_s() - read_s)
        else:
            read_s = clock.now_s()
            last = max((event.id for event in events), default=last)
            messages = notices.take(events, steps, heard_s, read_s)
        for message in messages:
            told(f"{message.severity}: {message.title}: {message.text}")
            if message.key in ("start", "end"):
                end = message if message.key == "end" else None  # it goes on after an end: `adaptem resume`
        waiting += messages
        while waiting and not (troubles := send(waiting[0])):
            waiting.pop(0)
        if waiting:
            told(f"not sent yet ({'; '.join(troubles)}): {waiting[0].title}")
        if end is not None and not waiting:
            return end
        clock.wait(EVERY_S)


def _read(folder: Path, last: int, wall_s: Callable[[], float]) -> tuple[list[EventRow], int, float | None]:
    """Events after the one numbered ``last``, steps so far, and how long ago its process last said that it lives."""
    with closing(open_read_only(folder / "journal.sqlite")) as database:
        rows = Rows(database)
        events, steps = [event for event in rows.events() if event.id > last], rows.step_count()
    return events, steps, _heard_s(folder, wall_s)


def _heard_s(folder: Path, wall_s: Callable[[], float]) -> float | None:
    """Since the survey's process last wrote that it lives; None where there is no such process."""
    if holder(folder) is None:
        return None
    try:
        return max(wall_s() - (folder / "health.json").stat().st_mtime, 0.0)
    except OSError:
        return 0.0  # it has only just begun
