"""Thermo Fisher columns through AutoScript TEM, the vendor's own Python client, in STEM mode.

Lengths are m there, angles rad, the dwell s, the high tension V; defocus < 0 is underfocus. The client comes with the
column, on no package index; what is used of it is what public programs use (pycroscopy/asyncroscopy, ``auto_script.py``
of August 2026). A detector that is not there is left out without a word. The call for 4D data keeps a corner of the
camera only, so patterns are taken point by point, the beam parked on each and blanked between them.

A call ends when the server ends it, so a blank waits for a scan that is under way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np

from instruments.drivers.autoscript_link import AutoscriptLink
from instruments.drivers.autoscript_loader import AutoscriptLoader
from instruments.drivers.autoscript_settings import AutoscriptSettings
from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import METRES_RADIANS as AXES
from instruments.drivers.orientation import their_target, to_ours
from instruments.drivers.readings import ready
from instruments.drivers.refusals import asked, exposed, short, tilts
from instruments.drivers.resting import at_rest
from instruments.drivers.stepping import camera_time_s, stepped
from instruments.drivers.vendor import supplied
from instruments.errors import InstrumentError, LimitError, NotSupported
from instruments.powers import HasBlanker, HasDiffraction, HasLoader, HasTilt, HasValves
from instruments.types import Axis, Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.limits import Range
    from instruments.types import Exposure, Frame

P = TypeVar("P")

Ratio: TypeAlias = float

_SAME: Ratio = 1e-3
"""Of a field of view: a read-back further off than this part was clamped."""


class AutoscriptMicroscope:
    """Microscope over ``TemMicroscopeClient``."""

    def __init__(self, settings: AutoscriptSettings, clock: Clock, client: Any, structures: Any) -> None:
        """``client``, ``structures``: the vendor's modules. Raises Disconnected, InstrumentError, NotSupported."""
        self._settings, self._clock, self._structures = settings, clock, structures
        self._link, self._blanks = AutoscriptLink(client, settings.host, settings.port), 0
        self._column = self._link.column
        self.blank()
        with self._column() as column:
            if (mode := str(column.optics.optical_mode)) != "Stem":
                raise NotSupported(f"the column is in mode {mode}: switch it to Stem")
            stage = column.specimen.stage
            double = str(stage.get_holder_type()) == "DoubleTilt"
            self._axes = {ours: about for ours, about in AXES.items() if double or ours != "beta_deg"}
            self._ranges: dict[str, Range] = {}
            for ours, (theirs, unit) in self._axes.items():
                ends = stage.get_axis_limits(theirs)
                self._ranges[ours] = (ends.min * unit, ends.max * unit)
            known = tuple(str(name) for name in column.detectors.scanning_detectors)
            cameras = {str(name) for name in column.detectors.camera_detectors}
        loader = AutoscriptLoader(self._column, settings.slots)
        self._loader = loader if settings.slots and loader.there() else None
        if unknown := (set(settings.scanning) - set(known)) | (set(settings.patterns_px) - cameras):
            raise NotSupported(f"{sorted(unknown)} are set; this server has {', '.join((*known, *sorted(cameras)))}")

    def state(self) -> State:
        with self._column() as column:
            place, optics, vacuum = column.specimen.stage.position, column.optics, column.vacuum
            read = {ours: (getattr(place, theirs), unit) for ours, (theirs, unit) in self._axes.items()}
            blanked, defocus_m = bool(optics.blanker.is_beam_blanked), float(optics.defocus)
            voltage_V = float(optics.acceleration_voltage.value) * bool(optics.is_accelerator_on)  # set, or there
            valve, gas = str(vacuum.column_valves.state), ready(str(vacuum.state) == "Ready")
        stage = {ours: value * unit for ours, (value, unit) in read.items() if value is not None}
        stage["x_nm"], stage["y_nm"] = to_ours(stage["x_nm"], stage["y_nm"], self._settings.stage_to_image)
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(**stage),
            optics=Optics(defocus_nm=defocus_m * 1e9, current_pA=self._settings.current_pA, voltage_kV=voltage_V / 1e3),
            blanked=blanked,
            valve_open={"Opened": True, "Closed": False}.get(valve),
            vacuum=gas,
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """A tilt goes by the column's own safe way, which levels the stage first."""
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        place = {AXES[name][0]: at / AXES[name][1] for name, at in theirs.items()}
        with self._column() as column:
            stage = column.specimen.stage
            self._rest(stage)  # one that still moves is not ready, and says so
            go = stage.absolute_move_safe if {"alpha_deg", "beta_deg"} & set(theirs) else stage.absolute_move
            go(self._structures.StagePosition(**place))
            self._rest(stage)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if given := asked(target, {"defocus_nm": self._settings.defocus_nm}):
            with self._column() as column:
                column.optics.defocus = given["defocus_nm"] * 1e-9
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """Images by scanning, or the patterns of one camera: the beam cannot do both at once."""
        begun = self._blanks
        cameras = set(exposure.signals or ()) & set(self._settings.patterns_px)
        names = exposed(
            exposure,
            field_of_view_nm=self._settings.field_of_view_nm,
            dwell_us=(0.05, 1e7 if cameras else 1e4),
            detectors=(*self._settings.scanning, *cameras),
            rotates=True,
        )
        camera_s = camera_time_s(exposure, names, self._settings.camera_overhead_s) if cameras else 0.0
        if not cameras and exposure.shape not in [(size, size) for size in self._settings.sizes_px]:
            raise LimitError(f"{exposure.shape} pixels were asked; squares of {self._settings.sizes_px} are scanned")
        short(
            exposure.dwell_us * 1e-6 if cameras else exposure.beam_on_s / exposure.frames,
            self._settings.longest_frame_s,
        )
        with self._column() as column:
            start_s = self._clock.now_s()
            _see(column.optics, exposure)
            beam = BeamTime(self._clock, column.optics.blanker.unblank, self._shut, lambda: self._blanks != begun)

            def shot() -> dict[str, npt.NDArray[np.generic]]:
                if cameras:
                    return self._stepped(column, exposure, names[0], camera_s, beam)
                beam.on()
                return self._scanned(column, exposure, names, beam)

            shots = burst(exposure, self._clock, lambda: None, shot, beam.off)  # each point unblanks for itself
        inner = (Axis("ky", 1.0, "px"), Axis("kx", 1.0, "px")) if cameras else ()
        return framed(exposure, shots, self.state(), start_s, beam.current_pA, inner=inner, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        if not self._link.closed:
            with self._column() as column:
                column.optics.blanker.blank()

    def close(self) -> None:
        if not self._link.closed:
            try:
                self.blank()
            finally:
                self._link.close()

    def power(self, kind: type[P]) -> P | None:
        if kind is HasLoader:
            return cast("P | None", self._loader)
        tilts = kind is HasTilt and bool(self.tilt_range_deg())
        diffracts = kind is HasDiffraction and bool(self._settings.patterns_px)
        return cast("P", self) if tilts or diffracts or kind in (HasValves, HasBlanker) else None

    def blanked(self) -> bool:
        """One call, where the whole state takes a dozen: the server does one at a time."""
        with self._column() as column:
            return bool(column.optics.blanker.is_beam_blanked)

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return tilts(self._ranges)

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return {name: (size, size) for name, size in self._settings.patterns_px.items()}

    def close_valves(self) -> None:
        with self._column() as column:
            column.vacuum.column_valves.close()

    def _scanned(
        self, column: Any, exposure: Exposure, names: tuple[str, ...], beam: BeamTime
    ) -> dict[str, npt.NDArray[np.generic]]:
        """One scan that every detector looks at."""
        structures = self._structures
        wish = structures.StemAcquisitionSettings(
            dwell_time=exposure.dwell_us * 1e-6, detector_types=list(names), size=exposure.shape[1]
        )
        found = column.acquisition.acquire_stem_images_advanced(wish)
        beam.current_pA = self._current_pA(column)
        images = [np.array(one.data) for one in (found if isinstance(found, list) else [found])]
        if [image.shape for image in images] != [exposure.shape] * len(names):
            gave = [image.shape for image in images]
            raise InstrumentError(f"{names} were asked for {exposure.shape} px and gave {gave}: the dose is spent")
        return dict(zip(names, images, strict=True))

    def _stepped(
        self, column: Any, exposure: Exposure, camera: str, camera_s: float, beam: BeamTime
    ) -> dict[str, npt.NDArray[np.generic]]:
        """A pattern at every point of the scan's field; the beam goes back to where it rested."""
        optics, size = column.optics, self._settings.patterns_px[camera]
        beam.current_pA = self._settings.current_pA or 0.0  # the screen is out of a camera's way
        rested = optics.paused_scan_beam_position

        def park(x: Ratio, y: Ratio) -> None:
            optics.paused_scan_beam_position = [x, y]

        def image() -> npt.NDArray[np.generic]:
            return np.array(column.acquisition.acquire_camera_image(camera, size, camera_s).data)

        try:
            return {camera: stepped(exposure, beam, park, image, size)}
        finally:
            optics.paused_scan_beam_position = rested

    def _current_pA(self, column: Any) -> float:
        """With the beam on: as set, else as the screen reads where it is in; 0 where it is not known."""
        if self._settings.current_pA is not None:
            return self._settings.current_pA
        screen = column.detectors.screen
        return float(screen.measure_current()) * 1e12 if str(screen.position) == "Inserted" else 0.0

    def _rest(self, stage: Any) -> None:
        at_rest(lambda: bool(stage.is_moving), lambda: self.state().stage, self._clock, self._settings.move_s)


def _see(optics: Any, exposure: Exposure) -> None:
    """Set the scan. Raises LimitError where the field of view was clamped; the beam is not on yet."""
    optics.scan_field_of_view = exposure.field_of_view_nm * 1e-9
    optics.scan_rotation = math.radians(exposure.rotation_deg)
    found_nm, wish_nm = float(optics.scan_field_of_view) * 1e9, exposure.field_of_view_nm
    if not math.isclose(found_nm, wish_nm, rel_tol=_SAME):
        raise LimitError(f"a field of view of {wish_nm:g} nm was asked, the scan reads {found_nm:g} nm: ask for that")


SETTINGS = AutoscriptSettings
NEEDS = ("autoscript_tem_microscope_client",)
SUPPLIED_BY = "Thermo Fisher's installer of the AutoScript TEM client"


def open_microscope(
    settings: AutoscriptSettings, *, seed: int, clock: Clock, truth: Path | None
) -> AutoscriptMicroscope:
    """For the registry. Raises ConfigError, Disconnected, InstrumentError, NotSupported."""
    del seed, truth
    client = supplied("autoscript_tem_microscope_client", by=SUPPLIED_BY)
    structures = supplied("autoscript_tem_microscope_client.structures", by=SUPPLIED_BY)
    return AutoscriptMicroscope(settings, clock, client, structures)


def lacks(settings: AutoscriptSettings) -> Mapping[str, str]:
    """What this driver does not ask of AutoScript TEM."""
    both = "the beam cannot scan and rest on a point at once: name one of them"
    patterns = {"images and patterns of one exposure": both} if settings.patterns_px else {}
    return patterns | {
        "the emission is read": "no public program asks it of AutoScript: whether the accelerator is on, it tells",
        "rectangles": "an image is scanned by one size: ask for squares",
        "stigmators": "this driver does not set them",
        "spectra": "this driver does not take them",
        "stopping": "its server does one thing at a time: a move ends by itself",
    }
