"""A ring of frames beside a fast camera: it turns at the camera's rate, and keeps what lies around an event.

camera ─► push ─► ring ─┬─► every so-manieth frame ─► whoever decides
                        └─► event ─► frames before and after it, copied out as one burst ─► whoever keeps it

A frame of a window that was asked for is never overwritten in silence: a burst says how many it lost.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Frames: TypeAlias = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Burst:
    """The window around one event."""

    event: int
    """Number of the frame at which it was."""
    first: int
    """Number of the burst's first frame; the camera's first frame is 0."""
    frames: Frames
    """(T, H, W)"""
    lost: int
    """Frames of the window that had been overwritten before they could be copied, or never came."""


@dataclass(slots=True)
class _Window:
    event: int
    first: int
    last: int


class FrameRing:
    """Frames (H, W) of one kind, ``capacity`` of them. One thread pushes; any other asks.

    Raises ValueError where a window could not lie in the ring with room to spare.
    """

    def __init__(
        self, capacity: int, shape: tuple[int, int], dtype: npt.DTypeLike, *, before: int, after: int, every: int = 50
    ) -> None:
        if min(before, after) < 0 or every < 1 or capacity < 2 * (before + after + 1):
            raise ValueError(
                f"a ring of {capacity} frames was asked for windows of {before} before and {after} after an event: "
                "give it twice a window at least"
            )
        self._ring = np.zeros((capacity, *shape), dtype=dtype)
        self._before, self._after, self._every = before, after, every
        self._pushed = 0
        self._windows: deque[_Window] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._glance: tuple[int, Frames] | None = None

    @property
    def pushed(self) -> int:
        """Frames so far."""
        return self._pushed

    def push(self, frame: Frames) -> None:
        """One frame of the camera: copied into the ring."""
        number = self._pushed
        self._ring[number % len(self._ring)] = frame
        with self._changed:
            self._pushed = number + 1
            if number % self._every == 0:
                self._glance = number, self._ring[number % len(self._ring)].copy()
                self._changed.notify_all()
            elif self._windows and self._windows[0].last <= number:
                self._changed.notify_all()

    def glance(self) -> tuple[int, Frames] | None:
        """Number and copy of the latest frame of the decimated stream; None: none yet."""
        return self._glance

    def event(self, number: int | None = None) -> None:
        """Keep what lies around a frame; None: the latest. Windows that overlap become one burst each all the same."""
        with self._changed:
            at = self._pushed - 1 if number is None else number
            self._windows.append(_Window(at, max(at - self._before, 0), at + self._after))
            self._changed.notify_all()

    def burst(self, timeout_s: float) -> Burst | None:
        """The next window that is complete, copied out; None: none within the time, or the ring was closed."""
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._closed or bool(self._windows and self._windows[0].last < self._pushed), timeout_s
            )
            if not ready or not self._windows or (self._closed and self._windows[0].first >= self._pushed):
                return None
            window = self._windows.popleft()
            last = min(window.last, self._pushed - 1)
        numbers = np.arange(window.first, last + 1)
        frames = self._ring[numbers % len(self._ring)]
        overwritten = int((numbers <= self._pushed - len(self._ring)).sum())  # also what came while it was copied
        return Burst(window.event, window.first, frames, overwritten + window.last - last)

    def close(self) -> None:
        """No more frames come: windows that are not complete are given out as far as they go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
