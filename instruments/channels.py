"""What lies over a recorded image: further images, spectra and patterns of the same place, each on its own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.errors import LimitError, NotSupported
from instruments.plane import Plane
from instruments.recordings import Recording
from instruments.regrid import averaged, shares, thinned
from instruments.types import Axis, Signal

if TYPE_CHECKING:
    from instruments.types import Exposure

Ratio: TypeAlias = float
Doubles: TypeAlias = npt.NDArray[np.floating[Any]]
_SLACK_PX = 1e-6
"""Rounding that borders forgive."""


@dataclass(frozen=True, slots=True)
class Lie:
    """Where a recording lies in the image, in the image's pixels from its upper left corner."""

    top_px: float
    left_px: float
    step_px: tuple[float, float]
    """Height and width of one of its pixels."""
    shape: tuple[int, int]

    def holds(self, window: Window) -> bool:
        """Whether a frame lies wholly on it."""
        return all(
            first >= -_SLACK_PX and last <= count + _SLACK_PX
            for first, last, count in zip(*window.on(self)[:2], self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Window:
    """A frame on the image, in the image's pixels from its upper left corner."""

    top_px: float
    left_px: float
    step_px: float
    shape: tuple[int, int]
    image_nm: float
    """Size of the image's pixels."""

    @property
    def middles(self) -> tuple[Doubles, Doubles]:
        """(H,) and (W,) where the frame's pixels have their middles."""
        rows, columns = (np.arange(count, dtype=np.float64) + 0.5 for count in self.shape)
        return self.top_px + self.step_px * rows, self.left_px + self.step_px * columns

    def on(self, lie: Lie) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        """(top, left), (bottom, right) and (height, width) of a frame pixel, in the pixels of a recording."""
        first = ((self.top_px - lie.top_px) / lie.step_px[0], (self.left_px - lie.left_px) / lie.step_px[1])
        step = (self.step_px / lie.step_px[0], self.step_px / lie.step_px[1])
        last = (first[0] + self.shape[0] * step[0], first[1] + self.shape[1] * step[1])
        return first, last, step


@dataclass(frozen=True, slots=True)
class ImageChannel:
    """A further image: seen as the first one is."""

    plane: Plane
    lie: Lie

    def seen(self, window: Window) -> npt.NDArray[np.float32]:
        """(H, W) on the frame's pixels."""
        (top, left), _, (high, wide) = window.on(self.lie)
        rows, columns = (np.arange(count) + 0.5 for count in window.shape)
        return self.plane.seen(top + high * rows, left + wide * columns, math.sqrt(high * wide))


@dataclass(frozen=True, slots=True)
class SlowChannel:
    """Spectra (H, W, E) or patterns (H, W, Ky, Kx), read row by row when a frame names them."""

    name: str
    recording: Recording
    lie: Lie
    inner: tuple[Axis, ...]
    """Energy, or ky and kx."""
    dwell_us: float | None
    """How long each pixel was recorded; None = not known."""
    counting: bool

    @property
    def depth(self) -> tuple[int, ...]:
        """Numbers at one pixel."""
        return self.recording.shape[2:]

    def signal(self, window: Window, exposure: Exposure, rng: np.random.Generator) -> Signal:
        """What a frame gets of it.

        Frame pixels larger than the record's take means over their area, or the electrons that fall into them. Where
        they are smaller the record keeps its own pixels, those whose middles lie in the frame: none is invented.
        Raises LimitError, NotSupported.
        """
        if exposure.frames > 1:
            raise NotSupported(f"{exposure.frames} frames of {self.name} were asked; it was recorded once: ask for one")
        if not self.lie.holds(window):
            raise LimitError(
                f"{self.name} was asked where it was not recorded: it lies over {self._told(window)}; move there, or "
                "give the survey that area"
            )
        edges, axes = zip(*(self._grid(window, exposure, i) for i in (0, 1)), strict=True)
        down, across = (shares(edge, count) for edge, count in zip(edges, self.lie.shape, strict=True))
        kept = self._kept(exposure, window)
        if kept is None:
            data: npt.NDArray[Any] = averaged(self._row, down, across, math.prod(self.depth))
            calibration = {} if self.dwell_us is None else {"recorded_dwell_us": self.dwell_us}
            unit = "recorded"
        else:
            data = thinned(self._row, down, across, math.prod(self.depth), kept, rng)
            calibration, unit = {"recorded_dwell_us": self.dwell_us or 0.0}, "counts"
        return Signal(data.reshape(*data.shape[:2], *self.depth), (*axes, *self.inner), unit, calibration)

    def _grid(self, window: Window, exposure: Exposure, i: int) -> tuple[Doubles, Axis]:
        """Borders of the pixels that are given, in those of the record, and their axis."""
        firsts, lasts, steps = window.on(self.lie)
        first, last, step = firsts[i], lasts[i], steps[i]
        name, frame_nm = ("row", "column")[i], exposure.pixel_size_nm
        if step >= 1 - _SLACK_PX:
            return first + step * np.arange(window.shape[i] + 1), Axis(name, frame_nm, "nm")
        low, high = math.ceil(first - 0.5 - _SLACK_PX), math.ceil(last - 0.5 - _SLACK_PX)
        own_nm = self.lie.step_px[i] * window.image_nm
        if high <= low:
            raise LimitError(
                f"{self.name} was asked in a frame of {exposure.field_of_view_nm:g} × {exposure.height_nm:g} nm; its "
                f"pixels are {own_nm:g} nm and none has its middle there: ask for a larger field of view"
            )
        # From middle to middle of the first pixels; rounded, so that frames alike have axes alike.
        offset_nm = round(low + 0.5 - first - 0.5 * step, 6) * own_nm
        return np.arange(low, high + 1, dtype=np.float64), Axis(name, own_nm, "nm", offset_nm)

    def _kept(self, exposure: Exposure, window: Window) -> float | None:
        """Which share of the recorded electrons this exposure would have got; None where they cannot be told apart."""
        if not self.counting or self.dwell_us is None:
            return None
        own_nm2 = self.lie.step_px[0] * self.lie.step_px[1] * window.image_nm**2
        kept = exposure.dwell_us / exposure.pixel_size_nm**2 / (self.dwell_us / own_nm2)
        if kept > 1 + 1e-9:
            most_us = self.dwell_us / own_nm2 * exposure.pixel_size_nm**2
            raise LimitError(
                f"dwell_us = {exposure.dwell_us:g} was asked at pixels of {exposure.pixel_size_nm:g} nm; {self.name} "
                f"was recorded for {self.dwell_us:g} µs at {math.sqrt(own_nm2):g} nm, and holds the electrons of "
                f"{most_us:.6g} µs at most: ask for less"
            )
        return min(kept, 1.0)

    def _row(self, row: int, columns: slice) -> npt.NDArray[Any]:
        """(columns, K) of one recorded row."""
        block = self.recording.block(slice(row, row + 1), columns)
        return block.reshape(block.shape[1], -1)

    def _told(self, window: Window) -> str:
        """Its rectangle, in words."""
        wide, high = (self.lie.step_px[i] * self.lie.shape[i] * window.image_nm for i in (1, 0))
        return f"{wide:g} × {high:g} nm whose upper left corner is {self.lie.left_px:g}, {self.lie.top_px:g} pixels in"
