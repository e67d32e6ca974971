"""After a survey's end: its experiments go into the library. What happens here harms no survey."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from archive.durable import write_atomically
from archive.errors import ArchiveError
from archive.library import Library
from archive.library_filling import add_survey, counted
from archive.reader import SurveyReader
from configs.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from surveys.settings import LibrarySettings

NAME = "library.sqlite"
HISTORY = "history.json"
"""In the survey's folder: how unusual each flag is among all earlier surveys of like specimens."""


def remember(folder: Path, settings: LibrarySettings) -> str:
    """Add the survey, or what has come to it since; in words, what was done or why it was not.

    Before that its flags are held against the earlier surveys, in ``HISTORY``.
    """
    if not settings.keep:
        return "not kept (library.keep is off)"
    where = library_place(folder, settings)
    try:
        with SurveyReader(folder) as reader, Library(where) as library:
            done, told = add_survey(library, reader)
            write_atomically(folder / HISTORY, json.dumps(told, indent=2).encode(), durable=False)
    except (ArchiveError, ConfigError, OSError, sqlite3.Error, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"not added ({reason}); `adaptem library add {folder}` does it later"
    return f"{where} ({counted(done) or 'no frame to add'})"


def library_place(folder: Path, settings: LibrarySettings) -> Path | str:
    """Where the library of a survey in ``folder`` is: a file, or a server's address."""
    return settings.server or settings.file or folder.resolve().parent / NAME
