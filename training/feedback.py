"""What people said of earlier surveys, as rows that teach and rows that judge what was taught.

labels.sqlite ─► locked batches, blind verdicts ─┬─► chosen by the policy ─► lessons
steps ─► portraits of the places, surprise ──────┴─► controls, seeded     ─► audit set: never a lesson
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from archive.folder import read_meta
from archive.labels import LabelJournal
from archive.reader import SurveyReader
from archive.verdicts import LABELS, audit_sites, blind_verdicts
from configs.errors import ConfigError
from envs.scoring import make_scorer
from surveys.places import PLACE
from surveys.portraits import Portraits
from surveys.settings import recorded
from surveys.sights import sights
from surveys.verdicts import surprises

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from surveys.places import Place

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One place, and what people said of it, blind."""

    survey: str
    """By its identity (``archive.folder.Meta``)."""
    specimen: str
    target: int
    row: Array
    """(2F,), of ``surveys.portraits``."""
    surprise: float
    """As the night had it when it ranked: of its flag, else of the place by itself; normal deviates, 0 or more."""
    verdict: float
    """From 1 to 5; of several people the mean."""


@dataclass(slots=True)
class Lessons:
    """Of one survey or several."""

    columns: tuple[str, ...] = ()
    teaching: list[Lesson] = field(default_factory=list)
    audit: list[Lesson] = field(default_factory=list)
    """Controls and seeded positives: nothing is ever fitted to them."""
    wanted: list[tuple[str, Lesson]] = field(default_factory=list)
    """What a person asked more of, by the name given to it."""
    read: dict[str, int] = field(default_factory=dict)
    """By survey, the last event of its journal of labels that is in here."""
    folders: dict[str, str] = field(default_factory=dict)
    """By survey, where it lay when it was read: to show."""


def lessons(folders: Sequence[Path], labels: Mapping[Path, Path] | None = None) -> Lessons:
    """Everything that the labels of these surveys say.

    ``labels``: the file of a survey whose labels are not in its folder. Raises FolderError, JournalError, ConfigError.
    """
    found = Lessons()
    for folder in folders:
        path = (labels or {}).get(folder, folder / LABELS)
        survey = read_meta(folder).identity
        if not path.is_file():
            raise ConfigError(f"{path} is not there: nobody has judged this survey yet; `adaptem review {folder}`")
        with closing(LabelJournal(path)) as journal:
            _add(found, survey, folder, journal)
    return found


def _add(found: Lessons, survey: str, folder: Path, journal: LabelJournal) -> None:
    known, columns = _known(folder)
    if found.columns and columns != found.columns:
        raise ConfigError(f"{folder} was described by another scorer than the surveys before it: learn from it apart")
    found.columns = columns
    found.folders[survey] = str(folder.resolve())
    events = journal.events()
    found.read[survey] = events[-1].seq if events else 0
    said: dict[str, list[float]] = {}
    places: dict[str, Place] = {}
    for item, verdict in blind_verdicts(journal):
        place = PLACE.validate_python(dict(item.data))
        said.setdefault(place.key, []).append(verdict)
        places[place.key] = place
    for key, place in places.items():
        lesson = _lesson(survey, place, known, float(np.mean(said[key])))
        if lesson is not None:
            (found.teaching if place.trains else found.audit).append(lesson)
    for asked, wanted in journal.wanted():
        place = PLACE.validate_python(dict(asked.data))
        lesson = _lesson(survey, place, known, 5.0) if place.trains else None
        if lesson is not None:
            found.wanted.append((wanted, lesson))


@dataclass(frozen=True, slots=True)
class _Specimen:
    """All that is known of its places without a person."""

    portraits: Portraits
    surprise: dict[int, float]
    audit: frozenset[int]
    """Sites drawn as random controls, or seeded."""


def _known(folder: Path) -> tuple[dict[str, _Specimen], tuple[str, ...]]:
    """By specimen, and what the numbers of a portrait are."""
    with SurveyReader(folder) as reader:
        settings = recorded(reader.meta.config)
        audit = audit_sites(reader.steps())
        names = make_scorer(settings.scorer).names
        try:
            made = {
                one.name: _Specimen(
                    Portraits(sights(list(reader.steps(one.name))), names),
                    surprises(reader, settings, number),
                    frozenset(target for specimen, target in audit if specimen == one.name),
                )
                for number, one in enumerate(settings.specimens)
            }
        except ValueError as error:
            raise ConfigError(f"{folder} does not teach: its steps cannot be gone through again ({error})") from error
    return made, next(iter(made.values())).portraits.columns


def _lesson(survey: str, place: Place, known: Mapping[str, _Specimen], verdict: float) -> Lesson | None:
    """None for a place that no look of the policy showed, or whose surprise nobody knows.

    None too for one into whose picture a known feature was put: the record describes what was there before. And for a
    flag of the policy with a site of the audit set in its region: that site's frame is in the flag's surprise.
    """
    if place.injected is not None:
        return None
    of = known.get(place.specimen)
    if of is None or place.target not in of.portraits.targets:
        return None
    if place.trains and place.flag is not None and of.audit & {site["target"] for site in place.flag["sites"]}:
        return None
    told = of.surprise.get(place.target) if place.flag is None else place.flag.get("surprise")
    if told is None:
        return None
    row = of.portraits.row(place.target)
    return Lesson(survey, place.specimen, place.target, row, max(float(told), 0.0), verdict)
