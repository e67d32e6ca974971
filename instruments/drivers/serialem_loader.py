"""An autoloader by SerialEM's commands LoadCartridge, UnloadCartridge and ReportSlotStatus (``MacroMasterList.h``).

No command tells what lies on the stage: it is the specimen whose slot in the cassette reads empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instruments.errors import BusyError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

_OCCUPIED, _EMPTY = 1.0, 0.0


class SerialemLoader:
    """Specimens by name; slots are SerialEM's, from 1, and none but these have held a cartridge."""

    def __init__(self, script: Callable[[], AbstractContextManager[Any]], slots: Mapping[str, int]) -> None:
        self._script, self._slots = script, slots

    def specimens(self) -> Sequence[str]:
        return tuple(self._slots)

    def loaded(self) -> str | None:
        """Raises BusyError where the slots do not tell: one that is not known, or more than one that reads empty."""
        read = {name: self._status(slot) for name, slot in self._slots.items()}
        empty = [name for name, status in read.items() if status == _EMPTY]
        if len(empty) > 1 or set(read.values()) - {_OCCUPIED, _EMPTY}:
            told = ", ".join(f"{name} {status:g}" for name, status in read.items())
            raise BusyError(f"what lies on the stage cannot be told by the slots ({told}): make the inventory")
        return empty[0] if empty else None

    def load(self, name: str) -> None:
        """Raises LimitError for a name without a slot, BusyError as ``loaded`` does: then nothing was done."""
        if name not in self._slots:
            raise LimitError(f"{name!r} was asked, there are slots for {', '.join(self._slots)}: ask for one of those")
        if self.loaded() == name:
            return
        with self._script() as sem:
            sem.LoadCartridge(self._slots[name])

    def unload(self) -> None:
        """Raises BusyError as ``loaded`` does: then nothing was done."""
        if self.loaded() is None:
            return
        with self._script() as sem:
            sem.UnloadCartridge()

    def _status(self, slot: int) -> float:
        """1 occupied, 0 empty, -1 not known; newer versions tell more, in a tuple."""
        with self._script() as sem:
            told = sem.ReportSlotStatus(slot)
        return float(told[0] if isinstance(told, tuple) else told)
