"""After a survey's end: its experiments go into the library. What happens here harms no survey."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from archive.library import Library
from archive.library_from_survey import survey_experiments
from archive.reader import SurveyReader

if TYPE_CHECKING:
    from pathlib import Path

    from surveys.settings import LibrarySettings

NAME = "library.sqlite"


def remember(folder: Path, settings: LibrarySettings) -> str:
    """Add the survey, or what has come to it since; in words, what was done or why it was not."""
    if not settings.keep:
        return "not kept (library.keep is off)"
    file = settings.file or folder.resolve().parent / NAME
    try:
        with SurveyReader(folder) as reader, Library(file) as library:
            done = Counter(library.add(experiment, vectors) for experiment, vectors in survey_experiments(reader))
    except (ArchiveError, OSError, sqlite3.Error, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"not added ({reason}); `adaptem library add {folder}` does it later"
    return f"{file} ({', '.join(f'{count} {what}' for what, count in sorted(done.items())) or 'no frame to add'})"
