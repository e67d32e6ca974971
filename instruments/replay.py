"""A recorded image as a world: a small field of view moves over it, at any magnification that it can give.

Further recordings of the same place lie over it (``channels``): images are seen as it is, spectra and patterns are read
where an exposure names them, on pixels no finer than they were recorded with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from configs.load import ConfigError
from instruments.channels import Window
from instruments.errors import Disconnected, LimitError, NotSupported
from instruments.powers import HasDiffraction, HasSpectra
from instruments.recorded_world import open_world
from instruments.replay_settings import ReplaySettings
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
    from collections.abc import Mapping
    from pathlib import Path

    from instruments.clock import Clock
    from instruments.types import Exposure

P = TypeVar("P")
Ratio: TypeAlias = float

_SLACK_PX = 1e-6
"""Rounding that the border of the image forgives."""
_LARGEST_PIXELS = 4096 * 4096


class ReplayMicroscope:
    """Microscope over an image. Its centre is stage (0, 0); the place at column c is x = −(c − W/2) × pixel size.

    Frames with larger pixels than the image's are averages over each pixel's area; with smaller ones, interpolated
    linearly. There is no focus: ``tune`` is NotSupported, and the read-back of the optics holds the current, and the
    voltage and convergence that a vendor's file tells.

    Raises:
        ConfigError: a file cannot be read, its pixel size is not known, or a channel does not fit its place.
    """

    def __init__(self, settings: ReplaySettings, clock: Clock, seed: int = 0) -> None:
        self._world = open_world(settings)
        self._settings = settings
        self._clock = clock
        self._seed = seed
        self._x_nm, self._y_nm = 0.0, 0.0
        self._frames = 0

    @property
    def pixel_size_nm(self) -> float:
        """Of the recorded image."""
        return self._world.pixel_nm

    @property
    def size_nm(self) -> tuple[float, float]:
        """(width, height) of the recorded area."""
        height, width = self._world.plane.shape
        return width * self._world.pixel_nm, height * self._world.pixel_nm

    def state(self) -> State:
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=self._optics(),
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
        window = self._check(exposure)
        rng = np.random.default_rng([self._seed, self._frames])
        signals = {name: self._image(name, window, exposure, rng) for name in self._named(exposure, window)}
        signals |= self._read(window, exposure, rng)
        start_s = self._clock.now_s()
        self._clock.wait(self._settings.overhead_s + exposure.duration_s)
        self._frames += 1
        return Frame(
            exposure=exposure,
            signals={name: signals[name] for name in exposure.signals or signals},
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=self._optics(),
            start_s=start_s,
            end_s=self._clock.now_s(),
            electrons=exposure.electrons(self._settings.current_pA),
        )

    def blank(self) -> None:
        """Nothing to do: a recorded image has no beam."""

    def close(self) -> None:
        """End the processes that read vendors' files. Safe twice."""
        self._world.close()

    def power(self, kind: type[P]) -> P | None:
        there = {HasSpectra: self.channels(), HasDiffraction: self.patterns()}
        return cast("P", self) if there.get(kind) else None

    def channels(self) -> Mapping[str, int]:
        return {name: slow.depth[0] for name, slow in self._world.slow.items() if len(slow.depth) == 1}

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return {name: (slow.depth[0], slow.depth[1]) for name, slow in self._world.slow.items() if len(slow.depth) == 2}

    def _optics(self) -> Optics:
        told = self._world.optics
        return Optics(
            current_pA=self._settings.current_pA,
            voltage_kV=told.voltage_kV,
            convergence_mrad=told.convergence_mrad,
        )

    def _named(self, exposure: Exposure, window: Window) -> list[str]:
        """Images that an exposure gives: those it names, or all that lie under the whole frame."""
        world = self._world
        if exposure.signals is None:
            return ["image", *(name for name, each in world.images.items() if each.lie.holds(window))]
        for name in exposure.signals:
            if name != "image" and name not in world.images and name not in world.slow:
                there = ", ".join(["image", *world.images, *world.slow])
                raise NotSupported(f"signal {name!r} was asked; recorded are {there}: name one of these")
            if name in world.images and not world.images[name].lie.holds(window):
                raise LimitError(f"{name} was asked where it was not recorded: move there, or leave it out")
        return [name for name in exposure.signals if name == "image" or name in world.images]

    def _read(self, window: Window, exposure: Exposure, rng: np.random.Generator) -> dict[str, Signal]:
        """Spectra and patterns that an exposure names. Raises Disconnected where their file cannot be read any more."""
        named = [self._world.slow[name] for name in exposure.signals or () if name in self._world.slow]
        try:
            return {slow.name: slow.signal(window, exposure, rng) for slow in named}
        except ConfigError as error:
            raise Disconnected(str(error)) from error

    def _image(self, name: str, window: Window, exposure: Exposure, rng: np.random.Generator) -> Signal:
        """An image, or a burst of the same image, with the noise of this exposure where the settings want it."""
        plane = self._world.plane if name == "image" else self._world.images[name].plane
        clean = (
            plane.seen(*window.middles, window.step_px) if name == "image" else self._world.images[name].seen(window)
        )
        data = clean if exposure.frames == 1 else np.repeat(clean[None], exposure.frames, axis=0)
        if self._settings.noise:
            data = self._noisy(data, exposure, (plane.least, plane.most), rng)
        pixel = exposure.pixel_size_nm
        axes: tuple[Axis, ...] = (Axis("row", pixel, "nm"), Axis("column", pixel, "nm"))
        if exposure.frames > 1:
            axes = (Axis("frame", exposure.beam_on_s / exposure.frames + exposure.interval_s, "s"), *axes)
        return Signal(data, axes)

    def _check(self, exposure: Exposure) -> Window:
        """Where the frame lies on the image."""
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
        pixel_nm, shape = self._world.pixel_nm, self._world.plane.shape
        step = exposure.pixel_size_nm / pixel_nm
        corner = []
        for place_nm, count, length in ((self._y_nm, height, shape[0]), (self._x_nm, width, shape[1])):
            first = length / 2 - place_nm / pixel_nm - count * step / 2
            if first < -_SLACK_PX or first + count * step > length + _SLACK_PX:
                wide, tall = self.size_nm
                raise LimitError(
                    f"a frame of {exposure.field_of_view_nm:g} × {exposure.height_nm:g} nm at x {self._x_nm:g}, "
                    f"y {self._y_nm:g} nm was asked; it reaches over the recorded {wide:g} × {tall:g} nm: "
                    "move inwards, or ask for a smaller field of view"
                )
            corner.append(first)
        return Window(corner[0], corner[1], step, (height, width), pixel_nm)

    def _noisy(
        self,
        data: npt.NDArray[np.float32],
        exposure: Exposure,
        ends: tuple[float, float],
        rng: np.random.Generator,
    ) -> npt.NDArray[np.float32]:
        """Counts of this exposure's electrons; ``ends``: the recorded image's least and largest value."""
        sent = self._settings.current_pA * ELECTRONS_PER_PA_S * exposure.dwell_us * 1e-6
        dark = min(ends[0], 0.0)
        span = ends[1] - dark
        if span == 0:
            return data
        counted = rng.poisson((data - dark) * (sent / span))
        return (counted * (span / sent) + dark).astype(np.float32)


SETTINGS = ReplaySettings


def open_microscope(settings: ReplaySettings, *, seed: int, clock: Clock, truth: Path | None) -> ReplayMicroscope:
    """For the registry. What a recorded image truly holds is the image, so no truth is written."""
    del truth
    return ReplayMicroscope(settings, clock, seed)


def simulated(settings: ReplaySettings) -> bool:
    """It is a recording."""
    del settings
    return True


def lacks(settings: ReplaySettings) -> Mapping[str, str]:
    """A recording has no column."""
    del settings
    reads = ("the column valve is read", "the vacuum is read", "the emission is read", "the high tension is read")
    return {**dict.fromkeys(reads, "a recording has none"), "focus responds": "a recording has its focus for good"}
