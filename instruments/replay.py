"""A recorded image as a world: a small field of view moves over it, at any magnification that it can give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from configs.load import ConfigError, Settings
from instruments.errors import LimitError, NotSupported
from instruments.images import read_image
from instruments.types import (
    ELECTRONS_PER_PA_S,
    Axis,
    Frame,
    Optics,
    Outcome,
    Signal,
    StagePosition,
    State,
)

if TYPE_CHECKING:
    from instruments.clock import Clock
    from instruments.types import Exposure

P = TypeVar("P")
Ratio: TypeAlias = float
Doubles: TypeAlias = npt.NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

_SLACK_PX = 1e-6
"""Rounding that the border of the image forgives."""
_LARGEST_PIXELS = 4096 * 4096


class ReplaySettings(Settings):
    """A microscope over a recorded image."""

    kind: Literal["replay"] = "replay"
    image: Path
    """PNG, JPEG, TIFF, MRC, a folder of OME-Zarr; vendors' files with adaptem[formats]."""
    plane: Annotated[int, Field(ge=0)] = 0
    """Which image of a stack."""
    pixel_size_nm: Positive | None = None
    """None: as the file says."""
    current_pA: Positive = 50.0
    """Probe current that the dose is counted with."""
    noise: bool = False
    """Whether a finite dose adds counting noise to the recorded one; the image's largest value is taken as every
    electron arriving."""
    crossing_s: Positive = 10.0
    """Time the stage takes for the image's longer side."""
    overhead_s: NotNegative = 0.5
    """Time a move or an exposure costs beside that."""
    exposure_overhead_s: ClassVar[float] = 60.0
    """Vendors' files are read while the frame is waited for; there is no beam."""
    real_time: bool = False
    """Whether all that takes its time on the computer's clock (demonstrations)."""


class ReplayMicroscope:
    """Microscope over an image. Its centre is stage (0, 0); the place at column c is x = −(c − W/2) × pixel size.

    Frames with larger pixels than the image's are averages over each pixel's area; with smaller ones, interpolated
    linearly. There is no focus: ``tune`` is NotSupported, and the read-back of the optics holds the current only.

    Raises:
        ConfigError: the image cannot be read, or its pixel size is not known.
    """

    def __init__(self, settings: ReplaySettings, clock: Clock, seed: int = 0) -> None:
        recorded = read_image(settings.image, settings.plane)
        pixel_size_nm = settings.pixel_size_nm or recorded.pixel_size_nm
        if pixel_size_nm is None:
            raise ConfigError(f"{settings.image}: the file does not tell its pixel size; set instrument.pixel_size_nm")
        self._settings = settings
        self._clock = clock
        self._seed = seed
        self._pixel_nm = pixel_size_nm
        self._shape = recorded.data.shape
        self._least, self._most = float(recorded.data.min()), float(recorded.data.max())
        self._image = recorded.data
        # Sums over rectangles in four look-ups; less the mean, so that float64 keeps them exact enough.
        self._mean = float(recorded.data.mean(dtype=np.float64))
        self._sums = np.zeros((self._shape[0] + 1, self._shape[1] + 1))
        np.cumsum(recorded.data - np.float64(self._mean), axis=0, out=self._sums[1:, 1:])
        np.cumsum(self._sums[1:, 1:], axis=1, out=self._sums[1:, 1:])
        self._x_nm, self._y_nm = 0.0, 0.0
        self._frames = 0

    @property
    def pixel_size_nm(self) -> float:
        """Of the recorded image."""
        return self._pixel_nm

    @property
    def size_nm(self) -> tuple[float, float]:
        """(width, height) of the recorded area."""
        return self._shape[1] * self._pixel_nm, self._shape[0] * self._pixel_nm

    def state(self) -> State:
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=Optics(current_pA=self._settings.current_pA),
            blanked=True,
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        for name in ("z_nm", "alpha_deg", "beta_deg"):
            if getattr(target, name) is not None:
                raise NotSupported(
                    f"{name} = {getattr(target, name)} was asked; a recorded image moves in x and y only"
                )
        x = self._x_nm if target.x_nm is None else target.x_nm
        y = self._y_nm if target.y_nm is None else target.y_nm
        width, height = self.size_nm
        for name, value, size in (("x_nm", x, width), ("y_nm", y, height)):
            if not (math.isfinite(value) and abs(value) <= size / 2):
                raise LimitError(f"{name} = {value} was asked; the image ends at ±{size / 2:g} nm: stay inside")
        distance = math.dist((x, y), (self._x_nm, self._y_nm))
        self._clock.wait(self._settings.overhead_s + self._settings.crossing_s * distance / max(width, height))
        self._x_nm, self._y_nm = x, y
        return Outcome(requested=target, achieved=StagePosition(x_nm=x, y_nm=y))

    def tune(self, target: Optics) -> Outcome[Optics]:
        if target != Optics():
            raise NotSupported(f"{target} was asked; a recorded image has no optics to set: leave every value None")
        return Outcome(requested=target, achieved=self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        rows, columns = self._check(exposure)
        start_s = self._clock.now_s()
        self._clock.wait(self._settings.overhead_s + exposure.duration_s)
        step_px = exposure.pixel_size_nm / self._pixel_nm
        clean = self._average(rows, columns, step_px) if step_px >= 1 else self._interpolate(rows, columns)
        data = clean if exposure.frames == 1 else np.repeat(clean[None], exposure.frames, axis=0)
        if self._settings.noise:
            data = self._noisy(data, exposure)
        self._frames += 1
        pixel = exposure.pixel_size_nm
        axes: tuple[Axis, ...] = (Axis("row", pixel, "nm"), Axis("column", pixel, "nm"))
        if exposure.frames > 1:
            axes = (Axis("frame", exposure.beam_on_s / exposure.frames + exposure.interval_s, "s"), *axes)
        return Frame(
            exposure=exposure,
            signals={"image": Signal(data, axes)},
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=Optics(current_pA=self._settings.current_pA),
            start_s=start_s,
            end_s=self._clock.now_s(),
            electrons=exposure.electrons(self._settings.current_pA),
        )

    def blank(self) -> None:
        """Nothing to do: a recorded image has no beam."""

    def close(self) -> None:
        """Nothing to let go of."""

    def power(self, kind: type[P]) -> P | None:
        del kind
        return None

    def _check(self, exposure: Exposure) -> tuple[Doubles, Doubles]:
        """Middles of the frame's pixel rows and columns, in pixels of the image from its upper left corner."""
        height, width = exposure.shape
        numbers = (exposure.field_of_view_nm, exposure.dwell_us, exposure.interval_s + 1)
        if min(height, width, exposure.frames) < 1 or height * width * exposure.frames > _LARGEST_PIXELS:
            raise LimitError(
                f"{exposure.frames} frame(s) of {height} × {width} pixels were asked; 1 to {_LARGEST_PIXELS} fit"
            )
        if not all(math.isfinite(n) and n > 0 for n in numbers) or exposure.interval_s < 0:
            raise LimitError(
                f"field_of_view_nm = {exposure.field_of_view_nm}, dwell_us = {exposure.dwell_us} and interval_s = "
                f"{exposure.interval_s} were asked; give finite numbers above 0"
            )
        if exposure.rotation_deg:
            raise NotSupported(
                f"rotation_deg = {exposure.rotation_deg} was asked; a recorded image is not rotated: ask for 0"
            )
        for name in exposure.signals or ():
            if name != "image":
                raise NotSupported(f"signal {name!r} was asked; a recorded image has one, named 'image'")
        step = exposure.pixel_size_nm / self._pixel_nm
        spans = []
        for place_nm, count, length in ((self._y_nm, height, self._shape[0]), (self._x_nm, width, self._shape[1])):
            first = length / 2 - place_nm / self._pixel_nm - count * step / 2
            if first < -_SLACK_PX or first + count * step > length + _SLACK_PX:
                wide, tall = self.size_nm
                raise LimitError(
                    f"a frame of {exposure.field_of_view_nm:g} × {exposure.height_nm:g} nm at x {self._x_nm:g}, "
                    f"y {self._y_nm:g} nm was asked; it reaches over the recorded {wide:g} × {tall:g} nm: "
                    "move inwards, or ask for a smaller field of view"
                )
            spans.append(first + step * (np.arange(count) + 0.5))
        return spans[0], spans[1]

    def _average(self, rows_px: Doubles, columns_px: Doubles, step_px: Ratio) -> npt.NDArray[np.float32]:
        """Mean of the image over the area of every pixel of a frame, (H, W); for pixels no smaller than the image's."""
        # Sums from the image's corner to each pixel edge, between whole pixels linear: exact for areas cut anywhere.
        top, below, down = _around(_edges(rows_px, step_px), self._shape[0])
        left, right, across = _around(_edges(columns_px, step_px), self._shape[1])
        first, last = int(left[0]), int(right[-1]) + 1
        strip = self._sums[top, first:last]
        strip += (self._sums[below, first:last] - strip) * down[:, None]
        sums = strip[:, left - first]
        sums += (strip[:, right - first] - sums) * across
        mean = np.diff(np.diff(sums, axis=0), axis=1) / step_px**2 + self._mean
        return np.clip(mean, self._least, self._most).astype(np.float32)  # rounding must not leave the image's range

    def _interpolate(self, rows_px: Doubles, columns_px: Doubles) -> npt.NDArray[np.float32]:
        """The image between its pixels' middles, linearly, (H, W); for pixels smaller than the image's."""
        top, below, down = _around(rows_px - 0.5, self._shape[0] - 1)
        left, right, across = _around(columns_px - 0.5, self._shape[1] - 1)
        first, last = int(left[0]), int(right[-1]) + 1
        strip = self._image[top, first:last].astype(np.float64)
        strip += (self._image[below, first:last] - strip) * down[:, None]
        values = strip[:, left - first]
        values += (strip[:, right - first] - values) * across
        return values.astype(np.float32)

    def _noisy(self, data: npt.NDArray[np.float32], exposure: Exposure) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, self._frames])
        sent = self._settings.current_pA * ELECTRONS_PER_PA_S * exposure.dwell_us * 1e-6
        dark, span = min(self._least, 0.0), self._most - min(self._least, 0.0)
        if span == 0:
            return data
        counted = rng.poisson((data - dark) * (sent / span))
        return (counted * (span / sent) + dark).astype(np.float32)


def _edges(middles_px: Doubles, step_px: Ratio) -> Doubles:
    """The borders of N neighbouring pixels, (N + 1,)."""
    return np.append(middles_px - step_px / 2, middles_px[-1] + step_px / 2)


def _around(at: Doubles, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Doubles]:
    """The whole numbers below and above each coordinate, and the part of the way between; cut to 0…last."""
    at = np.clip(at, 0, last)
    below = np.minimum(np.floor(at).astype(np.int64), last - 1)
    return below, below + 1, at - below


SETTINGS = ReplaySettings


def open_microscope(settings: ReplaySettings, *, seed: int, clock: Clock, truth: Path | None) -> ReplayMicroscope:
    """For the registry. What a recorded image truly holds is the image, so no truth is written."""
    del truth
    return ReplayMicroscope(settings, clock, seed)
