"""Places of earlier surveys, and how unusual a new one is among those of like specimens.

A place's distance is the mean to its five nearest places of other surveys, by its descriptors in spreads. The same is
done for every earlier place, without those of its own survey; the share of them that lie at least as far off is a
p-value that assumes only that the new survey is like the others. Mean brightness is the detector's gain, and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from archive.library_search import Query, numbers
from archive.library_vectors import packed, unpacked
from envs.descriptors import NAMES, transformed
from envs.step import Kind, Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.library import Library
    from archive.library_engine import Engine
    from archive.library_records import Experiment
    from archive.reader import SurveyReader

Vector: TypeAlias = npt.NDArray[np.float32]
Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

FEWEST_SURVEYS = 2
"""Earlier ones: of a single one nobody knows how much surveys differ."""
FEWEST_PLACES = 20
_NEIGHBOURS = 5
_MOST_KEPT = 200
"""Places of one experiment that the library keeps, its flagged ones among them."""
_MOST_JUDGED = 3_000
_SAMPLE = 600
"""Earlier places by which a distance is judged."""
_CASES = 3
_COLUMNS = np.array([column for column, name in enumerate(NAMES) if name != "mean_counts"])
_ALIKE = {"pixel_size_nm": 0.2, "fluence_e_per_A2": 0.3}
"""Relative difference of conditions up to which looks are alike."""


UNTOLD = (
    "Nobody told what the specimen is made of (who.elements in the config): no earlier survey is known to be like it"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One place that had a close look of its own."""

    exposure: int
    target: int
    flagged: bool
    vector: Vector


@dataclass(frozen=True, slots=True)
class Case:
    """An earlier place like the one in question."""

    survey: str
    experiment: int
    exposure: int
    flagged: bool
    distance: float


@dataclass(frozen=True, slots=True)
class History:
    """How unusual a place is among all earlier ones of like specimens."""

    places: int
    surveys: int
    p_value: Ratio | None
    """Share of earlier places at least as far from other surveys' places; None where too few are known."""
    nearest: tuple[Case, ...]
    why: str = ""
    """Why nothing is said, where that is not for too few."""

    def __str__(self) -> str:
        if self.why:
            return self.why
        if self.p_value is None:
            known = f"{self.places} places of {self.surveys} earlier surveys of like specimens"
            return f"Too few to say how unusual it is for like specimens: {known}"
        cases = ", ".join(
            f"{case.survey} exposure {case.exposure}{' (flagged)' if case.flagged else ''}" for case in self.nearest
        )
        return (
            f"For like specimens: p = {self.p_value:.2g} among {self.places} places of {self.surveys} earlier surveys; "
            f"nearest are {cases}"
        )


def survey_places(reader: SurveyReader, specimen: str) -> list[Place]:
    """The close looks of one specimen that the scorer described, flagged ones first. Reads rows, never pixels."""
    flagged = {
        int(site["target"])
        for flag in reader.flags()
        if flag.get("specimen") == specimen
        for site in flag.get("sites", ())
    }
    places: dict[int, Place] = {}
    for step in reader.steps(specimen):
        shown = step.shown
        if step.kind is not Kind.LOOK or step.score is None or shown is None or shown.purpose is not Purpose.DETAIL:
            continue
        for target, descriptors in zip(step.score.cells, step.score.descriptors, strict=True):
            if len(descriptors) == len(NAMES) and np.isfinite(descriptors).all() and shown.exposure.id is not None:
                vector = transformed([descriptors])[0, _COLUMNS].astype(np.float32)
                places[target] = Place(shown.exposure.id, target, target in flagged, vector)
    return sorted(places.values(), key=lambda place: (not place.flagged, place.target))


def kept_places(places: Sequence[Place]) -> list[Place]:
    """At most so many as the library keeps: the flagged ones, and others spread evenly."""
    marked = [place for place in places if place.flagged][:_MOST_KEPT]
    rest = [place for place in places if not place.flagged]
    room = _MOST_KEPT - len(marked)
    if len(rest) > room:
        rest = [rest[int(n)] for n in np.unique(np.linspace(0, len(rest) - 1, max(room, 1)).astype(int))]
    return [*marked, *rest]


def insert_places(database: Engine, number: int, places: Sequence[Place]) -> None:
    """Keep the places of an experiment instead of those that it had."""
    database.execute("DELETE FROM places WHERE experiment = ?", (number,))
    rows = [(number, p.exposure, p.target, int(p.flagged), packed(p.vector)) for p in kept_places(places)]
    for row in rows:
        database.execute("INSERT INTO places VALUES (?, ?, ?, ?, ?)", row)


def histories(library: Library, of: Experiment, places: Sequence[Place]) -> list[History]:
    """Each of the places of the experiment ``of``, among those of like specimens in the library. Raises ConfigError.

    Like: all its elements, the same technique, pixels and fluence within ``_ALIKE``; of other surveys. Where nobody
    told its elements, nothing is known to be like it, and nothing is claimed.
    """
    if not of.elements:
        return [History(0, 0, None, (), UNTOLD) for _ in places]
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for name, share in _ALIKE.items():
        value = getattr(of.conditions, name)
        if value is not None:
            ranges[name] = (value * (1 - share), value * (1 + share))
    query = Query(elements=of.elements, technique=of.technique, ranges=ranges, kind="survey")
    own = survey_of(of.uid)
    like = [kept for kept in library.many(numbers(library, query, 2_000)) if survey_of(kept.experiment.uid) != own]
    sources = {kept.id: kept.experiment.source for kept in like}
    surveys = {kept.id: survey_of(kept.experiment.uid) for kept in like}
    rows = library.database.execute(
        "SELECT experiment, exposure, flagged, vector FROM places WHERE experiment IN (SELECT value FROM json_each(?))"
        " ORDER BY experiment DESC, exposure LIMIT ?",
        (str(list(sources)), _MOST_JUDGED),
    ).fetchall()
    known = sorted({surveys[row[0]] for row in rows})
    if len(known) < FEWEST_SURVEYS or len(rows) < FEWEST_PLACES:
        return [History(len(rows), len(known), None, ()) for _ in places]
    earlier = np.stack([unpacked(row[3]) for row in rows]).astype(np.float64)
    owner = np.array([known.index(surveys[row[0]]) for row in rows])
    middle = np.median(earlier, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(earlier - middle), axis=0), 1e-6)
    scaled = np.clip((earlier - middle) / spread, -20.0, 20.0)
    sample = np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(int))
    usual = np.array([_far(scaled[n], scaled[owner != owner[n]])[0] for n in sample])
    found = []
    for place in places:
        query_vector = np.clip((place.vector.astype(np.float64) - middle) / spread, -20.0, 20.0)
        far, order, distances = _far(query_vector, scaled)
        p_value = (1 + float((usual >= far).sum())) / (1 + len(usual))
        cases = tuple(
            Case(sources[rows[n][0]], rows[n][0], rows[n][1], bool(rows[n][2]), float(distances[n]))
            for n in order[:_CASES]
        )
        found.append(History(len(rows), len(known), p_value, tuple(cases)))
    return found


def flag_histories(
    library: Library, reader: SurveyReader, experiments: Mapping[str, Experiment]
) -> list[dict[str, Any]]:
    """For each flag of a survey, by rank: its rank, and the history of its first site. ``experiments``: by specimen."""
    found: list[dict[str, Any]] = []
    for specimen, experiment in experiments.items():
        places = {place.target: place for place in survey_places(reader, specimen)}
        flags = [flag for flag in reader.flags() if flag.get("specimen") == specimen and flag.get("sites")]
        seen = [
            (flag, places[int(flag["sites"][0]["target"])])
            for flag in flags
            if int(flag["sites"][0]["target"]) in places
        ]
        told = histories(library, experiment, [place for _, place in seen]) if seen else []
        for (flag, _), history in zip(seen, told, strict=True):
            found.append({"rank": int(flag["rank"]), "specimen": specimen, "history": history})
    return sorted(found, key=lambda each: int(each["rank"]))


def _far(query: Array, others: Array) -> tuple[float, npt.NDArray[np.int64], Array]:
    """Mean distance to the nearest few, the order of all, and their distances."""
    distances = np.sqrt(((others - query) ** 2).mean(axis=1))
    order = np.argsort(distances, kind="stable")
    return float(distances[order[:_NEIGHBOURS]].mean()), order, distances


def survey_of(uid: str) -> str:
    """Which survey an experiment's uid speaks of: all of it but specimen, look and detector."""
    return uid.rsplit(":", 3)[0]
