"""What stands of the labels: a fold over the journal's events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archive.labels import KeptEvent

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Standing:
    """What one person says of one place."""

    blind: int | None = None
    """The verdict when the batch was locked, or so far: only this counts in any estimate."""
    revised: int | None = None
    """The last verdict after the reveal; None = none."""
    note: str = ""
    given: KeptEvent | None = field(default=None, compare=False, repr=False)
    """The event that gave ``blind``: when, and how the place was shown then."""
    stack: tuple[KeptEvent, ...] = field(default=(), compare=False, repr=False)
    """The blind verdicts that an undo would take back one by one, the last of them first; ``given`` is the last."""

    @property
    def counts(self) -> int | None:
        """``blind``, if the place's picture had come when it was given: said of nothing, a verdict counts nowhere."""
        return self.blind if self.given is None or bool(self.given.shown.get("seen", True)) else None

    @property
    def swept(self) -> bool:
        """Whether ``blind`` was said of the rest of a screen at once, not of this place by itself."""
        return self.given is not None and self.given.shown.get("how") == "sweep"


def standing(events: Iterable[KeptEvent]) -> dict[str, Standing]:
    """By item, in the order of the events. An undo takes back the item's last blind verdict that still stands.

    After the lock nothing blind is taken back: an undo there takes back a revision.
    """
    blind: dict[str, list[KeptEvent]] = {}
    revised: dict[str, list[KeptEvent]] = {}
    notes: dict[str, str] = {}
    for event in events:
        if event.item is None:
            continue
        stack = (blind if event.phase == "blind" else revised).setdefault(event.item, [])
        if event.kind == "verdict" and event.verdict is not None:
            stack.append(event)
        elif event.kind == "undo":
            del stack[-1:]
        elif event.kind == "note":
            notes[event.item] = event.text or ""
    told: dict[str, Standing] = {}
    for item in {**blind, **revised, **notes}:
        given, second = _last(blind.get(item)), _last(revised.get(item))
        told[item] = Standing(
            None if given is None else given.verdict,
            None if second is None else second.verdict,
            notes.get(item, ""),
            given,
            tuple(blind.get(item, ())),
        )
    return told


def locked(events: Iterable[KeptEvent]) -> bool:
    """Whether the batch of these events has been locked, and so may be revealed."""
    return any(event.kind == "lock" for event in events)


def _last(verdicts: list[KeptEvent] | None) -> KeptEvent | None:
    return verdicts[-1] if verdicts else None
