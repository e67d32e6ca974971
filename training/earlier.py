"""What people said of the earlier surveys of a library of prior experiments, as far as their folders are still there.

The library knows a survey by when it was made and its seed, not by where it lies: folders are looked for, and known
again whatever they are called by now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from archive.folder import read_meta
from archive.library_places import survey_of
from archive.verdicts import LABELS
from configs.errors import ConfigError
from training.feedback import Lessons, lessons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from archive.library import Library


@dataclass(slots=True)
class Earlier:
    """What a library's surveys teach."""

    lessons: Lessons = field(default_factory=Lessons)
    taught: list[Path] = field(default_factory=list)
    """Folders that say something, the newest first."""
    left: dict[str, str] = field(default_factory=dict)
    """By survey, why it teaches nothing."""


def earlier_lessons(
    library: Library,
    within: Sequence[Path],
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> Earlier:
    """Of every survey of the library whose folder lies directly in one of ``within``.

    The newest that teaches tells by which descriptors; those of another scorer are left out. Raises ConfigError where
    no survey teaches, with the reason for each.
    """
    known = _surveys(library)
    if not known:
        raise ConfigError(f"{library.name} holds no survey: `adaptem library add SURVEY` adds one")
    for place in within:
        if not place.is_dir():
            raise ConfigError(f"{place} is no folder: name by --within where the library's surveys lie")
    found, there = Earlier(), _there(within, known)
    where = ", ".join(map(str, within))
    found.left = {name: f"its folder is not in {where}" for uid, name in known.items() if uid not in there}
    for folder in progress(list(dict.fromkeys(there[uid] for uid in sorted(there, reverse=True)))):
        try:
            one = lessons([folder])
        except (ArchiveError, ConfigError) as error:
            found.left[folder.name] = str(error)
            continue
        if why := _why_not(found, one):
            found.left[folder.name] = why
            continue
        found.taught.append(folder)
        kept = found.lessons
        kept.columns = one.columns
        kept.teaching += one.teaching
        kept.audit += one.audit
        kept.wanted += one.wanted
        kept.read |= one.read
        kept.folders |= one.folders
    if not found.taught:
        raise ConfigError(
            f"none of the {len(known)} surveys of {library.name} teaches", *(f"{n}: {w}" for n, w in found.left.items())
        )
    return found


def _why_not(found: Earlier, one: Lessons) -> str:
    if not (one.teaching or one.audit or one.wanted):
        return "no batch of its labels is locked: `adaptem review`, and Enter at its end"
    if found.taught and one.columns != found.lessons.columns:
        return f"it was described by another scorer than {found.taught[0].name}: learn from it apart"
    return ""


def _surveys(library: Library) -> dict[str, str]:
    """By the uid of each, what its folder was called."""
    surveys = (kept.experiment for kept in library.all() if kept.experiment.kind == "survey")
    return {survey_of(experiment.uid): experiment.source for experiment in surveys}


def _there(within: Sequence[Path], known: Iterable[str]) -> dict[str, Path]:
    """Folders by uid; of several copies of one survey, that which somebody judged."""
    found: dict[str, Path] = {}
    for file in sorted(path for place in within for path in place.glob("*/survey.json")):
        try:
            meta = read_meta(file.parent)
        except ArchiveError:
            continue
        for uid in known:
            same = uid.startswith(f"survey:{meta.created_utc}:{meta.seed}:")
            if same and (uid not in found or not (found[uid] / LABELS).is_file()):
                found[uid] = file.parent
    return found
