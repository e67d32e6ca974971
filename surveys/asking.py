"""What a person asks of a running survey: rows that any process may write and the runner reads once a turn.

Asking needs no route to the instrument, and knows none: a folder is enough.
"""

from __future__ import annotations

import getpass
import os
import signal
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from archive.errors import FolderError
from archive.folder import holder, read_meta
from archive.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Wish: TypeAlias = Literal["pause", "resume", "stop", "skip", "look_here", "approve", "reject"]
WISHES: tuple[str, ...] = get_args(Wish)


def ask(folder: Path, kind: Wish, data: Mapping[str, object] | None = None, *, person: str | None = None) -> int:
    """Leave a request for the survey in ``folder``; returns its number.

    ``skip`` needs ``{"target": id}``, ``look_here`` needs ``{"x_nm": …, "y_nm": …}``, both may name
    the ``"specimen"`` that is meant, on any other they are refused; ``approve`` and ``reject`` need
    ``{"proposal": number}``. Raises FolderError where there is no survey, ValueError for an unknown kind.
    """
    if kind not in WISHES:
        raise ValueError(f"a request is one of {', '.join(WISHES)}, got {kind!r}")
    read_meta(folder)
    journal = Journal(folder / "journal.sqlite")
    try:
        return journal.request(kind, data, person=person or getpass.getuser())
    finally:
        journal.close()


def ask_running(
    folder: Path, kind: Wish, data: Mapping[str, object] | None = None, *, person: str | None = None
) -> int:
    """The same, of a survey that must be there to hear it: FolderError where nothing runs."""
    read_meta(folder)
    if holder(folder) is None:
        told = f"nothing runs in {folder}, so there is nothing to {kind.split('_')[0]}"
        raise FolderError(f"{told}; `adaptem resume` goes on")
    return ask(folder, kind, data, person=person)


def ask_to_stop(folder: Path, *, person: str | None = None) -> str:
    """Ask for the end, and knock on the running process so that it blanks at once; says what was done."""
    read_meta(folder)
    running = holder(folder)
    if running is None:
        return f"nothing runs in {folder}, so there is nothing to stop"
    ask(folder, "stop", person=person)
    if running:  # 0: it has not said yet who it is, and will read the request
        os.kill(running, signal.SIGTERM)
    return f"process {running} was told to blank and to finish its record"
