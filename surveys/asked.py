"""What people asked more of on the review page, as examples of classes: a task for the next night, by its name."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from statistics import fmean
from typing import TYPE_CHECKING

from archive.labels import LabelJournal
from archive.verdicts import LABELS, blind_verdicts
from configs.errors import ConfigError
from models.encoder import refusal
from surveys.classes import Example
from surveys.learned import DULL, OTHER
from surveys.places import PLACE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from surveys.classes import Chip


def examples_asked(folder: Path, chips: Sequence[Chip], labels: Path | None = None) -> list[Example]:
    """The survey's ``chips`` of which more was asked, under their names, and as ``OTHER`` what was judged ordinary.

    Of what the policy chose alone: random controls and seeded positives teach nothing. A chip that says nothing is left
    out. ``labels``: the file that keeps them, where it is not in the survey's folder. Raises ConfigError where nobody
    asked for anything, or nothing of a name is left; JournalError.
    """
    path = labels or folder / LABELS
    if not path.is_file():
        raise ConfigError(f"{path} is not there: nobody has judged this survey yet; `adaptem review {folder}`")
    shown = {(chip.of, chip.target): chip for chip in chips if refusal(chip.pixels) is None}
    said: dict[tuple[str, int], list[float]] = defaultdict(list)
    names: dict[tuple[str, int], str] = {}
    with closing(LabelJournal(path)) as journal:
        for item, verdict in blind_verdicts(journal):
            place = PLACE.validate_python(dict(item.data))
            if place.trains:
                said[place.specimen, place.target].append(verdict)
        for item, name in journal.wanted():
            place = PLACE.validate_python(dict(item.data))
            if place.trains:
                names[place.specimen, place.target] = name
    if not names:
        raise ConfigError(f"nobody asked for more like anything in {folder} yet: `adaptem review`, after the reveal")
    if gone := set(names.values()) - {name for place, name in names.items() if place in shown}:
        raise ConfigError(f"no place called {', '.join(sorted(gone))} shows anything in this look: try --look detail")
    dull = {place: OTHER for place, verdicts in said.items() if place not in names and fmean(verdicts) <= DULL}
    return [
        Example(f"{specimen}/{target}", name, shown[specimen, target].pixels)
        for (specimen, target), name in (names | dull).items()
        if (specimen, target) in shown
    ]
