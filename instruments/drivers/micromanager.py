"""Whatever Micro-Manager drives, through pymmcore-plus: a camera, an xy stage, a focus drive and a shutter.

The shutter is the blanker, the focus drive the focus. Micro-Manager counts in µm and ms, and knows no limits: they are
asked for here. It has no tilt, no probe, and says nothing of electrons.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from pydantic import Field

from configs.load import ConfigError, Settings
from instruments.drivers.exposing import BeamTime, burst, framed, summed
from instruments.drivers.orientation import StageToImage, their_target, to_ours
from instruments.drivers.refusals import asked, binning, exposed
from instruments.drivers.vendor import library
from instruments.errors import Disconnected, InstrumentError, NotCalibrated
from instruments.limits import Range
from instruments.powers import HasBlanker
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Positive = Annotated[float, Field(gt=0)]
Length: TypeAlias = float
"""In Micro-Manager's unit."""
Milliseconds: TypeAlias = float


class MicromanagerSettings(Settings):
    """A hardware configuration of Micro-Manager."""

    kind: Literal["micromanager"] = "micromanager"
    config: str = "MMConfig_demo.cfg"
    """A .cfg file, or the name of one beside the device adapters."""
    properties: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By device and property: set when the instrument is opened."""
    unit_nm: Positive = 1000.0
    """Length of what the stage, the focus drive and the pixel size count in; Micro-Manager's own unit is the µm."""
    x_nm: Range
    """That the stage can reach, in its own axes: Micro-Manager does not tell."""
    y_nm: Range
    defocus_nm: Range
    """That the focus drive can reach."""
    exposure_overhead_s: Positive = 5.0
    """What an exposure may take beyond its own time before it is blanked and given up: set-up and read-out."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""


class Core(Protocol):
    """What is used of ``pymmcore_plus.CMMCorePlus``."""

    def loadSystemConfiguration(self, fileName: str) -> None: ...
    def unloadAllDevices(self) -> None: ...
    def getCameraDevice(self) -> str: ...
    def getShutterDevice(self) -> str: ...
    def getXYStageDevice(self) -> str: ...
    def getFocusDevice(self) -> str: ...
    def setProperty(self, label: str, name: str, value: str) -> None: ...
    def setAutoShutter(self, state: bool) -> None: ...
    def setShutterOpen(self, state: bool) -> None: ...
    def getShutterOpen(self) -> bool: ...
    def getPixelSizeUm(self) -> float: ...
    def getImageWidth(self) -> int: ...
    def getImageHeight(self) -> int: ...
    def clearROI(self) -> None: ...
    def setROI(self, x: int, y: int, width: int, height: int) -> None: ...
    def setExposure(self, exposure: Milliseconds) -> None: ...
    def snapImage(self) -> None: ...
    def getImage(self) -> npt.NDArray[np.generic]: ...
    def setXYPosition(self, x: Length, y: Length) -> None: ...
    def getXYPosition(self) -> tuple[float, float]: ...
    def setPosition(self, position: Length) -> None: ...
    def getPosition(self) -> float: ...
    def waitForDevice(self, label: str) -> None: ...


class MicromanagerMicroscope:
    """Microscope over a Micro-Manager core, whose camera gives the one signal, by its label."""

    def __init__(self, settings: MicromanagerSettings, clock: Clock, core: Core) -> None:
        """Raises ConfigError for a configuration that lacks a device, NotCalibrated for one without a pixel size."""
        self._settings, self._clock, self._core = settings, clock, core
        parts = {
            "a camera": core.getCameraDevice(), "a shutter": core.getShutterDevice(),
            "an xy stage": core.getXYStageDevice(), "a focus drive": core.getFocusDevice(),
        }  # fmt: skip
        if missing := [part for part, label in parts.items() if not label]:
            raise ConfigError(f"instrument.config: {settings.config} has not {', '.join(missing)}: add it, as default")
        self._camera, _, self._xy, self._focus = parts.values()
        self._closed, self._blanks = False, 0
        with self._told("opened"):
            core.setAutoShutter(False)  # the beam is on when the guard says so
            for device, values in settings.properties.items():
                for name, value in values.items():
                    core.setProperty(device, name, value)
            core.setProperty(self._camera, "Binning", "1")
            core.clearROI()
            self._pixel_nm = core.getPixelSizeUm() * settings.unit_nm
            self._sensor_px = core.getImageHeight(), core.getImageWidth()
        if not self._pixel_nm > 0:
            raise NotCalibrated(f"{settings.config} tells no pixel size for this objective: calibrate it there")
        self.blank()

    def state(self) -> State:
        unit_nm = self._settings.unit_nm
        with self._told("read"):
            x, y = self._core.getXYPosition()
            focus, is_open = self._core.getPosition(), self._core.getShutterOpen()
        x_nm, y_nm = to_ours(x * unit_nm, y * unit_nm, self._settings.stage_to_image)
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(x_nm=x_nm, y_nm=y_nm),
            optics=Optics(defocus_nm=focus * unit_nm),
            blanked=not is_open,
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        settings, now = self._settings, self.state().stage
        ranges = {"x_nm": settings.x_nm, "y_nm": settings.y_nm}
        if theirs := their_target(target, ranges, now, settings.stage_to_image):
            self.blank()
            with self._told("moved"):
                self._core.setXYPosition(theirs["x_nm"] / settings.unit_nm, theirs["y_nm"] / settings.unit_nm)
                self._core.waitForDevice(self._xy)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if given := asked(target, {"defocus_nm": self._settings.defocus_nm}):
            with self._told("focused"):
                self._core.setPosition(given["defocus_nm"] / self._settings.unit_nm)
                self._core.waitForDevice(self._focus)
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """The camera looks for as long as a scan of the same dwell time would take. Its pixels are summed here.

        Not by the camera: not every adapter tells a pixel size that goes with its binning.
        """
        begun = self._blanks
        exposed(exposure, field_of_view_nm=(0.0, 1e12), dwell_us=(1e-3, 1e6), detectors=(self._camera,))
        factor = binning(exposure, self._pixel_nm, self._sensor_px)
        height, width = (count * factor for count in exposure.shape)
        start_s = self._clock.now_s()

        def shot() -> dict[str, npt.NDArray[np.generic]]:
            self._core.snapImage()
            image = self._core.getImage()
            if image.shape != (height, width):
                wish = f"{(height, width)} pixels were asked, the camera gave {image.shape}"
                raise InstrumentError(f"{wish}: grey images only; the dose is spent")
            return {self._camera: summed(image, factor)}

        with self._told("exposed"):
            self._core.clearROI()
            tall, wide = self._sensor_px
            self._core.setROI((wide - width) // 2, (tall - height) // 2, width, height)
            self._core.setExposure(exposure.beam_on_s / exposure.frames * 1e3)
            unblank = partial(self._core.setShutterOpen, True)
            beam = BeamTime(self._clock, unblank, self._shut, lambda: self._blanks != begun)
            shots = burst(exposure, self._clock, beam.on, shot, beam.off)
        return framed(exposure, shots, self.state(), start_s, 0.0, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        if not self._closed:
            with self._told("blanked"):
                self._core.setShutterOpen(False)

    def close(self) -> None:
        self.blank()
        self._closed = True
        self._core.unloadAllDevices()

    def power(self, kind: type[P]) -> P | None:
        return cast("P", self) if kind is HasBlanker else None

    def blanked(self) -> bool:
        with self._told("read"):
            return not self._core.getShutterOpen()

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Micro-Manager's errors in our words."""
        if self._closed:
            raise Disconnected("this instrument was closed: open it again")
        try:
            yield
        except (RuntimeError, ValueError) as error:
            raise InstrumentError(f"asked to be {done}, Micro-Manager said: {error}") from error


SETTINGS = MicromanagerSettings
NEEDS = ("pymmcore-plus",)


def lacks(settings: MicromanagerSettings) -> Mapping[str, str]:
    """What the demonstration camera does not do."""
    reads = ("the column valve is read", "the vacuum is read", "the emission is read", "the high tension is read")
    without = dict.fromkeys(reads, "Micro-Manager knows no column")
    if not simulated(settings):
        return without
    return without | {"a blanked beam is dark": "the demonstration camera sees the same with its shutter closed"}


def open_microscope(
    settings: MicromanagerSettings, *, seed: int, clock: Clock, truth: Path | None
) -> MicromanagerMicroscope:
    """For the registry. Raises ConfigError, NotCalibrated, InstrumentError."""
    del seed, truth
    library_: Any = library(
        "pymmcore_plus", package="pymmcore-plus", extra="micromanager", oldest="0.18", before="0.19"
    )
    core = library_.CMMCorePlus()
    try:
        core.loadSystemConfiguration(settings.config)
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"instrument.config: Micro-Manager cannot load {settings.config}: {error}") from error
    return MicromanagerMicroscope(settings, clock, core)


def simulated(settings: MicromanagerSettings) -> bool:
    """Its demonstration is."""
    return bool(settings.config == SETTINGS.model_fields["config"].default)
