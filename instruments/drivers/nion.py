"""Nion columns through Nion Swift's instrument library, and nionswift-usim, its simulated column.

Under the GPL: loaded only in a process of its own, which adaptem starts and speaks to (``instruments.drivers.apart``).
Lengths are m there, the high tension V, angles rad. ``SetVal`` of a control that does not exist says False and no more.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar, cast

from pydantic import Field

from configs.load import Settings
from instruments.clock import RealClock
from instruments.drivers.apart import open_apart
from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import StageToImage, their_target, to_ours
from instruments.drivers.refusals import asked, exposed
from instruments.drivers.vendor import library
from instruments.errors import Disconnected, InstrumentError, LimitError, NotSupported, ReachError
from instruments.hosted import Hosted
from instruments.limits import Range
from instruments.powers import HasBlanker
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.codec import Json
    from instruments.protocol import Microscope
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Positive = Annotated[float, Field(gt=0)]
SI: TypeAlias = float
"""A value in the SI unit of its control: m, V, rad, A."""

_SAMPLES = ("flake", "amorphous", "cts")
_CONFIRM_MS = 5000


class NionSettings(Settings):
    """A Nion column."""

    kind: Literal["nion"] = "nion"
    sample: Literal["flake", "amorphous", "cts"] = "cts"
    """Of the simulated column."""
    channels: Annotated[tuple[str, ...], Field(min_length=1)] = ("HAADF", "MAADF")
    """Names of the scan's channels."""
    x_nm: Range
    """That the stage may be sent to, in its own axes: Swift takes any, and the simulated stage goes there."""
    y_nm: Range
    defocus_nm: Range = (-6000.0, 6000.0)
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""
    exposure_overhead_s: Positive = 30.0
    """What an exposure may take beyond its own time before it is blanked and given up: the simulated column draws."""
    startup_s: Positive = 300.0
    """Swift, and what its simulated column draws when it begins."""


class Controls(Protocol):
    """What is used of Swift's ``stem_controller``."""

    def TryGetVal(self, name: str) -> tuple[bool, SI | None]: ...
    def SetVal(self, name: str, value: SI) -> bool: ...
    def SetValAndConfirm(self, name: str, value: SI, tolerance: SI, timeout_ms: int) -> bool: ...


class NionMicroscope:
    """Microscope over Swift's controls and scan unit. Lives in the process that has loaded Swift."""

    def __init__(self, settings: NionSettings, clock: Clock, controls: Controls, scan: Any, size: Any) -> None:
        """``size``: Swift's ``Geometry.IntSize``. Raises NotSupported for a channel that is not there."""
        self._settings, self._clock, self._controls, self._scan, self._size = settings, clock, controls, scan, size
        self._blanks = 0
        channels = [scan.get_channel_state(index).name for index in range(scan.scan_device.channel_count)]
        if unknown := set(settings.channels) - set(channels):
            raise NotSupported(f"channels {sorted(unknown)} were asked; this scan unit has {', '.join(channels)}")
        for index, name in enumerate(channels):
            scan.set_channel_enabled(index, name in settings.channels)
        real = controls.TryGetVal("SShft.x")[0]
        self._axes = {"x_nm": "SShft.x", "y_nm": "SShft.y"} if real else _SIMULATED_AXES
        self.blank()

    def state(self) -> State:
        read = [self._get(self._axes[name], 1e9) for name in ("x_nm", "y_nm")]
        place = [at for at in read if at is not None]
        x_nm, y_nm = to_ours(place[0], place[1], self._settings.stage_to_image) if len(place) == 2 else (None, None)
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(x_nm=x_nm, y_nm=y_nm),
            optics=Optics(
                defocus_nm=self._get("C10", 1e9),
                current_pA=self._get("BeamCurrent", 1e12),
                convergence_mrad=self._get("ConvergenceAngle", 1e3),
                voltage_kV=self._get("EHT", 1e-3),
            ),
            blanked=self.blanked(),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        settings = self._settings
        ranges = {"x_nm": settings.x_nm, "y_nm": settings.y_nm}
        theirs = their_target(target, ranges, self.state().stage, settings.stage_to_image)
        self.blank()
        for name, value_nm in theirs.items():
            self._set(self._axes[name], value_nm * 1e-9)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if given := asked(target, {"defocus_nm": self._settings.defocus_nm}):
            self._set("C10", given["defocus_nm"] * 1e-9)
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        begun = self._blanks
        names = exposed(exposure, field_of_view_nm=(0.1, 1e5), dwell_us=(0.01, 1e4), detectors=self._settings.channels)
        if exposure.shape[0] != exposure.shape[1]:
            raise LimitError(f"{exposure.shape} pixels were asked; this driver scans squares: ask for one")
        scan, start_s = self._scan, self._clock.now_s()
        parameters = scan.get_frame_parameters(0)
        parameters.pixel_size = self._size(*exposure.shape)
        parameters.fov_nm, parameters.pixel_time_us = exposure.field_of_view_nm, exposure.dwell_us

        def shot() -> dict[str, npt.NDArray[np.generic]]:
            given = {one.metadata["hardware_source"]["channel_name"]: one for one in scan.record_immediate(parameters)}
            if missing := set(names) - set(given):
                raise InstrumentError(f"{sorted(missing)} were asked and gave nothing: the dose is spent")
            return {name: given[name].data for name in names}

        beam = BeamTime(self._clock, lambda: self._set("C_Blank", 0.0), self._shut, lambda: self._blanks != begun)
        shots = burst(exposure, self._clock, beam.on, shot, beam.off)
        state = self.state()
        return framed(exposure, shots, state, start_s, state.optics.current_pA or 0.0, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        self._set("C_Blank", 1.0)

    def close(self) -> None:
        self.blank()

    def power(self, kind: type[P]) -> P | None:
        return cast("P", self) if kind is HasBlanker else None

    def blanked(self) -> bool | None:
        blanked = self._get("C_Blank")
        return None if blanked is None else blanked > 0.5

    def _get(self, name: str, of_ours: SI = 1.0) -> float | None:
        known, value = self._controls.TryGetVal(name)
        return float(value) * of_ours if known and value is not None else None

    def _set(self, name: str, value: SI) -> None:
        if not self._controls.SetValAndConfirm(name, value, 1.0, _CONFIRM_MS):
            found = self._controls.TryGetVal(name)[1]
            raise ReachError(f"{name} = {value:g} was asked, and reads {found} after {_CONFIRM_MS} ms: try again")


_SIMULATED_AXES = {"x_nm": "stage_position_m.x", "y_nm": "stage_position_m.y"}
SETTINGS = NionSettings
NEEDS = ("nionswift-usim",)


def lacks(settings: NionSettings) -> Mapping[str, str]:
    """What the simulated column does not do."""
    del settings
    return {
        "focus responds": "the simulated column's scanned images do not depend on the focus",
        "a blanked beam is dark": "the simulated column's scan does not know of the blanker",
        "the column valve is read": "the simulated column has none",
        "the vacuum is read": "the simulated column has none",
        "the emission is read": "the simulated column has none",
    }


def open_microscope(settings: NionSettings, *, seed: int, clock: Clock, truth: Path | None) -> Microscope:
    """For the registry: in a process of its own. Raises ConfigError, Disconnected."""
    del truth
    return open_apart(__name__, settings, seed, clock)


class HostedNion(Hosted):
    """A simulated Nion column, with what has to be stopped at the end."""

    def __init__(self, scope: NionMicroscope, stop: Callable[[], None]) -> None:
        super().__init__(scope)
        self._stop = stop

    def close(self) -> None:
        super().close()
        self._stop()


def open_driver(settings: Json) -> HostedNion:
    """For the driver server, in the process that ``open_microscope`` starts: begin the simulated column."""
    instrument = SETTINGS.model_validate(settings["instrument"])
    swift = {
        name: library(f"nion.{name}", package="nionswift-usim", extra="nion", oldest="5.4", before="6")
        for name in (
            "instrumentation.HardwareSource", "instrumentation.DriftTracker", "instrumentation.camera_base",
            "instrumentation.scan_base", "usim_device.DeviceConfiguration", "utils.Registry", "utils.Geometry",
        )
    }  # fmt: skip
    with ExitStack() as running:  # Swift's threads would keep the process alive where the rest fails
        scope = _column(instrument, RealClock(settings["start_s"]), list(swift.values()), running)
        return HostedNion(scope, running.pop_all().close)


def _column(instrument: NionSettings, clock: Clock, swift: list[Any], running: ExitStack) -> NionMicroscope:
    """The simulated column; ``running`` gets what has to be stopped at the end."""
    hardware, drift, cameras, scans, device, registry, geometry = swift
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="adaptem-swift-")))
    running.callback(hardware.HardwareSourceManager().close)
    for module, *folders in ((hardware,), (drift,), (cameras, folder), (scans, folder)):
        module.run(*folders)
        running.callback(module.stop)
    column = device.AcquisitionContextConfiguration(
        set_configuration_location=False, sample_index=_SAMPLES.index(instrument.sample)
    )
    column.run()
    running.callback(column.stop)
    controls = registry.get_component("stem_controller")
    if controls is None:
        raise Disconnected("Swift has no stem_controller: the simulated column did not start")
    scope = NionMicroscope(instrument, clock, controls, controls.scan_controller, geometry.IntSize)
    controls.scan_controller.record_immediate(
        controls.scan_controller.get_frame_parameters(0)
    )  # it draws its sample now
    return scope


def simulated(settings: NionSettings) -> bool:
    """This driver starts Swift's simulated column, and no other."""
    del settings
    return True
