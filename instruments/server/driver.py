"""What the server asks of a driver: plain dictionaries and arrays, so that any Python of an instrument can give it.

A driver is a Python file with ``open_driver(settings) -> driver``, where ``settings`` is a dictionary read from JSON.
Names and units are those of adaptem's ``instruments/types.py``; a value that is not known is left out, or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

REFUSALS = ("LimitError", "NotSupported", "NotCalibrated", "BusyError")
"""Kinds of error that promise that nothing was done."""


class DriverError(Exception):
    """What a driver raises: an error of adaptem's ``instruments/errors.py`` by name, and ``about``, what it carries.

    LimitError, NotSupported, NotCalibrated, BusyError (until_s), ReachError (readback), Timeout, Disconnected,
    HardwareFault (latching).
    """

    def __init__(self, kind: str, message: str, **about: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.about = about


class Driver(Protocol):
    """The methods of a driver, for reading: it need not inherit from this.

    All are called from one thread, that of ``open_driver``, except ``blank``, ``blanked`` and ``stop``: these are also
    called from others while a call is under way, must return soon, and must work then.
    """

    can_stop: bool
    """Whether there is a ``stop``; False where there is no such attribute."""

    def state(self) -> dict[str, Any]:
        """time_s, stage {x_nm, …}, optics {defocus_nm, …}, blanked, valve_open, lit_nm, busy_until_s, readings.

        vacuum, emission, and holder by name: each {value, unit, age_s, valid}.
        """
        ...

    def move(self, target: dict[str, Any]) -> dict[str, Any]:
        """Move the axes that are named; return the stage as read back, once stopped and within tolerance."""
        ...

    def tune(self, target: dict[str, Any]) -> dict[str, Any]:
        """Set the controls that are named; return the optics as read back, once settled."""
        ...

    def acquire(self, exposure: dict[str, Any]) -> tuple[dict[str, Any], Sequence[np.ndarray[Any, Any]]]:
        """Unblank, expose once, blank.

        Returns (frame, arrays). frame: stage, optics, start_s, end_s, electrons, holder, and signals, a list of
        {name, axes: [{name, scale, unit, offset}], unit, calibration}, one for each array, in order.
        """
        ...

    def blank(self) -> None:
        """Blank the beam, from any thread; an exposure that is under way does not go on."""
        ...

    def stop(self) -> None:
        """Stop what moves, from any thread, within a second; the ``move`` that is under way raises ReachError."""
        ...

    def blanked(self) -> bool | None:
        """What the blanker reads, from any thread; None where it does not tell."""
        ...

    def close(self) -> None:
        """Blank and let go of the instrument. Safe twice."""
        ...

    def use(self, power: str, verb: str, values: list[Any]) -> Any:
        """An optional power's method by name (``HasValves``, ``close_valves``), its result as JSON.

        With an empty ``verb``: whether there is such a power. A driver without any returns False.
        """
        ...
