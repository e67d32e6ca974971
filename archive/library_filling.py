"""A survey into the library: its experiments, their places and overviews, and what earlier surveys say of its flags."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from archive.library_from_survey import survey_experiments
from archive.library_overview import insert_overview, overview_of
from archive.library_places import flag_histories, insert_places, survey_places
from archive.verdicts import teaching_verdicts
from envs.scoring import ScorerSettings, make_scorer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archive.library import Library
    from archive.library_overview import Overview
    from archive.library_records import Added, Experiment
    from archive.reader import SurveyReader
    from envs.novelty import NoveltySettings
    from envs.scoring import OwnScorerSettings

_SCORER: TypeAdapter[NoveltySettings | OwnScorerSettings] = TypeAdapter(ScorerSettings)


def add_survey(library: Library, reader: SurveyReader) -> tuple[list[tuple[Experiment, Added]], list[dict[str, Any]]]:
    """Every experiment with what became of it, and the history of every flag as plain data, by rank.

    Flags are compared with the surveys that were there before. What people have said of its places by now is kept with
    them, of controls nothing. Raises ArchiveError, ConfigError.
    """
    made = list(survey_experiments(reader))
    close = looks_of("detail", (experiment for experiment, _ in made))
    told = flag_histories(library, reader, close)
    done = [(experiment, library.add(experiment, vectors)) for experiment, vectors in made]
    for specimen, experiment in close.items():
        kept = library.find(experiment.uid)
        if kept is not None and kept.experiment == experiment:
            with library.transaction() as database:
                insert_places(database, kept.id, survey_places(reader, specimen))
    said = teaching_verdicts(reader)
    for specimen, experiment in looks_of("survey", (experiment for experiment, _ in made)).items():
        kept = library.find(experiment.uid)
        if kept is not None and kept.experiment == experiment:
            overview = survey_overview(reader, specimen, said)
            with library.transaction() as database:
                insert_overview(database, kept.id, overview)
    plain = [
        {"rank": each["rank"], "specimen": each["specimen"], **asdict(each["history"]), "told": str(each["history"])}
        for each in told
    ]
    return done, plain


def survey_overview(reader: SurveyReader, specimen: str, said: Mapping[tuple[str, int], float]) -> Overview | None:
    """Of one specimen; flags that only a control's own frame made are none. ``said``: verdicts by specimen and site.

    Raises ConfigError where its scorer cannot be had.
    """
    flagged = {
        int(site["target"])
        for flag in reader.flags()
        if flag.get("specimen") == specimen
        for site in flag.get("sites", ())
        if not site.get("by_control", False)
    }
    scorer = make_scorer(_SCORER.validate_python(reader.meta.config.get("scorer") or {}))
    verdicts = {target: verdict for (where, target), verdict in said.items() if where == specimen}
    return overview_of(reader.steps(specimen), scorer, flagged, verdicts)


def looks_of(purpose: str, experiments: Iterable[Experiment]) -> dict[str, Experiment]:
    """By specimen, the experiment that its looks of a purpose (survey, detail) belong to: of the first detector."""
    found: dict[str, Experiment] = {}
    for experiment in experiments:
        _, specimen, look, _ = experiment.uid.rsplit(":", 3)
        if look.startswith(purpose):
            found.setdefault(specimen, experiment)
    return found


def counted(done: list[tuple[Experiment, Added]]) -> str:
    """In words: 3 new, 1 same."""
    return ", ".join(f"{count} {what}" for what, count in sorted(Counter(added for _, added in done).items()))
