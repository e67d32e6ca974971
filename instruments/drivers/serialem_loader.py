"""An autoloader by SerialEM's commands LoadCartridge, UnloadCartridge and ReportSlotStatus (``MacroMasterList.h``).

Nothing tells what lies on the stage: it is what was loaded last, and its slot in the cassette has to read empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from instruments.errors import BusyError, InstrumentError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

_OCCUPIED, _EMPTY = 1.0, 0.0


class SerialemLoader:
    """Specimens by name; slots are SerialEM's, from 1."""

    def __init__(
        self, script: Callable[[], AbstractContextManager[Any]], slots: Mapping[str, int], on_stage: str | None
    ) -> None:
        """``on_stage``: what lies there now; "" nothing, None nobody knows."""
        self._script, self._slots, self._on_stage = script, slots, on_stage

    def specimens(self) -> Sequence[str]:
        return tuple(self._slots)

    def loaded(self) -> str | None:
        name = self._on_stage
        if name is None:
            raise InstrumentError("nobody knows what lies on the stage: look, and set instrument.loaded")
        if name and (status := self._status(name)) != _EMPTY:
            raise InstrumentError(f"{name} should lie on the stage, and its slot reads {status:g}: look where it is")
        return name or None

    def load(self, name: str) -> None:
        """Raises LimitError for a name without a slot, BusyError for one that is not said to be occupied."""
        if name not in self._slots:
            raise LimitError(f"{name!r} was asked, there are slots for {', '.join(self._slots)}: ask for one of those")
        if name == self._on_stage and self.loaded() == name:
            return
        if (status := self._status(name)) != _OCCUPIED:
            raise BusyError(f"{name} was asked, and its slot {self._slots[name]} reads {status:g}: make the inventory")
        self._on_stage = None
        with self._script() as sem:
            sem.LoadCartridge(self._slots[name])
        self._on_stage = name

    def unload(self) -> None:
        if self._on_stage == "":
            return
        self._on_stage = None
        with self._script() as sem:
            sem.UnloadCartridge()
        self._on_stage = ""

    def _status(self, name: str) -> float:
        """1 occupied, 0 empty, -1 not known; newer versions tell more, in a tuple."""
        with self._script() as sem:
            told = sem.ReportSlotStatus(self._slots[name])
        return float(told[0] if isinstance(told, tuple) else told)
