"""A survey under review: its places, who judges which of them, and what may be told to whom already."""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.errors import FolderError
from archive.folder import holder, read_meta, versions
from archive.labels import LabelJournal
from archive.rows import Rows, open_read_only
from archive.standing import standing
from review.feature import Feature
from review.judged import to_second
from review.sampling import BATCH_SIZE, compose, ids, shuffled
from surveys.endings import last_word
from surveys.places import PLACE, Place, places_of, trees_of
from surveys.tracking_rows import is_followed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from archive.labels import Batch


@dataclass(frozen=True, slots=True)
class Known:
    """What the record says by now of its places."""

    extent: tuple[int, int, int]
    """How far the record had come (``Rows.extent``)."""
    places: tuple[Place, ...]


def _chance() -> int:
    return secrets.randbits(62)


class Study:
    """Everything but the web: may be used, and is tested, without a server."""

    def __init__(
        self, folder: Path, labels: Path | None = None, *, size: int = BATCH_SIZE, seed: Callable[[], int] = _chance
    ) -> None:
        """``labels``: the file that keeps them; None = ``labels.sqlite`` in the survey's folder.

        ``seed``: of each new batch; it is kept with the batch. Raises FolderError or JournalError.
        """
        self.folder = folder
        self.meta = read_meta(folder)
        if is_followed(folder):
            raise FolderError(
                f"{folder}: a specimen is followed here, and nothing flagged; `adaptem report` tells of it"
            )
        self.name = str(self.meta.config.get("name", "survey"))
        self.sites = {name: len(tree.leaves) for name, tree in trees_of(self.meta.config).items()}
        self._known: Known | None = None
        self.seeded: tuple[Place, ...] = ()
        """Ordinary places that show a known feature (``review.seeding``)."""
        self.features: dict[str, Feature] = {}
        """What they show, by place."""
        self.known()
        self.journal = LabelJournal(labels or folder / "labels.sqlite")
        self._take_in_seeded()
        self._size = size
        self._seed = seed

    def known(self) -> Known:
        """As the record stands now: read again where it has grown. Raises JournalError."""
        with closing(open_read_only(self.folder / "journal.sqlite")) as journal:
            rows = Rows(journal)
            found, extent = self._known, rows.extent()
            if found is None or found.extent != extent:
                places = places_of(self.meta.config, rows.steps(), rows.flags())
                taken = {place.key for place in places}  # by a survey that went on: then it is no seeded positive
                seeded = [place for place in self.seeded if place.key not in taken]
                self._known = found = Known(extent, (*places, *seeded))
        return found

    def keep_seeded(self, sown: Sequence[tuple[Place, bytes]]) -> None:
        """Keep seeded positives with the labels: places, and the pictures of what they show."""
        self.journal.sow([(place.key, place.as_dict(), pictures) for place, pictures in sown])
        self._take_in_seeded()

    def _take_in_seeded(self) -> None:
        found = [(PLACE.validate_python(dict(data)), pictures) for data, pictures in self.journal.seeded()]
        self.seeded = tuple(place for place, _ in found)
        self.features = {place.key: Feature.of_bytes(pictures) for place, pictures in found}
        self._known = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Of the record as it stands now."""
        return self.known().places

    @property
    def running(self) -> bool:
        return holder(self.folder) is not None

    def has_ended(self) -> bool:
        """Whether the runner has said its last word: flags come with it. False while it runs or after it was cut off.

        Raises JournalError.
        """
        with closing(open_read_only(self.folder / "journal.sqlite")) as journal:
            return last_word(Rows(journal).events()) is not None

    def batch_for(self, reviewer: str) -> Batch | None:
        """The batch that this person has open, else a new one.

        None when there is nothing left to judge, or the survey has not ended: it runs, or it was cut off.
        """
        waiting = self.journal.open_batch(reviewer)
        if waiting is not None:
            return self.journal.batch(waiting)
        mine = self.journal.batches(reviewer)
        if not self.has_ended():
            return None  # flags come at the end: a batch before it would hold controls alone
        chosen = compose(self.places, {item.place for batch in mine for item in batch.items}, self._size,
                         to_second(self.journal, reviewer))  # fmt: skip
        if not chosen:
            return None
        seed = self._seed()
        name = ids(np.random.default_rng((seed, 0x1B)))()
        return self.journal.new_batch(name, reviewer, seed, versions(), shuffled(name, chosen, seed))

    def is_locked(self, batch: str) -> bool:
        """Whether what the machine thought may be shown."""
        return self.journal.is_locked(batch)

    def blind(self, batch: str) -> list[dict[str, Any]]:
        """All that a browser is told of a batch that is not locked: nothing of the places, only what was said.

        Raises KeyError for a batch that was never given.
        """
        items = self.journal.item_ids(batch)
        said = standing(self.journal.events(batch))
        return [
            {
                "id": item,
                "verdict": said[item].blind if item in said else None,
                "seen": item not in said or said[item].counts is not None or said[item].blind is None,
                "note": said[item].note if item in said else "",
                "given": [
                    {
                        "order": event.seq,
                        "verdict": event.verdict,
                        "seen": bool(event.shown.get("seen", True)),
                        "sweep": event.shown.get("sweep"),
                    }
                    for event in (said[item].stack if item in said else ())
                ],  # what an undo takes back, oldest first; a sweep's events as one
            }
            for item in items
        ]

    def revealed(self, reviewer: str) -> list[Place]:
        """Places of this person's locked batches: of those alone may be told who chose them, and why."""
        return [
            PLACE.validate_python(dict(item.data))
            for batch in self.journal.batches(reviewer)
            if self.is_locked(batch.id)
            for item in batch.items
        ]

    def left_for(self, reviewer: str) -> int:
        """How many places that can be judged this person has not judged in a locked batch."""
        revealed = {place.key for place in self.revealed(reviewer)}
        return sum(place.near and place.key not in revealed for place in self.places)

    def is_hidden(self, reviewer: str) -> bool:
        """Whether what was decided stays unsaid: after the end until this person has judged all there is.

        Also where a survey was cut off: which places there will be to judge is not known before it has ended.
        """
        ended = self.has_ended()
        if self.running and not ended:
            return False
        return not ended or self.left_for(reviewer) > 0

    def left_out(self) -> int:
        """Flags that only an overview shows: they would look unlike the controls, and so are not judged blind."""
        return sum(place.flag is not None and not place.near for place in self.places)

    def close(self) -> None:
        """Safe twice."""
        self.journal.close()
