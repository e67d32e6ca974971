"""What people said of a survey's places before they knew what the machine thinks: the only verdicts that count."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from archive.labels import LabelJournal
from archive.standing import locked, standing
from envs.step import Kind, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archive.labels import Item
    from archive.reader import SurveyReader
    from envs.step import Step

LABELS = "labels.sqlite"
"""In the survey's folder."""
_AUDIT = {Stream.CONTROL, Stream.SEEDED}


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


def audit_sites(steps: Iterable[Step]) -> set[tuple[str, int]]:
    """By specimen and target, what was drawn as a random control or seeded, whether its frame came or not."""
    return {
        (step.specimen, step.target)
        for step in steps
        if step.target is not None and (step.kind is Kind.CONTROL or _AUDIT & _streams(step))
    }


def _streams(step: Step) -> set[Stream]:
    own = {tag.stream for record in step.exposures for tag in record.tags}
    return own | {tag.stream for _, tag in step.retagged}


def teaching_verdicts(reader: SurveyReader) -> dict[tuple[str, int], float]:
    """By specimen and site the mean verdict on what the policy chose; empty where nobody was asked.

    What was said of a flag counts for every site of its region, but for those of the audit set: random controls, as the
    steps tell them whoever has judged them, and the sites of seeded positives. Raises JournalError.
    """
    if not (reader.folder / LABELS).is_file():
        return {}
    said: dict[tuple[str, int], list[float]] = defaultdict(list)
    audit = audit_sites(reader.steps())
    with closing(LabelJournal(reader.folder / LABELS)) as journal:
        audit |= {(str(data["specimen"]), int(data["target"])) for data, _ in journal.seeded()}
        for item, verdict in blind_verdicts(journal):
            if list(item.data["streams"]) == [Stream.POLICY.value]:
                sites = (item.data.get("flag") or {}).get("sites") or [item.data]
                for place in {(str(item.data["specimen"]), int(site["target"])) for site in sites} - audit:
                    said[place].append(verdict)
    return {place: float(np.mean(verdicts)) for place, verdicts in said.items()}
