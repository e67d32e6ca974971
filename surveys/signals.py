"""Ctrl-C, SIGTERM and SIGHUP: blank first, then finish the record."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from instruments.errors import InstrumentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from instruments.protocol import Guarded

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Windows has no SIGHUP."""


class Interruption(threading.Event):
    """A stop event that remembers which signal set it."""

    signal_name: str | None = None


class Stoppable(Protocol):
    """What exposes through a guard, and looks between two exposures whether it is to stop."""

    @property
    def stop(self) -> Interruption: ...

    @property
    def guard(self) -> Guarded: ...


@contextmanager
def stopping_on_signals(night: Stoppable) -> Iterator[None]:
    """While open, each of ``SIGNALS`` blanks for good and ends what runs at its next safe point.

    A SIGHUP that was ignored from the start stays so: ``nohup`` means it.

    Only the main thread may install handlers (ValueError otherwise); afterwards the old ones are back.
    """

    def handler(number: int, _frame: FrameType | None) -> None:
        night.stop.signal_name = signal.Signals(number).name
        night.stop.set()
        with suppress(InstrumentError):  # the guard has latched; the loop meets it at its next request
            night.guard.hold(f"{night.stop.signal_name} said stop")

    previous = {number: signal.signal(number, handler) for number in SIGNALS if not _left_alone(number)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _left_alone(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN
