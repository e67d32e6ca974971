"""de-twin, Direct Electron's simulated microscope: wave-optical TEM with a camera, stage, blanker and valves.

de-twin is under the MIT licence, but loads two libraries under the GPL for its crystals: so it runs in a process of its
own, unless the config says otherwise.

The beam is wider than the frame: what it lights is read from de-twin, and booked as such.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from pydantic import Field

from configs.load import ConfigError, Settings
from instruments.clock import SimulatedClock
from instruments.drivers.apart import open_apart
from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import StageToImage, their_target, to_ours
from instruments.drivers.refusals import asked, binning, exposed
from instruments.drivers.vendor import library
from instruments.errors import NotCalibrated, ReachError
from instruments.hosted import HostedWorld
from instruments.powers import CanStop, HasBlanker, HasTilt, HasValves
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.codec import Json
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Frame

    Image = npt.NDArray[np.float32]

P = TypeVar("P")
Positive = Annotated[float, Field(gt=0)]
Ratio: TypeAlias = float

_STAGE = {"x_nm": "x", "y_nm": "y", "z_nm": "z", "alpha_deg": "alpha", "beta_deg": "beta"}
_PER_UNIT: Mapping[str, Ratio] = {"x_nm": 1e3, "y_nm": 1e3, "z_nm": 1e3, "alpha_deg": 1.0, "beta_deg": 1.0}
"""de-twin's stage is in µm and degrees."""
_DEFOCUS_NM = (-50_000.0, 50_000.0)
_LIBRARY = {"package": "de-twin", "extra": "detwin", "oldest": "0.3", "before": "0.4"}
_LONGEST_MOVE_S = 120.0
_COUNTS = {"gain_counts_per_electron": 1.0, "offset_counts": 0.0}


class DetwinSettings(Settings):
    """A de-twin microscope."""

    kind: Literal["detwin"] = "detwin"
    specimen: str = "Dense Au on holey C"
    """One of de-twin's presets."""
    camera: str = "DESim"
    magnification: Positive = 10_000.0
    """One of the column's steps; with the camera's pixels it gives those of the frame."""
    realistic: bool = False
    """A column that turns its image, shifts, and has play in its stage."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""
    process: Literal["own", "here"] = "own"
    """here: in adaptem's own process, with the two libraries under the GPL."""
    exposure_overhead_s: Positive = 600.0
    """What an exposure may take beyond its own time before it is given up: its renderer compiles the first time."""
    startup_s: Positive = 300.0
    real_time: bool = False


class Twin(Protocol):
    """What is used of ``de_twin.DigitalTwin``."""

    column: Any
    detector: Any

    def request(self, **fields: object) -> Any: ...

    def optics(self, request: Any) -> Any: ...

    def snap(self, exposure_s: float, **fields: object) -> Image: ...

    def close(self) -> None: ...


class TwinClock:
    """de-twin's clock, told by ours."""

    virtual = True
    time_scale = float("inf")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now_s()

    def sleep(self, duration_s: float) -> None:
        self._clock.wait(max(duration_s, 0.0))

    def sleep_until(self, time_s: float) -> None:
        self.sleep(time_s - self.now())


class DetwinMicroscope:
    """Microscope over a de-twin. Frames are corrected for the camera's dark and gain, in electrons per pixel."""

    def __init__(self, twin: Twin, settings: DetwinSettings, clock: Clock, roi: Any) -> None:
        self._twin, self._settings, self._clock, self._roi = twin, settings, clock, roi
        self._column, self._blanks = twin.column, 0
        self._column.set("Magnification", settings.magnification)
        if (found := self._column.state().magnification) != settings.magnification:
            raise ConfigError(
                f"instrument.magnification: {settings.magnification:g} was asked, this column steps to {found:g}"
            )
        model = twin.detector.model
        self._sensor_px: tuple[int, int] = model.sensor_shape
        self._pixel_nm = model.pixel_um * 1e3 / settings.magnification
        self._column.set_screen(False)  # up: the camera sees the beam
        limits = zip(_STAGE, self._column.stage_limits, strict=True)
        self._ranges = {name: (-limit * _PER_UNIT[name], limit * _PER_UNIT[name]) for name, limit in limits}
        self.blank()

    def state(self) -> State:
        found = self._column.state()
        stage = found.stage
        x_nm, y_nm = to_ours(stage.x_um * 1e3, stage.y_um * 1e3, self._settings.stage_to_image)
        wide_nm = float(self._beam().illuminated_diameter_um) * 1e3
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(
                x_nm=x_nm, y_nm=y_nm, z_nm=stage.z_um * 1e3, alpha_deg=stage.alpha_deg, beta_deg=stage.beta_deg
            ),
            optics=Optics(
                defocus_nm=found.defocus_um * 1e3,
                current_pA=self._current_pA(),
                voltage_kV=found.ht_kv,
            ),
            blanked=bool(found.beam_blanked),
            lit_nm=wide_nm,  # one that is no number is refused: what the beam would hit is not known
            valve_open=bool(found.column_valves_open),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        to = {_STAGE[name]: value / _PER_UNIT[name] for name, value in theirs.items()}
        arrived = self._column.move_stage(**to, wait=True, timeout=_LONGEST_MOVE_S)
        reached = self.state().stage
        if not arrived:
            raise ReachError(f"after {_LONGEST_MOVE_S:g} s the stage still moves", target=target, readback=reached)
        return Outcome(target, reached)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if target.stig_a_nm is not None or target.stig_b_nm is not None:
            raise NotCalibrated("astigmatism was asked; de-twin's stigmators have no unit: leave it None")
        if "defocus_nm" in (given := asked(target, {"defocus_nm": _DEFOCUS_NM})):
            self._column.set_defocus_um(given["defocus_nm"] / 1e3)
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """The camera looks for as long as a scan of the same dwell time would take."""
        begun = self._blanks
        exposed(exposure, field_of_view_nm=(0.0, 1e7), dwell_us=(1e-3, 1e6), detectors=("camera",))
        factor = binning(exposure, self._pixel_nm, self._sensor_px)
        height, width = (count * factor for count in exposure.shape)
        top, left = ((there - size) // 2 for there, size in zip(self._sensor_px, (height, width), strict=True))
        field = {"hw_roi": self._roi(left, top, width, height), "hw_binning": (factor, factor)}
        start_s, frame_s = self._clock.now_s(), exposure.beam_on_s / exposure.frames

        def shot() -> dict[str, Image]:
            self._clock.wait(frame_s)
            return {"camera": self._twin.snap(frame_s, **field)}

        unblank = partial(self._column.set_beam_blank, False)
        beam = BeamTime(self._clock, unblank, self._shut, lambda: self._blanks != begun)
        shots = burst(exposure, self._clock, beam.on, shot, beam.off)
        return framed(
            exposure, shots, self.state(), start_s, self._current_pA(),
            unit="electrons", calibration=_COUNTS, lit_s=beam.lit_s,
        )  # fmt: skip

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        self._column.set_beam_blank(True)

    def close(self) -> None:
        self.blank()
        self._twin.close()

    def power(self, kind: type[P]) -> P | None:
        return cast("P", self) if kind in (HasTilt, HasValves, CanStop, HasBlanker) else None

    def blanked(self) -> bool:
        return bool(self._column.state().beam_blanked)

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return {name: self._ranges[name] for name in ("alpha_deg", "beta_deg")}

    def close_valves(self) -> None:
        self.blank()
        self._column.set_column_valves(False)

    def stop(self) -> None:
        self._column.stop()

    def _current_pA(self) -> float:
        return float(self._beam().beam_current_pa)

    def _beam(self) -> Any:
        return self._twin.optics(self._twin.request())


SETTINGS = DetwinSettings
NEEDS = ("de-twin",)


def open_microscope(settings: DetwinSettings, *, seed: int, clock: Clock, truth: Path | None) -> Microscope:
    """For the registry. de-twin keeps its truth itself. Raises ConfigError."""
    del truth
    if settings.process == "own":
        return open_apart(__name__, settings, seed, clock)
    return _open_here(settings, seed, clock)


def open_driver(settings: Json) -> HostedWorld:
    """For the driver server, in the process that ``open_microscope`` starts."""
    clock = SimulatedClock(settings["start_s"])
    return HostedWorld(_open_here(SETTINGS.model_validate(settings["instrument"]), settings["seed"], clock), clock)


def _open_here(settings: DetwinSettings, seed: int, clock: Clock) -> DetwinMicroscope:
    return DetwinMicroscope(make_twin(settings, seed, clock), settings, clock, library("de_twin.state", **_LIBRARY).Roi)


def make_twin(settings: DetwinSettings, seed: int, clock: Clock) -> Any:
    """A new ``de_twin.DigitalTwin`` on our clock, loading what is under the GPL. Raises ConfigError."""
    de_twin, optics = library("de_twin", **_LIBRARY), library("de_twin.optics", **_LIBRARY).OpticsConfig
    try:
        twin = de_twin.DigitalTwin(
            settings.specimen,
            settings.camera,
            seed=seed,
            clock=TwinClock(clock),
            optics_config=optics.realistic(seed=seed) if settings.realistic else optics(),
        )
    except KeyError as error:
        raise ConfigError(f"instrument: de-twin has no such specimen or camera: {error}") from error
    # The place that the twin starts at, with something to see, becomes the stage's (0, 0).
    start = twin.column.state().stage
    twin.optics_config = replace(twin.optics_config, stage_offset_um=(start.x_um, start.y_um, 0.0))
    twin.column.move_stage(x=0.0, y=0.0)
    return twin


def simulated(settings: DetwinSettings) -> bool:
    """Always."""
    del settings
    return True


def lacks(settings: DetwinSettings) -> Mapping[str, str]:
    """What de-twin does not simulate."""
    del settings
    return dict.fromkeys(("the vacuum is read", "the emission is read"), "de-twin has none")
