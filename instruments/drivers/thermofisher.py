"""Thermo Fisher (FEI) columns through temscript's server: the standard scripting interface in STEM mode, over HTTP.

    python -m temscript.server --host 127.0.0.1        on the column's computer, reached through an ssh tunnel

JSON only: the other transport of temscript would let a hostile server run code here. Lengths are m there, angles rad,
the high tension kV; the focus is a knob without a unit, and fields of view are magnifications: both need a calibration.
A server does one thing at a time, and a blank waits there for a frame that is under way: so a second one is started for
the blanker, on another port, or frames are short.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from traceback import clear_frames
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from pydantic import Field

from configs.load import Settings
from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import METRES_RADIANS as AXES
from instruments.drivers.orientation import StageToImage, their_target, to_ours
from instruments.drivers.readings import ready
from instruments.drivers.refusals import asked, exposed, short, tilts
from instruments.drivers.vendor import library
from instruments.errors import Disconnected, InstrumentError, LimitError, NotCalibrated, NotSupported, Timeout
from instruments.powers import HasBlanker, HasTilt, HasValves
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Positive = Annotated[float, Field(gt=0)]
Ratio: TypeAlias = float

_UNITS = (-1.0, 1.0)
"""Of the focus knob."""
_POLL_S = 0.1
_BLANKER_S = 1.0
"""For an answer of the blanker's own server, which has nothing else to do."""
_BUSY_S = 60.0
"""While the pre-vacuum pump runs and shakes the column, it is asked again after so long."""


class ThermofisherSettings(Settings):
    """A column behind temscript's server, on the loopback or through a tunnel."""

    kind: Literal["thermofisher"] = "thermofisher"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    blanker_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Of a second such server on the column's computer, for the blanker alone: a blank there waits for nothing. None:
    there is none, and frames take ``longest_frame_s`` at the most."""
    longest_frame_s: Positive = 0.4
    """That a blank may have to wait for, where there is no second server."""
    timeout_s: Positive = 10.0
    """For an answer that takes the instrument no time."""
    move_s: Positive = 120.0
    """The longest that a move may take."""
    exposure_overhead_s: Positive = 2.0
    """What an exposure may take beyond its own time before it is blanked and given up: set-up, fly-back, read-out."""
    full_px: Annotated[int, Field(gt=0)] = 2048
    """Of a STEM image without binning, on a side."""
    binnings: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    field_of_view_nm_at_1x: Positive | None = None
    """Field of view times STEM magnification, measured on a known lattice. None: not calibrated, nothing is exposed."""
    defocus_nm_per_unit: float | None = None
    """Of the focus knob, < 0 where turning it up is underfocus. None: not calibrated, the focus stays as it is."""
    current_pA: Positive | None = None
    """Of the probe, as last measured on the screen; None: unknown, and the limits' largest is booked."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""


class Column(Protocol):
    """What is used of ``temscript.RemoteMicroscope``."""

    def get_voltage(self) -> float: ...
    def get_column_valves_open(self) -> bool: ...
    def get_vacuum(self) -> dict[str, Any]: ...
    def set_column_valves_open(self, state: bool) -> None: ...
    def get_stage_status(self) -> str: ...
    def get_stage_holder(self) -> str: ...
    def get_stage_limits(self) -> dict[str, tuple[float, float]]: ...
    def get_stage_position(self) -> dict[str, float]: ...
    def set_stage_position(self, pos: dict[str, float], *, method: str) -> None: ...
    def get_stem_detectors(self) -> dict[str, Any]: ...
    def set_stem_acquisition_param(self, values: dict[str, Any]) -> None: ...
    def set_stem_magnification(self, value: Ratio) -> None: ...
    def set_stem_rotation(self, value_rad: float) -> None: ...
    def acquire(self, *detectors: str) -> dict[str, npt.NDArray[np.generic]]: ...
    def get_defocus(self) -> Ratio: ...
    def set_defocus(self, value: Ratio) -> None: ...
    def get_beam_blanked(self) -> bool: ...
    def set_beam_blanked(self, mode: bool) -> None: ...


class ThermofisherMicroscope:
    """Microscope over temscript's server. Every call has a connection of its own, so one that broke is no matter."""

    def __init__(self, settings: ThermofisherSettings, clock: Clock, temscript: Any) -> None:
        """Raises Disconnected, InstrumentError for a server of another version, NotSupported without a STEM unit."""
        self._settings, self._clock, self._temscript = settings, clock, temscript
        self._closed, self._blanks = False, 0
        with self._column() as column:
            self._detectors = tuple(column.get_stem_detectors())
            limits, single = column.get_stage_limits(), column.get_stage_holder() == "SINGLE_TILT"
        if not self._detectors:
            raise NotSupported("the scripting of this column knows no STEM detectors: insert them")
        axes = {ours: about for ours, about in AXES.items() if not (single and ours == "beta_deg")}
        self._ranges = {
            ours: (limits[theirs][0] * unit, limits[theirs][1] * unit) for ours, (theirs, unit) in axes.items()
        }
        self.blank()

    def state(self) -> State:
        settings = self._settings
        with self._column() as column:
            place = column.get_stage_position()
            blanked = column.get_beam_blanked() if settings.blanker_port is None else self.blanked()
            focus, valve_open, voltage_kV = column.get_defocus(), column.get_column_valves_open(), column.get_voltage()
            vacuum, now_s = column.get_vacuum(), self._clock.now_s()
        stage = {ours: place[theirs] * unit for ours, (theirs, unit) in AXES.items() if ours in self._ranges}
        stage["x_nm"], stage["y_nm"] = to_ours(stage["x_nm"], stage["y_nm"], settings.stage_to_image)
        scale = settings.defocus_nm_per_unit
        return State(
            time_s=now_s,
            stage=StagePosition(**stage),
            optics=Optics(
                defocus_nm=None if scale is None else focus * scale,
                current_pA=settings.current_pA,
                voltage_kV=voltage_kV,
            ),
            blanked=blanked,
            valve_open=valve_open,
            vacuum=ready(vacuum["status"] == "READY"),
            busy_until_s=now_s + _BUSY_S if vacuum["pvp_running"] else None,
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """A tilt goes by the column's own safe way, which levels the stage first."""
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        place = {AXES[name][0]: at / AXES[name][1] for name, at in theirs.items()}
        method = "MOVE" if {"alpha_deg", "beta_deg"} & set(theirs) else "GO"
        with self._column(self._settings.move_s) as column:
            column.set_stage_position(place, method=method)
            give_up_s = self._clock.now_s() + self._settings.move_s
            while (status := column.get_stage_status()) != "READY":
                if self._clock.now_s() > give_up_s:
                    raise Timeout(f"the stage is {status} {self._settings.move_s:g} s after a move: see to it")
                self._clock.wait(_POLL_S)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        scale = self._settings.defocus_nm_per_unit
        if target.defocus_nm is not None and scale is None:
            raise NotCalibrated(
                f"defocus_nm = {target.defocus_nm} was asked; the focus is a knob without a unit: measure it, "
                "and set instrument.defocus_nm_per_unit (docs/drivers.md)"
            )
        reach = tuple(sorted(end * (scale or 0.0) for end in _UNITS))
        if given := asked(target, {"defocus_nm": (reach[0], reach[1])}):
            with self._column() as column:
                column.set_defocus(given["defocus_nm"] / (scale or 1.0))
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        begun = self._blanks
        settings = self._settings
        names = exposed(
            exposure, field_of_view_nm=(0.1, 1e6), dwell_us=(0.05, 1e4), detectors=self._detectors, rotates=True
        )
        at_1x = settings.field_of_view_nm_at_1x
        if at_1x is None:
            raise NotCalibrated("an exposure was asked, and instrument.field_of_view_nm_at_1x is not set: measure it")
        binning = settings.full_px // exposure.shape[1]
        if exposure.shape != (exposure.shape[1],) * 2 or settings.full_px != binning * exposure.shape[1]:
            binning = 0
        if binning not in settings.binnings:
            known = ", ".join(str(settings.full_px // one) for one in settings.binnings)
            raise LimitError(f"{exposure.shape} pixels were asked; this column scans squares of {known}: ask for those")
        start_s, current_pA = self._clock.now_s(), settings.current_pA or 0.0
        frame_s = exposure.beam_on_s / exposure.frames
        if settings.blanker_port is None:
            way_out = "start a second temscript server for the blanker (instrument.blanker_port), "
            short(frame_s, settings.longest_frame_s, way_out)
        with self._column(settings.timeout_s + 2 * frame_s) as column:
            column.set_stem_magnification(at_1x / exposure.field_of_view_nm)
            column.set_stem_rotation(math.radians(exposure.rotation_deg))
            column.set_stem_acquisition_param(
                {"image_size": "FULL", "binning": binning, "dwell_time(s)": exposure.dwell_us * 1e-6}
            )
            beam = BeamTime(self._clock, partial(self._unblank, column), self._shut, lambda: self._blanks != begun)
            taken = partial(self._taken, column, names, exposure)
            shots = burst(exposure, self._clock, beam.on, taken, beam.off)
        return framed(exposure, shots, self.state(), start_s, current_pA, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def blanked(self) -> bool:
        port = self._settings.blanker_port
        with self._column(None if port is None else _BLANKER_S, port) as column:
            return column.get_beam_blanked()

    def _unblank(self, column: Column) -> None:
        if self._settings.blanker_port is not None:
            self.blanked()  # where nobody answers for the blanker the beam does not come on
        column.set_beam_blanked(False)

    def _shut(self) -> None:
        """By the blanker's own server; where that one does not do it, by the first, however long it takes there."""
        if self._closed:
            return
        if (port := self._settings.blanker_port) is not None:
            with suppress(InstrumentError), self._column(_BLANKER_S, port) as column:
                return column.set_beam_blanked(True)
        with self._column() as column:
            column.set_beam_blanked(True)

    def close(self) -> None:
        self.blank()
        self._closed = True

    def power(self, kind: type[P]) -> P | None:
        return cast("P", self) if kind in (HasTilt, HasValves, HasBlanker) else None

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return tilts(self._ranges)

    def close_valves(self) -> None:
        with self._column() as column:
            column.set_column_valves_open(False)

    @staticmethod
    def _taken(column: Column, names: tuple[str, ...], exposure: Exposure) -> dict[str, Any]:
        """Every detector that was asked for: temscript leaves out, without a word, what it does not know."""
        found = column.acquire(*names)
        for name in names:
            if name not in found or found[name].shape != exposure.shape:
                shape = found[name].shape if name in found else "nothing"
                raise InstrumentError(f"{name} was asked for {exposure.shape} px and gave {shape}: its dose is spent")
        return {name: found[name] for name in names}

    @contextmanager
    def _column(self, limit_s: float | None = None, port: int | None = None) -> Iterator[Column]:
        """A connection; what goes wrong on it, in our words. ``port``: of another server than the first."""
        address = (self._settings.host, port or self._settings.port)
        where = "temscript's server at {}:{}".format(*address)
        if self._closed:
            raise Disconnected(f"{where} was let go of: open the instrument again")
        try:
            yield self._temscript.RemoteMicroscope(address, "JSON", limit_s or self._settings.timeout_s)
        except (OSError, HTTPException, RuntimeError, KeyError, ValueError) as error:
            clear_frames(error.__traceback__)  # they hold an answer half read, and with it a socket
            if isinstance(error, TimeoutError):
                told: InstrumentError = Timeout(f"{where} gave no answer in {limit_s or self._settings.timeout_s:g} s")
            elif isinstance(error, OSError | HTTPException):
                told = Disconnected(f"{where} cannot be reached ({error}): start it, and the tunnel to it")
            else:
                told = InstrumentError(f"{where} did not do what it was asked: {error}")
            raise told from error


SETTINGS = ThermofisherSettings
NEEDS = ("temscript",)


def open_microscope(
    settings: ThermofisherSettings, *, seed: int, clock: Clock, truth: Path | None
) -> ThermofisherMicroscope:
    """For the registry. Raises ConfigError, Disconnected, InstrumentError, NotSupported."""
    del seed, truth
    temscript = library("temscript", package="temscript", extra="thermofisher", oldest="2.1", before="3")
    return ThermofisherMicroscope(settings, clock, temscript)


def lacks(settings: ThermofisherSettings) -> Mapping[str, str]:
    """What standard scripting cannot tell."""
    del settings
    return {
        "the emission is read": "standard scripting tells the high tension, and nothing else of the gun",
        "stopping": "temscript has no call for it, and serves one request at a time",
    }
