"""One driver a column: whoever opens one here holds a file that only one process of this computer can hold.

    survey, doctor, calibrate ── driver server ──┐
    adviser, `adaptem instruments` ──────────────┴──► NAME.column, locked ──► the instrument

The lock is the operating system's, so it ends with its process, however that ends. A process that stands still keeps
it, and should: it may go on.
"""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
import weakref
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from configs.load import ConfigError, Settings
from instruments.drivers import registry
from instruments.errors import BusyError
from instruments.latches import latch_file
from instruments.launch import instrument_name

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 10.0
"""For processes that were told to end, or killed, a moment ago: they blank before they let go."""
_TICK_S = 0.05
_FAR = 1 << 20
"""The byte that Windows locks; what lies before it can be read meanwhile."""


class Column:
    """Held for as long as this is kept: until ``release``, or until the process ends."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        _HELD.add(self)

    def release(self) -> None:
        """Let go of it. Safe twice."""
        if self._file is not None:
            _unlock(self._file)
            self._file.close()
        self._file = None

    def disown(self) -> None:
        """A process that was forked off holds nothing: its copy would outlive the one that holds it."""
        if self._file is not None:
            self._file.close()
        self._file = None


_HELD: weakref.WeakSet[Column] = weakref.WeakSet()


def _disown() -> None:
    for column in list(_HELD):
        column.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)


def here() -> str:
    """This process, as it is named to whoever finds the column taken."""
    return f"process {os.getpid()} ({shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])})"


def take(instrument: Settings, holder: str | None = None, patience_s: float = PATIENCE_S) -> Column:
    """Hold the column of an instrument, before its driver is opened.

    Args:
        instrument: nothing is locked for a simulated one, and none for ``kind: remote``, whose driver server does it.
        holder: whom to name to those who come meanwhile; by itself this process.
        patience_s: how long to wait for another holder to let go.

    Raises:
        BusyError: another process holds it, and which.
        ConfigError: the system cannot lock a file there.
    """
    inner = instrument
    while isinstance(wrapped := getattr(inner, "instrument", None), Settings):  # kind: faulty
        inner = wrapped
    if registry.simulated(inner) or getattr(inner, "kind", None) == "remote":
        return Column(None)
    name = instrument_name(instrument)
    latches = latch_file(name)
    file = latches.with_name(f"{name}.column").open("a+", encoding="utf-8")
    give_up_s = time.monotonic() + patience_s
    while not _locked(file):
        if time.monotonic() > give_up_s:
            file.seek(0)
            other = file.read().strip() or "another process"
            file.close()
            raise BusyError(
                f"{name} is held by {other}: two drivers on one column would not know of each other's motions; end "
                "that one, or start a driver server of its own and say `kind: remote` in both configs"
            )
        time.sleep(_TICK_S)
    file.seek(0)
    file.truncate()
    file.write(holder or here())
    file.flush()
    return Column(file)


@contextmanager
def held(instrument: Settings) -> Iterator[None]:
    """``take`` and release."""
    column = take(instrument)
    try:
        yield
    finally:
        column.release()


def _taken(error: OSError, file: IO[str]) -> bool:
    """False for a file that is locked; ConfigError for one that cannot be."""
    if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK)):
        return False
    told = f"{file.name} cannot be locked ({error}), so nothing keeps a second driver off the column"
    file.close()
    raise ConfigError(f"{told}: put ADAPTEM_STATE on a disk of this computer") from error


if sys.platform == "win32":
    import msvcrt

    def _locked(file: IO[str]) -> bool:
        os.lseek(file.fileno(), _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return _taken(error, file)
        return True

    def _unlock(file: IO[str]) -> None:
        os.lseek(file.fileno(), _FAR, os.SEEK_SET)
        with suppress(OSError):  # closing does it, too
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _locked(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return _taken(error, file)
        return True

    def _unlock(file: IO[str]) -> None:
        with suppress(OSError):  # closing does it, too
            fcntl.flock(file, fcntl.LOCK_UN)
