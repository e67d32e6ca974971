"""A recorded movie with its holder's log as an instrument whose time passes: what was missed does not come back.

A frame shows what was recorded last before its exposure ends, cut out at the stage's place. The holder reads what its
log says then, and cannot be set.
"""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
from pydantic import Field, model_validator

from configs.load import ConfigError, Settings
from instruments.errors import LimitError, NotSupported
from instruments.holder_log import HolderLog, read_holder_log
from instruments.images import read_image
from instruments.plane import Plane
from instruments.powers import HasStream
from instruments.types import Axis, Frame, Optics, Outcome, Signal, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from instruments.clock import Clock
    from instruments.types import Exposure, Pixels, Reading

P = TypeVar("P")
Ratio: TypeAlias = float
Positive = Annotated[float, Field(gt=0)]

_KEPT = 2
"""Frames of the movie that stay in memory."""


class MovieSettings(Settings):
    """A movie: images of one place, oldest first, and when each was taken."""

    kind: Literal["movie"] = "movie"
    frames: Annotated[tuple[Path, ...], Field(min_length=2)]
    """Also as one table (CSV) with the columns ``frame``, a file beside it or a path, and ``time_s``."""
    times_s: Annotated[tuple[float, ...], Field(min_length=2)]
    """Of each frame, from any zero; the first was taken when the instrument's clock read 0."""
    pixel_size_nm: Positive
    log: Path | None = None
    """Of the holder."""
    log_starts_s: float = 0.0
    """Time of the log's first sample, on the frames' clock."""
    current_pA: Positive = 50.0
    overhead_s: Annotated[float, Field(ge=0)] = 0.1
    real_time: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_table(cls, given: Any) -> Any:
        """Frames and times of a table. Raises ValueError."""
        if not isinstance(given, dict) or not isinstance(given.get("frames"), str | Path):
            return given
        table = Path(given["frames"])
        try:
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"frames: {table} cannot be read as a table ({error})") from error
        if "times_s" in given or not rows or not {"frame", "time_s"} <= set(rows[0]):
            raise ValueError(
                f"frames: {table} must have the columns frame and time_s and a row for each frame, and times_s must "
                "then be left out"
            )
        if odd := [n for n, row in enumerate(rows, start=2) if not row["frame"] or not row["time_s"]]:
            raise ValueError(f"frames: {table}, line {odd[0]}: a frame or its time is missing; give both")
        return given | {
            "frames": [str(table.parent / row["frame"]) for row in rows],
            "times_s": [row["time_s"] for row in rows],
        }

    def first_conditions(self) -> dict[str, float]:
        """What the holder's log says of the first frame. Raises ConfigError."""
        if self.log is None:
            return {}
        log = read_holder_log(self.log)
        told = {name: log.at(name, self.times_s[0] - self.log_starts_s).value for name in log.conditions}
        return {name: value for name, value in told.items() if value is not None}

    def detectors(self) -> dict[str, int]:
        """One number a pixel."""
        return {"image": 1}

    def slow_detectors(self) -> dict[str, int]:
        """None."""
        return {}


class MovieMicroscope:
    """Microscope over a movie.

    Raises ConfigError: frames and times do not fit, or a file cannot be read.
    """

    def __init__(self, settings: MovieSettings, clock: Clock) -> None:
        if len(settings.frames) != len(settings.times_s):
            raise ConfigError(
                f"{len(settings.frames)} frames and {len(settings.times_s)} times were given: give one time a frame"
            )
        if any(b <= a for a, b in zip(settings.times_s, settings.times_s[1:], strict=False)):
            raise ConfigError("times_s of a movie must grow from frame to frame: sort frames and times by time")
        if missing := [str(path) for path in settings.frames if not path.exists()]:
            raise ConfigError(f"{missing[0]}: there is no such file ({len(missing)} of {len(settings.frames)} missing)")
        self._settings, self._clock = settings, clock
        self._log: HolderLog | None = None if settings.log is None else read_holder_log(settings.log)
        self._planes: dict[int, Plane] = {}
        self._x_nm, self._y_nm = 0.0, 0.0
        self._shape = self._plane(0).shape

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the holder's log, in words."""
        return () if self._log is None else self._log.problems

    @property
    def size_nm(self) -> tuple[float, float]:
        """(width, height) of the recorded area."""
        height, width = self._shape
        return width * self._settings.pixel_size_nm, height * self._settings.pixel_size_nm

    @property
    def ends_s(self) -> float:
        """When, on the instrument's clock, the last frame was recorded."""
        return self._settings.times_s[-1] - self._settings.times_s[0]

    def state(self) -> State:
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=Optics(current_pA=self._settings.current_pA),
            blanked=True,
            holder=self._holder(),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        for name in ("z_nm", "alpha_deg", "beta_deg"):
            if getattr(target, name) is not None:
                raise NotSupported(f"{name} was asked; a recorded movie moves in x and y only")
        x = self._x_nm if target.x_nm is None else target.x_nm
        y = self._y_nm if target.y_nm is None else target.y_nm
        for name, value, size in (("x_nm", x, self.size_nm[0]), ("y_nm", y, self.size_nm[1])):
            if not (math.isfinite(value) and abs(value) <= size / 2):
                raise LimitError(f"{name} = {value} was asked; the movie ends at ±{size / 2:g} nm: stay inside")
        self._clock.wait(self._settings.overhead_s)
        self._x_nm, self._y_nm = x, y
        return Outcome(requested=target, achieved=StagePosition(x_nm=x, y_nm=y))

    def tune(self, target: Optics) -> Outcome[Optics]:
        if target != Optics():
            raise NotSupported(f"{target} was asked; a recorded movie has no optics to set: leave every value None")
        return Outcome(requested=target, achieved=self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        shown: list[Pixels] = []
        made = self._burst(exposure, shown.append)
        pixel = exposure.pixel_size_nm
        axes: tuple[Axis, ...] = (Axis("row", pixel, "nm"), Axis("column", pixel, "nm"))
        if exposure.frames > 1:
            axes = (Axis("frame", exposure.beam_on_s / exposure.frames + exposure.interval_s, "s"), *axes)
        return replace(made, signals={"image": Signal(np.stack(shown) if exposure.frames > 1 else shown[0], axes)})

    def stream(self, exposure: Exposure, push: Callable[[Pixels], None]) -> Frame:
        """As ``powers.HasStream`` has it: what had been recorded when a frame ends is shown in it."""
        last: list[Pixels] = []

        def take(frame: Pixels) -> None:
            last[:] = [frame]
            push(frame)

        made, pixel = self._burst(exposure, take), exposure.pixel_size_nm
        return replace(
            made, signals={"image": Signal(last[0], (Axis("row", pixel, "nm"), Axis("column", pixel, "nm")))}
        )

    def _burst(self, exposure: Exposure, take: Callable[[Pixels], None]) -> Frame:
        """Every frame, handed on as it comes; what is returned has no signals."""
        rows, columns, step = self._where(exposure)
        if exposure.signals not in (None, ("image",)):
            raise NotSupported(f"signals {exposure.signals} were asked; a movie has 'image' alone")
        start_s = self._clock.now_s()
        self._clock.wait(self._settings.overhead_s)
        for n in range(exposure.frames):
            self._clock.wait(exposure.beam_on_s / exposure.frames + (exposure.interval_s if n else 0.0))
            take(self._plane(self._now()).seen(rows, columns, step))
        return Frame(
            exposure=exposure,
            signals={},
            stage=StagePosition(x_nm=self._x_nm, y_nm=self._y_nm),
            optics=Optics(current_pA=self._settings.current_pA),
            start_s=start_s,
            end_s=self._clock.now_s(),
            electrons=exposure.electrons(self._settings.current_pA),
            holder=self._holder(),
        )

    def blank(self) -> None:
        """Nothing to do: a movie has no beam."""

    def close(self) -> None:
        """Let go of the frames. Safe twice."""
        self._planes.clear()

    def power(self, kind: type[P]) -> P | None:
        """Its frames one by one, and nothing else: what the holder did was done."""
        return cast("P | None", self if kind is HasStream else None)

    def _now(self) -> int:
        """The frame that was recorded last."""
        passed = self._clock.now_s() + self._settings.times_s[0]
        return max(int(np.searchsorted(self._settings.times_s, passed, side="right")) - 1, 0)

    def _holder(self) -> Mapping[str, Reading]:
        if self._log is None:
            return {}
        settings = self._settings
        at_s = self._clock.now_s() + settings.times_s[0] - settings.log_starts_s
        return {name: self._log.at(name, at_s) for name in self._log.conditions}

    def _plane(self, n: int) -> Plane:
        if n not in self._planes:
            while len(self._planes) >= _KEPT:
                self._planes.pop(next(iter(self._planes)))
            plane = Plane(read_image(self._settings.frames[n]).data)
            if self._planes and plane.shape != self._shape:
                raise LimitError(
                    f"{self._settings.frames[n]} is {plane.shape}, the movie's first frame {self._shape}: make them "
                    "agree"
                )
            self._planes[n] = plane
        return self._planes[n]

    def _where(self, exposure: Exposure) -> tuple[np.ndarray, np.ndarray, Ratio]:
        """Rows and columns of the frame's pixels on the movie's, and their size. Raises LimitError, NotSupported."""
        numbers = (exposure.field_of_view_nm, exposure.dwell_us, exposure.interval_s + 1)
        if min(*exposure.shape, exposure.frames) < 1 or not all(math.isfinite(n) and n > 0 for n in numbers):
            raise LimitError(f"{exposure} was asked; give finite numbers above 0, and one frame and pixel at least")
        if exposure.interval_s < 0:
            raise LimitError(f"interval_s = {exposure.interval_s} was asked; a wait is 0 or more")
        if exposure.rotation_deg:
            raise NotSupported(f"rotation_deg = {exposure.rotation_deg} was asked; a movie is not rotated: ask for 0")
        step = exposure.pixel_size_nm / self._settings.pixel_size_nm
        found = []
        for place_nm, count, length in zip((self._y_nm, self._x_nm), exposure.shape, self._shape, strict=True):
            first = length / 2 - place_nm / self._settings.pixel_size_nm - count * step / 2
            if not (first >= -1e-6 and first + count * step <= length + 1e-6):
                raise LimitError(
                    f"a frame of {exposure.field_of_view_nm:g} nm was asked; it reaches over the recorded "
                    f"{self.size_nm[0]:g} × {self.size_nm[1]:g} nm: move inwards, or ask for a smaller field of view"
                )
            found.append(first + step * (np.arange(count, dtype=np.float64) + 0.5))
        return found[0], found[1], step


SETTINGS = MovieSettings


def open_microscope(settings: MovieSettings, *, seed: int, clock: Clock, truth: Path | None) -> MovieMicroscope:
    """For the registry."""
    del seed, truth
    return MovieMicroscope(settings, clock)


def simulated(settings: MovieSettings) -> bool:
    """It is a recording."""
    del settings
    return True


def lacks(settings: MovieSettings) -> Mapping[str, str]:
    """A recording has no column."""
    del settings
    reads = ("the column valve is read", "the vacuum is read", "the emission is read", "the high tension is read")
    return {**dict.fromkeys(reads, "a recording has none"), "focus responds": "a recording has its focus for good"}
