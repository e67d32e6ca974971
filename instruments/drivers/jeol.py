"""JEOL columns through PyJEM, the vendor's own Python, in STEM mode, on the column's computer (TEMCenter).

The stage is in nm and degrees, the high tension in V, the focus in clicks of the lens (0 to 65535), the field of view a
magnification: both need a calibration. The stage is sent to places: ``SetPosition`` goes by as much as is asked, in the
opposite direction (PyJEM issue 13), and ``SetXRel`` blocks for 30 s away from the origin (issue 30); neither is used.
It says that it rests while it still moves, and its position takes 0.3 s to read. A snapshot scans for one detector: two
would be twice the dose, and are refused. What is set too high is clamped without a word, so all is read back first.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar, cast

import numpy as np
from pydantic import Field

from instruments.drivers.exposing import BeamTime, burst, framed
from instruments.drivers.jeol_lenses import Lenses, first
from instruments.drivers.jeol_settings import JeolSettings
from instruments.drivers.orientation import their_target, to_ours
from instruments.drivers.refusals import exposed, tilts
from instruments.drivers.resting import at_rest
from instruments.drivers.vendor import supplied
from instruments.errors import (
    Disconnected,
    InstrumentError,
    LimitError,
    NotCalibrated,
    NotSupported,
    ReachError,
    Timeout,
)
from instruments.powers import CanStop, HasBlanker, HasTilt, HasValves
from instruments.types import Optics, Outcome, Reading, StagePosition, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from instruments.clock import Clock
    from instruments.limits import Range
    from instruments.types import Exposure, Frame

P = TypeVar("P")
Positive = Annotated[float, Field(gt=0)]
Ratio: TypeAlias = float

_STEM = 1
_MOST_PX = 4096
_MOST_DWELL_US = 1000.0
_SETTERS = {
    "x_nm": "SetX", "y_nm": "SetY", "z_nm": "SetZ", "alpha_deg": "SetTiltXAngle", "beta_deg": "SetTiltYAngle",
}  # fmt: skip
"""Of ``TEM3.Stage3``, in the order of what ``GetPos`` gives."""
_SAME: Ratio = 1e-3
"""Magnifications that differ by less are one step."""


class JeolMicroscope:
    """Microscope over ``PyJEM.TEM3`` and ``PyJEM.detector``."""

    def __init__(self, settings: JeolSettings, clock: Clock, tem: Any, detector: Any) -> None:
        """``tem``, ``detector``: PyJEM's modules. Raises Disconnected, InstrumentError, NotSupported."""
        self._settings, self._clock = settings, clock
        self._closed, self._blanks, self._stops = False, 0, 0
        with self._calls():
            self._deflectors, self._stage = tem.Def3(), tem.Stage3()
            self._optics, self._valve, self._tension = tem.EOS3(), tem.FEG3(), tem.HT3()
            self._gun = tem.GUN3() if settings.emission else None
            self.blank()
            if settings.host is not None:
                detector.set_ip(settings.host)
            if first(self._optics.GetTemStemMode()) != _STEM:
                raise NotSupported("the column is in TEM mode: switch it to STEM")
            there = tuple(str(name) for name in detector.get_attached_detector())
            if unknown := set(settings.scanning) - set(there):
                raise NotSupported(f"detectors {sorted(unknown)} are set; PyJEM has {', '.join(there)}")
            self._detectors = {name: detector.Detector(name) for name in settings.scanning}
            self._lenses = Lenses(
                tem.Lens3(),
                self._deflectors,
                settings.focus_zero,
                settings.defocus_nm_per_unit,
                settings.stig_nm_per_unit,
            )
        self._ranges: dict[str, Range] = {name: ends for name in _SETTERS if (ends := getattr(settings, name))}

    def state(self) -> State:
        with self._calls():
            place = dict(zip(_SETTERS, map(float, self._stage.GetPos()[: len(_SETTERS)]), strict=True))
            blanked, valve = first(self._deflectors.GetBeamBlank()), first(self._valve.GetBeamValve())
            emission_uA = None if self._gun is None else float(first(self._gun.GetEmissionCurrentValue()))
            voltage_V, lenses = float(first(self._tension.GetHtValue())), self._lenses.read()
        stage = {name: at for name, at in place.items() if name in self._ranges}
        stage["x_nm"], stage["y_nm"] = to_ours(stage["x_nm"], stage["y_nm"], self._settings.stage_to_image)
        return State(
            time_s=self._clock.now_s(),
            stage=StagePosition(**stage),
            optics=Optics(**lenses, current_pA=self._settings.current_pA, voltage_kV=voltage_V / 1e3),
            blanked={1: True, 0: False}.get(blanked),
            valve_open={1: True, 0: False}.get(valve),
            emission=None if emission_uA is None else Reading(value=emission_uA, unit="µA", age_s=0.0),
        )

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """One axis after the other, each at rest before the next sets off. Raises ReachError after a stop."""
        stops = self._stops
        theirs = their_target(target, self._ranges, self.state().stage, self._settings.stage_to_image)
        self.blank()
        for name, at in theirs.items():
            with self._calls():
                if self._stops == stops:
                    getattr(self._stage, _SETTERS[name])(at)
                if self._stops != stops:  # while it was sent, too: what was sent does not go on
                    self._stage.Stop()
                    raise ReachError(f"the stage was stopped on its way; {name} = {at:g} was not reached: see to it")
            at_rest(self._moving, lambda: self.state().stage, self._clock, self._settings.move_s)
        return Outcome(target, self.state().stage)

    def tune(self, target: Optics) -> Outcome[Optics]:
        with self._calls():
            self._lenses.check(target)()
        return Outcome(target, self.state().optics)

    def acquire(self, exposure: Exposure) -> Frame:
        begun = self._blanks
        views_nm, dwells_us = (0.1, 1e7), (0.01, _MOST_DWELL_US)
        names = exposed(exposure, field_of_view_nm=views_nm, dwell_us=dwells_us, detectors=self._settings.scanning)
        name = names[0]
        if exposure.signals is not None and len(names) > 1:
            raise NotSupported(f"{names} were asked; each scans by itself, which is the dose anew: ask for one")
        if exposure.shape[0] != exposure.shape[1] or exposure.shape[0] > _MOST_PX:
            raise LimitError(f"{exposure.shape} pixels were asked; squares up to {_MOST_PX} are scanned: ask for one")
        with self._calls():
            self._magnify(exposure.field_of_view_nm)
            scan = self._detectors[name]
            self._prepare(scan, exposure)
            start_s = self._clock.now_s()
            beam = BeamTime(
                self._clock, lambda: self._deflectors.SetBeamBlank(0), self._shut, lambda: self._blanks != begun
            )
            beam.current_pA = self._settings.current_pA or 0.0
            shots = burst(exposure, self._clock, beam.on, lambda: {name: self._image(scan, name, exposure)}, beam.off)
        return framed(exposure, shots, self.state(), start_s, beam.current_pA, lit_s=beam.lit_s)

    def blank(self) -> None:
        self._blanks += 1
        self._shut()

    def blanked(self) -> bool:
        with self._calls():
            return bool(first(self._deflectors.GetBeamBlank()) == 1)

    def _shut(self) -> None:
        if not self._closed:
            with self._calls():
                self._deflectors.SetBeamBlank(1)

    def close(self) -> None:
        self.blank()
        self._closed = True

    def power(self, kind: type[P]) -> P | None:
        tilts = kind is HasTilt and bool(self.tilt_range_deg())
        return cast("P", self) if tilts or kind in (HasValves, CanStop, HasBlanker) else None

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        return tilts(self._ranges)

    def close_valves(self) -> None:
        """The beam valve; the filament stays as it is."""
        with self._calls():
            self._valve.SetBeamValve(0)

    def stop(self) -> None:
        self._stops += 1
        with self._calls():
            self._stage.Stop()

    def _moving(self) -> bool:
        with self._calls():
            return any(self._stage.GetStatus()[: len(_SETTERS)])

    def _magnify(self, field_of_view_nm: float) -> None:
        """Bring the selector to the step of this field of view. Raises NotCalibrated, LimitError."""
        settings, found = self._settings, float(self._optics.GetMagValue()[0])
        if settings.field_of_view_nm_at_1x is None:
            raise NotCalibrated("an exposure was asked, field_of_view_nm_at_1x is not known: adaptem calibrate")
        wanted = settings.field_of_view_nm_at_1x / field_of_view_nm
        if math.isclose(wanted, found, rel_tol=_SAME):
            return
        steps = [n for n, one in enumerate(settings.magnifications) if math.isclose(wanted, one, rel_tol=_SAME)]
        if not steps:
            known = settings.magnifications or (found,)
            told = ", ".join(f"{settings.field_of_view_nm_at_1x / one:.5g}" for one in known)
            raise LimitError(f"{field_of_view_nm:g} nm across were asked; this column has {told} nm: ask for one")
        self._optics.SetSelector(steps[0])
        if not math.isclose(wanted, float(self._optics.GetMagValue()[0]), rel_tol=_SAME):
            raise NotCalibrated(
                f"step {steps[0]} of the selector was to be a magnification of {wanted:.6g}, it is "
                f"{self._optics.GetMagValue()[0]}: set instrument.magnifications as the column has them"
            )

    def _prepare(self, scan: Any, exposure: Exposure) -> None:
        """Set the scan, and see that it is set so. Raises LimitError."""
        side = exposure.shape[1]
        scan.set_scanmode(0)
        scan.set_imaging_area(side, side)
        scan.set_exposuretime_value(exposure.dwell_us)
        scan.set_frameintegration(1)
        read = scan.get_detectorsetting()
        read = json.loads(read) if isinstance(read, bytes | str) else read
        found = (read["ImagingArea"]["Width"], read["ImagingArea"]["Height"], read["frameIntegration"])
        if found != (side, side, 1) or not math.isclose(read["ExposureTimeValue"], exposure.dwell_us, rel_tol=_SAME):
            raise LimitError(
                f"{exposure.shape} pixels of {exposure.dwell_us:g} µs were asked once, the scan reads {found[:2]} of "
                f"{read['ExposureTimeValue']:g} µs, {found[2]} times: ask for what it can do"
            )

    def _image(self, scan: Any, name: str, exposure: Exposure) -> npt.NDArray[np.generic]:
        """One scan, (H, W)."""
        raw = bytes(scan.snapshot_rawdata())
        if len(raw) != 2 * exposure.shape[0] * exposure.shape[1]:
            raise InstrumentError(f"{name} gave {len(raw)} bytes for {exposure.shape} px of two: its dose is spent")
        return np.frombuffer(raw, "<i2" if self._settings.signed else "<u2").reshape(exposure.shape)

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """What goes wrong in PyJEM, in our words."""
        if self._closed:
            raise Disconnected("PyJEM was let go of: open the instrument again")
        try:
            yield
        except InstrumentError:
            raise
        except TimeoutError as error:
            raise Timeout(f"PyJEM gave no answer ({error}): whether it was done is not known") from error
        except OSError as error:
            raise Disconnected(f"PyJEM does not reach the column ({error}): see to TEMCenter") from error
        except Exception as error:  # PyJEM raises what its parts raise
            raise InstrumentError(f"PyJEM did not do what it was asked: {type(error).__name__}: {error}") from error


SETTINGS = JeolSettings
NEEDS = ("PyJEM",)
SUPPLIED_BY = "JEOL's TEMCenter"


def open_microscope(settings: JeolSettings, *, seed: int, clock: Clock, truth: Path | None) -> JeolMicroscope:
    """For the registry. Raises ConfigError, Disconnected, InstrumentError, NotSupported."""
    del seed, truth
    tem, detector = supplied("PyJEM.TEM3", by=SUPPLIED_BY), supplied("PyJEM.detector", by=SUPPLIED_BY)
    return JeolMicroscope(settings, clock, tem, detector)


def lacks(settings: JeolSettings) -> Mapping[str, str]:
    """What PyJEM is not asked for."""
    without = {
        "a frame that is turned": "which way the scan turns is not known",
        "detectors side by side": "PyJEM scans anew for each, which is the dose anew: name one",
        "the vacuum is read": "PyJEM's valves and pumps are not gauges of the column",
    }
    return without if settings.emission else without | {"the emission is read": "PyJEM tells it of FEGs only"}
