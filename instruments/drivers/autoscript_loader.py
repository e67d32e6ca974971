"""An autoloader by ``specimen.autoloader``: is_installed, stage, ``get_slots(False)``, ``load(id)``, ``unload()``.

As programs for AutoScript's cryo columns use them (fibsem-os, ``fibsem/devices/drivers/autoscript.py``): a slot's id is
a number from 1, its state Unknown, Occupied or Empty, and of the specimen on the stage Loaded since 4.14, Empty before;
a call returns when the specimen is there. No public program shows them on a column for TEM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instruments.errors import BusyError, InstrumentError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

_KNOWN = {"Occupied", "Empty", "Loaded"}


class AutoscriptLoader:
    """Specimens by name; of the slots, none but these have held a cartridge. The inventory is left to a person."""

    def __init__(self, column: Callable[[], AbstractContextManager[Any]], slots: Mapping[str, int]) -> None:
        self._column, self._slots = column, slots

    def there(self) -> bool:
        """Whether the column has one that is initialised. Raises Disconnected."""
        with self._column() as column:
            try:
                return bool(column.specimen.autoloader.is_installed)
            except OSError:
                raise
            except Exception:  # of the vendor's own class: there is none, or it is not ready
                return False

    def specimens(self) -> Sequence[str]:
        return tuple(self._slots)

    def loaded(self) -> str | None:
        """Raises BusyError where slots and stage do not tell: not known, more than one, another's, or at odds."""
        told, stage = self._read()
        loaded, empty = (
            [name for name, slot in self._slots.items() if told.get(slot) == state] for state in ("Loaded", "Empty")
        )
        found = loaded or ([] if stage == "Empty" else empty)
        others = {slot for slot, state in told.items() if state == "Loaded"} - set(self._slots.values())
        states = {*told.values(), *(told.get(slot, "not there") for slot in self._slots.values()), stage or "Empty"}
        at_odds = stage is not None and (stage == "Empty") == bool(found)
        if states - _KNOWN or others or at_odds or len(found) > 1:
            slots = ", ".join(f"{slot} {state}" for slot, state in told.items())
            raise BusyError(
                f"what lies on the stage cannot be told (stage {stage}; slots {slots}; named {dict(self._slots)}): "
                "make the inventory, and name every slot that is used"
            )
        return found[0] if found else None

    def load(self, name: str) -> None:
        """What fails once a specimen is on its way is no refusal.

        Raises:
            LimitError: a name without a slot; nothing was done.
            BusyError: as ``loaded`` does, or its slot does not hold it; nothing was done.
            InstrumentError: a transfer failed.
        """
        if name not in self._slots:
            raise LimitError(f"{name!r} was asked, there are slots for {', '.join(self._slots)}: ask for one of those")
        if (before := self.loaded()) == name:
            return
        if (state := self._read()[0].get(self._slots[name])) != "Occupied":
            raise BusyError(f"{name} was asked, its slot {self._slots[name]} reads {state}: put it there")
        if before is not None:
            self.unload()
            self._see_empty(before)
        with self._column() as column:
            column.specimen.autoloader.load(self._slots[name])

    def unload(self) -> None:
        """Raises BusyError as ``loaded`` does: then nothing was done."""
        if self.loaded() is None:
            return
        with self._column() as column:
            column.specimen.autoloader.unload()

    def _see_empty(self, before: str) -> None:
        """Nothing is loaded onto a loaded stage."""
        try:
            left = self.loaded()
        except BusyError as error:
            raise InstrumentError(f"{before} was sent back, and where it is does not read: {error}") from error
        if left is not None:
            raise InstrumentError(f"{before} was sent back, and {left} lies on the stage: see where the specimen is")

    def _read(self) -> tuple[dict[int, str], str | None]:
        """The states of slots, by their ids, and of the stage: None where it is not told of."""
        with self._column() as column:
            loader = column.specimen.autoloader
            stage = getattr(loader, "stage", None)
            told = {int(slot.id): _word(slot.state) for slot in loader.get_slots(False)}
            return told, None if stage is None else _word(stage.state)


def _word(state: object) -> str:
    """Of a name or a member of an enumeration, in either case."""
    return str(state).rsplit(".", 1)[-1].capitalize()
