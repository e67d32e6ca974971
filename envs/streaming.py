"""A look that is a stream: frames pass a ring, a decimated sum is watched, what lies around an event is kept.

camera ─► ring ─┬─► sum of all frames ─► read as any image
                ├─► sum of every so many ─► watcher ─► an event
                └─► frames before and after it ─► one burst, kept with the exposure
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.errors import HardwareFault
from instruments.ring import FrameRing
from instruments.types import Axis, Signal

if TYPE_CHECKING:
    from instruments.powers import HasStream
    from instruments.ring import Burst
    from instruments.types import Exposure, Frame, Pixels

Sum: TypeAlias = npt.NDArray[np.float32]


class Watcher(Protocol):
    """Looks at a decimated stream."""

    def watch(self, frame: Sum) -> bool:
        """One sum of frames (H, W). Whether something has happened in it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """How streams are watched, and how much is kept of them."""

    watcher: Callable[[], Watcher]
    """Makes one for each stream."""
    every: int
    """Frames summed to one that is watched."""
    before: int
    """Frames kept before an event."""
    after: int
    most: int = 4
    """Events of one stream that are kept."""


@dataclass(frozen=True, slots=True)
class Event:
    """Of a stream, and the burst that is kept of it."""

    signal: str
    """Under which the exposure has the burst (T, H, W)."""
    frame: int
    """Number of the frame at which it was seen; the first of the stream is 0."""
    first: int
    """Of the burst."""
    frames: int
    lost: int
    """Of the window: before the stream began or after it ended they never were."""
    after_s: float
    """From the stream's first frame to the event."""


class _Course:
    """One stream, as its frames come."""

    def __init__(self, how: Streaming) -> None:
        self._how, self._watcher = how, how.watcher()
        self._ring: FrameRing | None = None
        self._asked, self._watched = 0, np.zeros(0, np.float32)
        self.total: Sum = np.zeros(0, np.float32)
        self.bursts: list[Burst] = []

    def push(self, frame: Pixels) -> None:
        how = self._how
        if self._ring is None:
            room = 2 * (how.before + how.after + 1)
            self._ring = FrameRing(
                room, (frame.shape[0], frame.shape[1]), frame.dtype, before=how.before, after=how.after, every=how.every
            )
            self.total, self._watched = np.zeros(frame.shape, np.float32), np.zeros(frame.shape, np.float32)
        self._ring.push(frame)
        counts = frame.astype(np.float32)
        self.total += counts
        self._watched += counts
        if self._ring.pushed % how.every == 0:
            if self._watcher.watch(self._watched) and self._asked < how.most:
                self._asked += 1
                self._ring.event()
            self._watched = np.zeros_like(self._watched)
        self._gather(self._ring)

    def _gather(self, ring: FrameRing) -> None:
        while len(self.bursts) < self._asked and (burst := ring.burst(0.0)) is not None:
            self.bursts.append(burst)

    def end(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._gather(self._ring)


def summed(frame: Frame) -> Frame:
    """A burst as one image: of an instrument that hands out no frame before the last."""
    signals = {name: _summed(signal, frame.exposure.frames) for name, signal in frame.signals.items()}
    return replace(frame, signals=signals)


def _summed(signal: Signal, frames: int) -> Signal:
    if frames < 2 or not signal.axes or signal.axes[0].name != "frame":
        return signal
    return Signal(signal.data.sum(axis=0, dtype=np.float32), signal.axes[1:], signal.unit, _of_all(signal, frames))


def _of_all(signal: Signal, frames: int) -> dict[str, float]:
    """A detector's constants for the sum of so many frames."""
    found = dict(signal.calibration)
    for each in ("offset_counts", "saturation_counts"):
        if each in found:
            found[each] *= frames
    return found


def streamed(camera: HasStream, exposure: Exposure, how: Streaming) -> tuple[Frame, tuple[Event, ...]]:
    """A stream of one signal as a frame: the sum of all under the signal's name, and a burst for each event.

    Raises what the camera raises; HardwareFault where it handed on no frame.
    """
    course = _Course(how)
    made = camera.stream(exposure, course.push)
    course.end()
    if not made.signals or not course.total.size:
        raise HardwareFault("the camera handed on no frame of a stream: its dose is spent; see to it", latching=False)
    name, last = next(iter(made.signals.items()))
    signals = {name: Signal(course.total, last.axes, last.unit, _of_all(last, exposure.frames))}
    frame_s = exposure.beam_on_s / exposure.frames + exposure.interval_s
    events = []
    for number, burst in enumerate(course.bursts, 1):
        kept = f"{name}.burst{number}"
        axes = (Axis("frame", frame_s, "s", burst.first * frame_s), *last.axes)
        signals[kept] = Signal(burst.frames, axes, last.unit, last.calibration)
        events.append(Event(kept, burst.event, burst.first, len(burst.frames), burst.lost, (burst.event + 1) * frame_s))
    return replace(made, signals=signals), tuple(events)
