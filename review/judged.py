"""Places as people judged them, read out of the journal of labels."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archive.standing import locked, standing
from envs.step import Stream
from surveys.places import PLACE, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archive.labels import Batch, Item, LabelJournal
    from archive.standing import Standing

INTERESTING = 4
"""This verdict and above."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One place as one person judged it, in a batch that is locked."""

    reviewer: str
    place: Place
    blind: int
    revised: int | None
    swept: bool = False
    """Said of the rest of a screen at once: "all others here are ordinary"."""

    @property
    def interesting(self) -> bool:
        return self.blind >= INTERESTING

    @property
    def is_control(self) -> bool:
        return Stream.CONTROL in self.place.streams


def counted_in(journal: LabelJournal) -> Iterator[tuple[Batch, Item, int, Standing]]:
    """Every place of every locked batch that was judged of a picture, and that verdict, in the order of the batches."""
    for batch in journal.batches():
        events = journal.events(batch.id)
        if not locked(events):
            continue
        said = standing(events)
        for item in batch.items:
            verdicts = said.get(item.id)
            if verdicts is not None and verdicts.counts is not None:
                yield batch, item, verdicts.counts, verdicts


def judged_in(journal: LabelJournal) -> Iterator[Judged]:
    """Every blind verdict of these."""
    for batch, item, counts, verdicts in counted_in(journal):
        yield Judged(batch.reviewer, PLACE.validate_python(dict(item.data)), counts, verdicts.revised, verdicts.swept)


def first_of_each_feature(judged: Sequence[Judged]) -> list[Judged]:
    """Seeded positives, of each known feature the place judged first.

    Earlier versions put one feature into several places; what is said of those is no independent trial.
    """
    found: dict[tuple[object, ...], Judged] = {}
    for one in judged:
        if Stream.SEEDED in one.place.streams:
            told = one.place.injected
            found.setdefault((one.place.key,) if told is None else tuple(sorted(told.items())), one)
    return list(found.values())


def to_second(journal: LabelJournal, reviewer: str) -> set[str]:
    """Controls that somebody called interesting and nobody else has judged yet, without this reviewer's own.

    Ordinary places are many: a few of them called interesting by mistake outweigh what was missed. So a second person
    judges these.
    """
    judged: dict[str, list[Judged]] = defaultdict(list)
    for one in judged_in(journal):
        if one.is_control:
            judged[one.place.key].append(one)
    return {
        key
        for key, found in judged.items()
        if len({one.reviewer for one in found}) == 1 and found[0].reviewer != reviewer and found[-1].interesting
    }
