"""Whatever SerialEM drives, through its Python module and the socket of an external script (EnableExternalPython).

Lengths are µm there, tilts degrees, times s; defocus < 0 is underfocus. Names and arguments of commands are those of
SerialEM's own table (mastcu/SerialEM, ``MacroMasterList.h``). An error outside of StartTry ends the script, an image's
transfer can hang for ever where it has no time limit, and reports are numbers or tuples, as the version has it.

SerialEM tells no state of its blanker: none of its commands does, so it is never known here. The magnification is the
operator's: frames have the pixels that it gives, binned. One thing at a time: a blank waits for the call under way, and
so does all of this process, as the module keeps Python's lock while it waits for SerialEM (``SerialEMModule.cpp``).
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np

from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.orientation import their_target, to_ours
from instruments.drivers.readings import on
from instruments.drivers.refusals import asked, binning, exposed, short, tilts
from instruments.drivers.resting import at_rest
from instruments.drivers.serialem_loader import SerialemLoader
from instruments.drivers.serialem_settings import SerialemSettings
from instruments.drivers.vendor import supplied
from instruments.errors import Disconnected, InstrumentError, NotCalibrated, NotSupported, Timeout
from instruments.powers import HasBlanker, HasLoader, HasTilt, HasValves
from instruments.types import Optics, Outcome, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.limits import Range
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Ratio: TypeAlias = float

_SET = "R"
"""The camera's parameter set that is used: Record."""
_TRIES = 3
"""An image is asked for so often: it has been exposed, and asking costs no dose."""
_BUSY_S = 60.0
"""While dewars fill or a pump runs, it is asked again after so long."""
_SAME: Ratio = 0.02
"""Of a pixel's size: an image further off than this part was taken at another magnification."""


class SerialemMicroscope:
    """Microscope over the module ``serialem``, which has one connection for a whole process."""

    def __init__(self, settings: SerialemSettings, clock: Clock, sem: Any) -> None:
        """Raises Disconnected, InstrumentError, NotSupported for a SerialEM that is too old."""
        self._settings, self._clock, self._sem = settings, clock, sem
        self._closed = self._connected = False
        self._trying = self._blanks = 0
        self._loader = SerialemLoader(self._script, settings.slots)
        given = {name: getattr(settings, name) for name in ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")}
        self._ranges: dict[str, Range] = {name: ends for name, ends in given.items() if ends is not None}
        if not hasattr(sem, "SetBufferImageTimeout"):
            raise NotSupported("this SerialEM is older than December 2024: an image could hang for ever; update it")
        self.blank()

    def state(self) -> State:
        settings = self._settings
        with self._script() as sem:
            x_um, y_um, z_um = sem.ReportStageXYZ()[:3]
            alpha_deg = _first(sem.ReportTiltAngle())
            beta_deg = _first(sem.ReportStageBAxis()) if settings.beta_deg is not None else None
            defocus_um, voltage_kV = _first(sem.ReportDefocus()), _first(sem.ReportHighVoltage())
            valve = _first(sem.ReportColumnOrGunValve()) if settings.column_valve else None
            emission = on(_first(sem.ReportFEGEmissionState()) == 1) if settings.gun else None
            busy = settings.autofill and any(_first(told) for told in (sem.AreDewarsFilling(), sem.IsPVPRunning()))
        x_nm, y_nm = to_ours(x_um * 1e3, y_um * 1e3, settings.stage_to_image)
        now_s = self._clock.now_s()
        return State(
            time_s=now_s,
            stage=StagePosition(x_nm=x_nm, y_nm=y_nm, z_nm=z_um * 1e3, alpha_deg=alpha_deg, beta_deg=beta_deg),
            optics=Optics(defocus_nm=defocus_um * 1e3, current_pA=settings.current_pA, voltage_kV=voltage_kV),
            blanked=None,
            lit_nm=settings.lit_nm,
            emission=emission,
            valve_open=None if valve is None else {1.0: True, 0.0: False}.get(valve),
            busy_until_s=now_s + _BUSY_S if busy else None,
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """Lengths first, then tilts: SerialEM does one after the other."""
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        with self._script() as sem:
            self._rest(sem)
            lengths = {name: theirs[name] / 1e3 for name in ("x_nm", "y_nm", "z_nm") if name in theirs}
            if lengths:
                x_um, y_um = sem.ReportStageXYZ()[:2]
                z_um = [lengths["z_nm"]] if "z_nm" in lengths else []
                sem.MoveStageTo(lengths.get("x_nm", x_um), lengths.get("y_nm", y_um), *z_um)
                self._rest(sem)
            for name, tilt in (("alpha_deg", sem.TiltTo), ("beta_deg", sem.SetStageBAxis)):
                if name in theirs:
                    tilt(theirs[name])
                    self._rest(sem)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        if given := asked(target, {"defocus_nm": self._settings.defocus_nm}):
            with self._script() as sem:
                sem.SetDefocus(given["defocus_nm"] / 1e3)
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        """A scan, or a camera that looks for as long as a scan of the same dwell time would take."""
        begun = self._blanks
        settings = self._settings
        names = exposed(exposure, field_of_view_nm=(0.0, 1e7), dwell_us=(1e-3, 1e6), detectors=settings.detectors())
        rows, columns = exposure.shape
        short(frame_s := exposure.beam_on_s / exposure.frames, settings.longest_frame_s)
        with self._script() as sem:
            start_s, pixel_nm = self._clock.now_s(), self._pixel_nm(sem)
            factor = binning(exposure, pixel_nm, settings.sensor_px, settings.most_binning)
            sem.SetCenteredSize(_SET, factor, columns, rows)
            sem.SetExposure(_SET, frame_s)
            if settings.stem_detectors:
                sem.SetSTEMDetectors(_SET, *(settings.stem_detectors[name] for name in names))
            beam = BeamTime(self._clock, self._unblank, self._shut, lambda: self._blanks != begun)

            def shot() -> dict[str, npt.NDArray[np.generic]]:
                sem.Record()
                beam.off()  # the image's transfer needs no beam
                return {name: self._image(sem, chr(ord("A") + n), exposure) for n, name in enumerate(names)}

            shots = burst(exposure, self._clock, beam.on, shot, beam.off)
        return framed(exposure, shots, self.state(), start_s, settings.current_pA or 0.0, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def _shut(self) -> None:
        if not self._closed:
            with self._script() as sem:
                sem.SetBeamBlank(1)

    def close(self) -> None:
        if not self._closed:
            try:
                self.blank()
                with self._script() as sem:
                    sem.RestoreCameraSet(_SET)
                with suppress(self._sem.SEMexited):  # so it says goodbye
                    self._sem.Exit(1)
            finally:
                self._closed = True

    def power(self, kind: type[P]) -> P | None:
        tilts = kind is HasTilt and bool(self.tilt_range_deg())
        valves = kind is HasValves and self._settings.column_valve
        if kind is HasLoader and self._settings.slots:
            return cast("P", self._loader)
        return cast("P", self) if tilts or valves or kind is HasBlanker else None

    def blanked(self) -> None:
        """Never known: said without a call that would wait for SerialEM."""

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return tilts(self._ranges)

    def close_valves(self) -> None:
        with self._script() as sem:
            sem.SetColumnOrGunValve(0)

    def _unblank(self) -> None:
        with self._script() as sem:
            sem.SetBeamBlank(0)

    def _pixel_nm(self, sem: Any) -> float:
        """Of the unbinned camera, on the specimen, at the magnification that is set."""
        pixel_nm, factor = float(_first(sem.ReportCurrentPixelSize(_SET))), float(_first(sem.ReportBinning(_SET)))
        if not (pixel_nm > 0 and factor > 0):
            raise NotCalibrated("SerialEM knows no pixel size at this magnification: calibrate it there")
        return pixel_nm / factor

    def _image(self, sem: Any, buffer: str, exposure: Exposure) -> npt.NDArray[np.generic]:
        """What is in a buffer. Raises Timeout where it is not handed over: it was exposed all the same."""
        told: Exception | None = None
        for _ in range(_TRIES):
            try:
                pixel_nm, image = float(sem.ImageProperties(buffer)[4]), np.array(sem.bufferImage(buffer))
                break
            except (sem.SEMerror, sem.SEMmoduleError) as error:
                told = error
        else:
            raise Timeout(f"SerialEM did not hand buffer {buffer} over in {_TRIES} tries ({told}): its dose is spent")
        if image.shape != exposure.shape or abs(pixel_nm / exposure.pixel_size_nm - 1) > _SAME:
            wish = f"{exposure.shape} pixels of {exposure.pixel_size_nm:g} nm"
            raise InstrumentError(f"{wish} were asked, {image.shape} of {pixel_nm:g} nm came: their dose is spent")
        return image

    def _rest(self, sem: Any) -> None:
        at_rest(
            lambda: bool(_first(sem.ReportStageBusy())),
            lambda: self.state().stage,
            self._clock,
            self._settings.move_s,
        )

    @contextmanager
    def _script(self) -> Iterator[Any]:
        """SerialEM's module, connected; inside, an error does not end the script, and is told in our words."""
        sem, where = self._sem, f"SerialEM at {self._settings.host}:{self._settings.port}"
        if self._closed:
            raise Disconnected(f"{where} was let go of: open the instrument again")
        try:
            if not self._connected:
                sem.ConnectToSEM(self._settings.port, self._settings.host)
                sem.SetBufferImageTimeout(self._settings.image_s)
                self._connected = True
            if not self._trying:
                sem.StartTry(1)
            self._trying += 1
            try:
                yield sem
            finally:
                self._trying -= 1
                if not self._trying:
                    sem.EndTry()
        except (sem.SEMexited, sem.SEMmoduleError, OSError) as error:
            self._connected = False
            raise Disconnected(f"{where} cannot be reached ({error}): start it, and the tunnel to it") from error
        except sem.SEMerror as error:
            raise InstrumentError(f"{where} did not do it: {error}") from error


def _first(told: Any) -> float:
    """A report's value: newer versions give tuples, to which more may be added."""
    return float(told[0] if isinstance(told, tuple) else told)


SETTINGS = SerialemSettings
NEEDS = ("serialem",)
SUPPLIED_BY = "SerialEM (its folder PythonModules)"


def lacks(settings: SerialemSettings) -> Mapping[str, str]:
    """What SerialEM's scripts cannot tell."""
    without = dict.fromkeys(("the blanker is read", "blank blanks"), "SerialEM takes a blank, and tells no state of it")
    without["the vacuum is read"] = "which gauge is the column's, and what is good, differs from column to column"
    if not settings.gun:
        without["the emission is read"] = "set instrument.gun where this column's SerialEM tells it"
    return without if settings.column_valve else without | {"the column valve is read": "a JEOL's is its filament"}


def open_microscope(settings: SerialemSettings, *, seed: int, clock: Clock, truth: Path | None) -> SerialemMicroscope:
    """For the registry. Raises ConfigError, Disconnected, InstrumentError, NotSupported."""
    del seed, truth
    return SerialemMicroscope(settings, clock, supplied("serialem", by=SUPPLIED_BY))
