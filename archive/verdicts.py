"""What people said of a survey's places before they knew what the machine thinks: the only verdicts that count."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from archive.labels import LabelJournal
from archive.standing import locked, standing
from envs.step import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive.labels import Item

LABELS = "labels.sqlite"
"""In the survey's folder."""


def blind_verdicts(journal: LabelJournal) -> Iterator[tuple[Item, float]]:
    """Of locked batches, each person's, from 1 to 5; one that was given before its picture had come is left out."""
    for batch in journal.batches():
        events = journal.events(batch.id)
        if not locked(events):
            continue
        blind = {item: told.counts for item, told in standing(events).items()}
        for item in batch.items:
            verdict = blind.get(item.id)
            if verdict is not None:
                yield item, float(verdict)


def teaching_verdicts(folder: Path) -> dict[tuple[str, int], float]:
    """By specimen and site the mean verdict on what the policy chose; empty where nobody was asked.

    What was said of a flag counts for every site of its region.
    Controls and seeded positives are the audit set: they are not in it. Raises JournalError.
    """
    if not (folder / LABELS).is_file():
        return {}
    said: dict[tuple[str, int], list[float]] = defaultdict(list)
    with closing(LabelJournal(folder / LABELS)) as journal:
        for item, verdict in blind_verdicts(journal):
            if list(item.data["streams"]) == [Stream.POLICY.value]:
                sites = (item.data.get("flag") or {}).get("sites") or [item.data]
                for site in sites:
                    said[str(item.data["specimen"]), int(site["target"])].append(verdict)
    return {place: float(np.mean(verdicts)) for place, verdicts in said.items()}
