"""``SurveyRecorder``: the Recorder of a night at the microscope.

    room ─► INTENT row ─► (guard: dose, beam) ─► chunks ─► sync of chunks, folders, metadata ─► COMMIT row ─► STEP row

Each arrow is durable before the next begins, so that a committed frame is never lost and a lost one never forgotten.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, TypeVar

from archive.errors import JournalFull
from archive.journal import Journal, utc_now
from archive.recovery import recover
from archive.room import Room
from archive.store import FrameStore
from instruments.errors import NoRoom
from instruments.ledger_sqlite import free_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from archive.folder import SurveyFolder
    from archive.rows import RequestRow, Rows
    from envs.step import Purpose, Step, Tag
    from instruments.types import Exposure, Footprint, Frame

T = TypeVar("T")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OVERHEAD_BYTES = 1 << 20
"""Rows, metadata and the journal's log of one exposure."""


class SurveyRecorder:
    """Implements ``envs.recorder.Recorder`` over the journal and the frames of a locked folder."""

    def __init__(
        self,
        folder: SurveyFolder,
        *,
        now_utc: Callable[[], datetime] = utc_now,
        bytes_per_pixel: float = 16.0,
        reserve_bytes: int = 64 << 20,
        free_bytes: Callable[[Path], int] = free_bytes,
    ) -> None:
        """Open the folder's records, new or old, and mend what a crash left (``.recovery``).

        ``bytes_per_pixel``: bound of one exposure over all its signals, raised by what is seen. Raises ArchiveError.
        """
        self._path = folder.path
        self._bytes_per_pixel = bytes_per_pixel
        self._large: dict[str, int] = {}
        self._room = Room(folder.path, reserve_bytes=reserve_bytes, free_bytes=free_bytes)
        self.journal = Journal(folder.journal, now_utc=now_utc, create=True)
        about = {"survey": folder.path.name, "created": folder.meta.created_utc, "who": dict(folder.meta.who)}
        self._store = FrameStore(folder.frames, self.journal.rows.used(), about)
        self.recovery = recover(self.journal, self._store, folder.path)
        self._room.fill_ballast()

    @property
    def rows(self) -> Rows:
        """What was recorded."""
        return self.journal.rows

    def expect(self, bytes_per_pixel: Mapping[str, int]) -> None:
        """Signals that are large and read only where an exposure names them: room for them is booked with it."""
        self._large = dict(bytes_per_pixel)

    def intent(
        self, exposure: Exposure, *, purpose: Purpose, tags: tuple[Tag, ...], footprint: Footprint, specimen: str
    ) -> int:
        """Make the intention durable and return the exposure's id. Raises NoRoom without room on disk."""
        pixels = math.prod(exposure.shape) * exposure.frames
        large = sum(self._large.get(name, 0) for name in exposure.signals or ())
        needed = int(pixels * (self._bytes_per_pixel + large)) + _OVERHEAD_BYTES
        self._room.require(needed, f"an exposure of {pixels} pixels")
        return self._kept(
            lambda: self.journal.intent(exposure, purpose=purpose, tags=tags, footprint=footprint, specimen=specimen)
        )

    def commit(self, exposure_id: int, frame: Frame) -> None:
        """Make the frame durable, then say so.

        Raises NoRoom where the disk filled meanwhile: the exposure is then lost, and its dose spent.
        """
        try:
            stored = [self._store.write(name, signal) for name, signal in frame.signals.items()]
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._room.release_ballast()
            reason = f"no room to keep exposure {exposure_id} in {self._path}: {error.strerror}; free some and resume"
            self.fail(exposure_id, reason, spent=True)
            raise NoRoom(reason) from error
        self._kept(lambda: self.journal.commit(exposure_id, frame, stored))
        for signal in stored:
            self._store.keep(signal)
        pixels = math.prod(frame.exposure.shape) * frame.exposure.frames
        size = sum(signal.data.nbytes for name, signal in frame.signals.items() if name not in self._large)
        self._bytes_per_pixel = max(self._bytes_per_pixel, size / pixels)

    def fail(self, exposure_id: int, reason: str, *, spent: bool) -> None:
        """No frame came of the intent; ``spent``: the beam may have been on."""
        self._kept(lambda: self.journal.fail(exposure_id, reason, spent=spent))

    def step(self, step: Step) -> None:
        """Make the step durable."""
        self._kept(lambda: self.journal.step(step))

    def event(self, kind: str, message: str, *, time_s: float, data: Mapping[str, object] | None = None) -> None:
        """Make a remark of the runner durable: fault, reply, pause, request, advice, …."""
        self._kept(lambda: self.journal.event(kind, message, time_s=time_s, data=data))

    def flags(self, flags: Sequence[object]) -> None:
        """Replace the flagged regions, best first: dataclasses or mappings."""
        self._kept(lambda: self.journal.flags(flags))

    def requests(self) -> tuple[RequestRow, ...]:
        """What people ask and nobody has answered."""
        return self.rows.requests("new")

    def answer(self, request_id: int, state: str, reply: str = "") -> None:
        """Answer a request: done, refused, …."""
        self._kept(lambda: self.journal.answer(request_id, state, reply))

    def close(self) -> None:
        """Trim the arrays and close the journal. Safe twice; a crash instead of it loses nothing."""
        self._store.trim()
        self.journal.close()

    def _kept(self, write: Callable[[], T]) -> T:
        """Write a row; on a full disk, once more in the room of the ballast."""
        try:
            return write()
        except JournalFull:
            if not self._room.release_ballast():
                raise
            return write()
