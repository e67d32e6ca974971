"""Direct Electron cameras through the vendor's client, deapi, beside DE-TEM-Channel, which moves the column.

Two connections: DE-Server (the camera), and DE-TEM-Channel (stage, focus, blanker) through de-twin's ``MirrorColumn``.
The channel counts in µm and degrees, and knows no limits: they are asked for here. deapi says True to what it could not
set and False for what it does not know, so everything is read back.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from pydantic import Field

from configs.load import Settings
from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import StageToImage, their_target, to_ours
from instruments.drivers.refusals import asked, binning, exposed, tilts
from instruments.drivers.vendor import library
from instruments.errors import Disconnected, InstrumentError, NotCalibrated, NotSupported, ReachError, Timeout
from instruments.limits import Range
from instruments.powers import CanStop, HasBlanker, HasTilt, HasValves
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Ratio: TypeAlias = float

AXES: Mapping[str, tuple[str, Ratio]] = {
    "x_nm": ("x", 1e3), "y_nm": ("y", 1e3), "z_nm": ("z", 1e3), "alpha_deg": ("alpha", 1.0), "beta_deg": ("beta", 1.0),
}  # fmt: skip
"""Ours, theirs, and how many of our unit make one of theirs."""
_PIXEL = "Specimen Pixel Size X (nanometers)"
_FRAME_S = 0.025
"""The camera's own frames, which it sums."""


class DeSettings(Settings):
    """A DE-Server and a DE-TEM-Channel, on the loopback or through tunnels."""

    kind: Literal["de"] = "de"
    host: str = "127.0.0.1"
    port: Port = 13240
    """Of DE-Server."""
    channel_port: Port = 5002
    """Of DE-TEM-Channel, on the same computer."""
    timeout_s: Positive = 5.0
    move_s: Positive = 120.0
    """The longest that a move may take."""
    exposure_overhead_s: Positive = 20.0
    """What an exposure may take beyond its own time before it is blanked and given up: set-up and read-out."""
    x_nm: Range
    """That the stage may be sent to, in its own axes."""
    y_nm: Range
    z_nm: Range | None = None
    alpha_deg: Range | None = None
    beta_deg: Range | None = None
    """None: an axis that this holder lacks, or that is left alone."""
    defocus_nm: Range = (-20_000.0, 20_000.0)
    current_pA: Positive | None = None
    """Of the whole beam, as last measured on the screen; None: unknown, and the limits' largest is booked."""
    lit_nm: Positive | None = None
    """Diameter of what the beam lights on the specimen, as it is set; None: the dose is booked on the frame alone."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""


class Camera(Protocol):
    """What is used of ``deapi.Client``."""

    acquiring: bool

    def get_property(self, property_name: str) -> Any: ...
    def set_property(self, name: str, value: object) -> bool: ...
    def set_hw_roi(self, offset_x: int, offset_y: int, size_x: int, size_y: int) -> bool: ...
    def start_acquisition(self, number_of_acquisitions: int) -> object: ...
    def get_result(self, frame_type: str, pixel_format: str) -> tuple[npt.NDArray[np.generic], Any, Any, Any]: ...
    def disconnect(self) -> None: ...


class DeMicroscope:
    """Microscope whose camera is Direct Electron's. Frames are as DE-Server corrects them."""

    def __init__(self, settings: DeSettings, clock: Clock, camera: Camera, column: Any) -> None:
        """``column``: de-twin's ``MirrorColumn``, which asks the channel itself at every ``poll``."""
        self._settings, self._clock, self._camera, self._column = settings, clock, camera, column
        given = {name: getattr(settings, name) for name in AXES}
        self._ranges: dict[str, Range] = {name: ends for name, ends in given.items() if ends is not None}
        self._closed, self._blanks = False, 0
        self.blank()

    def state(self) -> State:
        with self._told():
            found = self._column.poll()
        place = {name: getattr(found.stage, _FIELDS[name]) * AXES[name][1] for name in AXES}
        stage = {name: place[name] for name in self._ranges}
        stage["x_nm"], stage["y_nm"] = to_ours(place["x_nm"], place["y_nm"], self._settings.stage_to_image)
        optics = Optics(
            defocus_nm=found.defocus_um * 1e3, current_pA=self._settings.current_pA, voltage_kV=float(found.ht_kv)
        )
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(**stage),
            optics=optics,
            blanked=bool(found.beam_blanked),
            lit_nm=self._settings.lit_nm,
            valve_open=bool(found.column_valves_open),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        with self._told():
            to = {AXES[name][0]: value / AXES[name][1] for name, value in theirs.items()}
            arrived = self._column.move_stage(**to, wait=True, timeout=self._settings.move_s)
        reached = self.state().stage
        if not arrived:
            raise ReachError(
                f"the stage still moves after {self._settings.move_s:g} s", target=target, readback=reached
            )
        return Outcome(target, reached)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if target.stig_a_nm is not None or target.stig_b_nm is not None:
            raise NotCalibrated("astigmatism was asked; the channel's stigmators have no unit: leave it None")
        if given := asked(target, {"defocus_nm": self._settings.defocus_nm}):
            with self._told():
                self._column.set_defocus_um(given["defocus_nm"] / 1e3)
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """The camera looks for as long as a scan of the same dwell time would take."""
        begun = self._blanks
        exposed(exposure, field_of_view_nm=(0.0, 1e7), dwell_us=(1e-3, 1e6), detectors=("camera",))
        frame_s = exposure.beam_on_s / exposure.frames
        with self._told():
            self._set("Hardware Binning X", 1)
            self._set("Hardware Binning Y", 1)
            sensor = tuple(int(self._camera.get_property(f"Sensor Size {axis} (pixels)")) for axis in "YX")
            pixel_nm = float(self._camera.get_property(_PIXEL) or 0.0)
            if not pixel_nm > 0:
                raise NotCalibrated(f"DE-Server tells no {_PIXEL}: calibrate this magnification there")
            factor = binning(exposure, pixel_nm, (sensor[0], sensor[1]), most=2)
            height, width = (count * factor for count in exposure.shape)
            self._camera.set_hw_roi((sensor[1] - width) // 2, (sensor[0] - height) // 2, width, height)
            self._set("Hardware Binning X", factor)
            self._set("Hardware Binning Y", factor)
            self._set("Exposure Mode", "Normal")
            self._set("Frames Per Second", max(round(frame_s / _FRAME_S), 1) / frame_s)
            self._set("Exposure Time (seconds)", frame_s)
            start_s = self._clock.now_s()
            unblank = partial(self._column.set_beam_blank, False)
            beam = BeamTime(self._clock, unblank, self._shut, lambda: self._blanks != begun)
            shots = burst(exposure, self._clock, beam.on, lambda: self._shot(frame_s, exposure.shape, beam), beam.off)
        return framed(exposure, shots, self.state(), start_s, self._settings.current_pA or 0.0, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        if not self._closed:
            with self._told():
                self._column.set_beam_blank(True)

    def close(self) -> None:
        self.blank()
        if not self._closed:
            self._closed = True
            self._camera.disconnect()
            self._column.close()

    def power(self, kind: type[P]) -> P | None:
        tilts = kind is HasTilt and bool(self.tilt_range_deg())
        return cast("P", self) if tilts or kind in (HasValves, CanStop, HasBlanker) else None

    def blanked(self) -> bool:
        """The one property, asked of the channel itself, which the camera's exposures do not keep busy."""
        with self._told():
            return bool(self._column.client.get("BeamBlank"))

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return tilts(self._ranges)

    def close_valves(self) -> None:
        with self._told():
            self._column.set_column_valves(False)

    def stop(self) -> None:
        with self._told():
            self._column.stop()

    def _shot(self, frame_s: float, shape: tuple[int, int], beam: BeamTime) -> dict[str, npt.NDArray[np.generic]]:
        self._camera.start_acquisition(1)
        read_out_s = self._settings.exposure_overhead_s
        give_up_s = time.monotonic() + frame_s + read_out_s
        while self._camera.acquiring:
            if time.monotonic() > give_up_s:
                raise Timeout(f"the camera still acquires {read_out_s:g} s after the exposure: its dose is spent")
            time.sleep(0.005)
        beam.off()  # the image's transfer needs no beam
        image = self._camera.get_result("SUMTOTAL", "FLOAT32")[0]
        if image is None or image.shape != shape:
            gave = None if image is None else image.shape
            raise InstrumentError(f"{shape} pixels were asked, the camera gave {gave}: its dose is spent")
        return {"camera": image}

    def _set(self, name: str, value: Ratio | str) -> None:
        self._camera.set_property(name, value)
        found = self._camera.get_property(name)
        if found != value and not (isinstance(value, float) and abs(float(found) - value) <= 0.01 * abs(value)):
            raise NotSupported(f"{name} = {value} was asked, DE-Server says {found}: ask for something else")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Both libraries' errors in our words."""
        if self._closed:
            raise Disconnected("this connection was closed: open the instrument again")
        try:
            yield
        except InstrumentError:
            raise
        except TimeoutError as error:
            raise Timeout(f"no answer in time, and whether it was done is not known: {error}") from error
        except OSError as error:
            where = f"{self._settings.host}, ports {self._settings.port} and {self._settings.channel_port}"
            raise Disconnected(f"DE-Server and DE-TEM-Channel ({where}) cannot be reached: {error}") from error
        except Exception as error:  # deapi raises what it likes
            raise InstrumentError(f"not done: {type(error).__name__}: {error}") from error


_FIELDS = {"x_nm": "x_um", "y_nm": "y_um", "z_nm": "z_um", "alpha_deg": "alpha_deg", "beta_deg": "beta_deg"}
SETTINGS = DeSettings
NEEDS = ("deapi", "de-twin")


def open_microscope(settings: DeSettings, *, seed: int, clock: Clock, truth: Path | None) -> DeMicroscope:
    """For the registry. Raises ConfigError, Disconnected, InstrumentError."""
    del seed, truth
    deapi = library("deapi", package="deapi", extra="de", oldest="5.3", before="6")
    mirror = library("de_twin.column.mirror", package="de-twin", extra="de", oldest="0.3", before="0.4")
    camera = deapi.Client()
    camera.usingMmf = False  # a way that only works on the camera's own computer
    camera.set_log_level("ERROR")
    try:
        camera.connect(settings.host, settings.port)
        column = mirror.MirrorColumn(
            settings.host, settings.channel_port, timeout=settings.timeout_s, start=False, strict=True
        )
    except Exception as error:
        if (link := getattr(camera, "socket", None)) is not None:
            link.close()  # deapi leaves it open
        where = f"{settings.host}, ports {settings.port} and {settings.channel_port}"
        raise Disconnected(
            f"DE-Server and DE-TEM-Channel were asked for at {where}, found {type(error).__name__}: {error}; start "
            "them, and the tunnels to them"
        ) from error
    return DeMicroscope(settings, clock, camera, column)


def lacks(settings: DeSettings) -> Mapping[str, str]:
    """What DE-TEM-Channel does not tell."""
    del settings
    return dict.fromkeys(("the vacuum is read", "the emission is read"), "DE-TEM-Channel has no such property")
