"""What stands of the labels: a fold over the journal's events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archive.labels import KeptEvent


@dataclass(frozen=True, slots=True)
class Standing:
    """What one person says of one place."""

    blind: int | None = None
    """The verdict when the batch was locked, or so far: only this counts in any estimate."""
    revised: int | None = None
    """The last verdict after the reveal; None = none."""
    note: str = ""


def standing(events: Iterable[KeptEvent]) -> dict[str, Standing]:
    """By item, in the order of the events. An undo takes back the item's last blind verdict that still stands.

    After the lock nothing blind is taken back: an undo there takes back a revision.
    """
    blind: dict[str, list[int]] = {}
    revised: dict[str, list[int]] = {}
    notes: dict[str, str] = {}
    for event in events:
        if event.item is None:
            continue
        stack = (blind if event.phase == "blind" else revised).setdefault(event.item, [])
        if event.kind == "verdict" and event.verdict is not None:
            stack.append(event.verdict)
        elif event.kind == "undo":
            del stack[-1:]
        elif event.kind == "note":
            notes[event.item] = event.text or ""
    return {
        item: Standing(_last(blind.get(item)), _last(revised.get(item)), notes.get(item, ""))
        for item in {**blind, **revised, **notes}
    }


def locked(events: Iterable[KeptEvent]) -> bool:
    """Whether the batch of these events has been locked, and so may be revealed."""
    return any(event.kind == "lock" for event in events)


def _last(verdicts: list[int] | None) -> int | None:
    return verdicts[-1] if verdicts else None
