"""What people said of the earlier surveys of a library of prior experiments, as far as their folders are still there.

The library knows a survey by when it was made and its seed, not by where it lies: folders are looked for, and known
again whatever they are called by now.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archive.errors import ArchiveError
from archive.folder import read_meta
from archive.labels import LabelJournal
from archive.library_places import survey_of
from archive.verdicts import LABELS, blind_verdicts
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
    """By folder, or by a survey's identity and name where no folder is known to be it, why it teaches nothing."""


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
    found = Earlier()
    there, found.left = _there(within, known)
    why = f"its folder is not in {', '.join(map(str, within))}"
    why += ", or cannot be read" if found.left else ""
    found.left |= {uid: why for uid in known if uid not in there}
    for folder in progress(list(dict.fromkeys(there[uid] for uid in sorted(there, reverse=True)))):
        try:
            one = lessons([folder])
        except (ArchiveError, ConfigError) as error:
            found.left[str(folder)] = str(error)
            continue
        if why := _why_not(found, one):
            found.left[str(folder)] = why
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


def _surveys(library: Library) -> list[str]:
    """The uids of its surveys, which end with what their folders were called."""
    return sorted({survey_of(kept.experiment.uid) for kept in library.all() if kept.experiment.kind == "survey"})


def _there(within: Sequence[Path], known: Iterable[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Folders by uid, of several copies of one survey that with the most labels; and why a folder cannot be read."""
    found: dict[str, Path] = {}
    damaged: dict[str, str] = {}
    for file in sorted(path for place in within for path in place.glob("*/survey.json")):
        try:
            meta = read_meta(file.parent)
        except ArchiveError as error:
            damaged[str(file.parent)] = str(error)
            continue
        for uid in known:
            same = uid.startswith(f"{meta.identity}:")
            if same and (uid not in found or _labels(file.parent) > _labels(found[uid])):
                found[uid] = file.parent
    return found, damaged


def _labels(folder: Path) -> tuple[int, int]:
    """How many verdicts of a folder teach, and how much else was said; labels that cannot be read are some."""
    if not (folder / LABELS).is_file():
        return 0, 0
    try:
        with closing(LabelJournal(folder / LABELS)) as journal:
            return len(list(blind_verdicts(journal))), len(journal.events())
    except ArchiveError:
        return 0, 1
