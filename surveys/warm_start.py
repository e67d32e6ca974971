"""What a survey begins with: earlier surveys of like specimens, out of the library, for its agent and for people.

    library ─► overviews of like specimens, and what came of their sites ─► prior.json in the survey's folder ─► agent

It is taken once, before the first step, and kept: a survey that goes on decides by what it began with, whatever has
come into the library since. A library that cannot be asked harms no survey: it begins without.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from agent.factory import takes_prior
from agent.prior import EarlierSurvey, Prior
from archive.durable import write_atomically
from archive.errors import ArchiveError
from archive.library import Library
from archive.library_overview import Overview, OverviewSite, earlier_overviews
from archive.library_places import UNTOLD
from configs.errors import ConfigError
from envs.scoring import make_scorer
from envs.step import Purpose
from surveys.remembering import library_place
from surveys.task import survey_task

if TYPE_CHECKING:
    from archive.library_records import Kept
    from archive.recorder import SurveyRecorder
    from surveys.settings import SurveySettings

Interest: TypeAlias = float

FILE = "prior.json"
"""In the survey's folder."""
EVENT = "earlier"
MOST_SURVEYS = 40
REMARKABLE = 3.0
"""Interest from which a site counts as remarkable, as to the planner by itself; a mean verdict above 3 as well."""
PLENTY = 5.0
"""Interest beyond which more says nothing more, and that of what a person calls remarkable without reserve."""
_MOST_FOUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One earlier survey, as people are told of it."""

    survey: str
    experiment: int
    """Its number in the library."""
    sites: int
    """Seen from above and by a look of their own."""
    remarkable: int
    """Of them."""
    judged: int
    """Of them, by people."""
    usable_ratio: float | None
    """Of the overviews."""
    found: tuple[str, ...]
    """The first reasons of its flags."""


def begin_warm(settings: SurveySettings, folder: Path, record: SurveyRecorder, now_s: float) -> Prior | None:
    """Ask the library, before a survey's first step; what it said is told in the record.

    Where the agent is to begin with it, it is returned and kept in the folder.
    """
    file = library_place(folder, settings.library)
    if isinstance(file, Path) and not file.is_file():
        return None
    try:
        with Library(file, create=False, write=False) as library:
            prior, heard = asked(library, settings)
    except (ArchiveError, ConfigError, OSError, sqlite3.Error, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        record.event(EVENT, f"begins without earlier surveys: {reason}", time_s=now_s, data={"surveys": []})
        return None
    if not heard:
        told = f"finds no earlier survey of like specimens in {file}" if settings.who.elements else UNTOLD
        record.event(EVENT, told, time_s=now_s, data={"library": str(file), "surveys": []})
        return None
    count, remarkable = len(heard), sum(one.remarkable for one in heard)
    known = (
        f"{count} earlier survey{'s' if count > 1 else ''} of like specimens: of {prior.sites} sites seen from above "
        f"and by themselves {remarkable} were remarkable"
    )
    data: dict[str, Any] = {"library": str(file), "surveys": [asdict(one) for one in heard]}
    if not (settings.library.warm and takes_prior(settings.agent)):
        why = "library.warm is off" if takes_prior(settings.agent) else "an agent of this kind takes none"
        record.event(EVENT, f"knows of {known}; the agent is not told ({why})", time_s=now_s, data=data)
        return None
    text = _text(prior)
    write_atomically(folder / FILE, text)
    record.event(EVENT, f"begins with {known}", time_s=now_s, data=data | {"sha256": _digest(text)})
    return prior


def go_on_warm(folder: Path, record: SurveyRecorder) -> Prior | None:
    """What the survey began with. Raises ConfigError where it is not there any more, or was changed."""
    begun = next((event.data for event in record.rows.events(EVENT) if "sha256" in event.data), None)
    if begun is None:
        return None
    try:
        text = (folder / FILE).read_bytes()
    except OSError as error:
        raise ConfigError(f"{folder / FILE}: the survey began with it and it cannot be read ({error})") from error
    if _digest(text) != begun["sha256"]:
        raise ConfigError(f"{folder / FILE} is not what the survey began with: restore it, or begin a new survey")
    told = json.loads(text)
    return Prior(tuple(told["names"]), tuple(_survey(one) for one in told["surveys"]))


def asked(library: Library, settings: SurveySettings) -> tuple[Prior, list[Heard]]:
    """The earlier surveys of specimens like the one of these settings, the newest first.

    None where nobody told its elements: nothing is known to be like it then. Raises ConfigError.
    """
    names = make_scorer(settings.scorer).names
    looks = [look for look in survey_task(settings, 0).looks if look.purpose is Purpose.SURVEY]
    elements = settings.who.elements
    if not looks or not elements:
        return Prior(names, ()), []
    exposure = looks[0].exposure
    found = earlier_overviews(library, elements, names, exposure.pixel_size_nm, MOST_SURVEYS)
    made = [earlier(kept.experiment.title, overview) for kept, overview in found]
    return Prior(names, tuple(made)), [_heard(*pair) for pair in found]


def earlier(name: str, overview: Overview) -> EarlierSurvey:
    """An overview of the library as an agent takes it."""
    return EarlierSurvey(
        name=name,
        rows=np.array([site.row for site in overview.sites]),
        above=np.array([site.above for site in overview.sites]),
        outcome=np.array([outcome(site) for site in overview.sites]),
        quantiles=overview.quantiles,
    )


def outcome(site: OverviewSite) -> Interest:
    """What came of a site: what people said of it, from 0 to ``PLENTY``; else that it was flagged; else its interest.

    A flag says more than the interest of the site's own look: that is read against a background in which, where the
    agent did well, the remarkable is common.
    """
    if site.verdict is not None:
        return PLENTY * (site.verdict - 1) / 4
    return PLENTY if site.flagged else min(site.interest, PLENTY)


def _heard(kept: Kept, overview: Overview) -> Heard:
    return Heard(
        survey=kept.experiment.title,
        experiment=kept.id,
        sites=len(overview.sites),
        remarkable=sum(outcome(site) >= REMARKABLE for site in overview.sites),
        judged=sum(site.verdict is not None for site in overview.sites),
        usable_ratio=kept.experiment.outcome.usable_ratio,
        found=kept.experiment.found[:_MOST_FOUND],
    )


def _text(prior: Prior) -> bytes:
    surveys = [
        {
            "name": one.name,
            "rows": one.rows.tolist(),
            "above": one.above.tolist(),
            "outcome": one.outcome.tolist(),
            "quantiles": one.quantiles.tolist(),
        }
        for one in prior.surveys
    ]
    return json.dumps({"names": prior.names, "surveys": surveys}).encode()


def _survey(told: dict[str, Any]) -> EarlierSurvey:
    parts = (np.array(told[name], dtype=np.float64) for name in ("rows", "above", "outcome", "quantiles"))
    return EarlierSurvey(str(told["name"]), *parts)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
