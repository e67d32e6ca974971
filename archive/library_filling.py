"""A survey into the library: its experiments, their places, and what earlier surveys say of its flags."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archive.durable import transaction
from archive.library_from_survey import survey_experiments
from archive.library_places import flag_histories, insert_places, survey_places
from archive.library_records import LibraryError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from archive.library import Library
    from archive.library_records import Added, Experiment
    from archive.reader import SurveyReader


def add_survey(library: Library, reader: SurveyReader) -> tuple[list[tuple[Experiment, Added]], list[dict[str, Any]]]:
    """Every experiment with what became of it, and the history of every flag as plain data, by rank.

    Flags are compared with the surveys that were there before. Raises ArchiveError, ConfigError.
    """
    made = list(survey_experiments(reader))
    close = close_looks(experiment for experiment, _ in made)
    told = flag_histories(library, reader, close)
    done = [(experiment, library.add(experiment, vectors)) for experiment, vectors in made]
    for specimen, experiment in close.items():
        kept = library.find(experiment.uid)
        if kept is not None and kept.experiment == experiment:
            with transaction(library.database, _refused) as database:
                insert_places(database, kept.id, survey_places(reader, specimen))
    plain = [
        {"rank": each["rank"], "specimen": each["specimen"], **asdict(each["history"]), "told": str(each["history"])}
        for each in told
    ]
    return done, plain


def close_looks(experiments: Iterable[Experiment]) -> dict[str, Experiment]:
    """By specimen, the experiment that its close looks belong to: that of the first detector."""
    found: dict[str, Experiment] = {}
    for experiment in experiments:
        _, specimen, look, _ = experiment.uid.rsplit(":", 3)
        if look.startswith("detail"):
            found.setdefault(specimen, experiment)
    return found


def counted(done: list[tuple[Experiment, Added]]) -> str:
    """In words: 3 new, 1 same."""
    return ", ".join(f"{count} {what}" for what, count in sorted(Counter(added for _, added in done).items()))


def _refused(error: sqlite3.Error) -> LibraryError:
    return LibraryError(f"asked to keep places in the library, found: {error}; nothing of this was kept")
