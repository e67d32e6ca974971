r"""Gatan's DigitalMicrograph for the driver server: runs in the Python inside GMS, the only one that has its module.

In GMS, a Python script of three lines; it serves until the script is stopped:

    import sys; sys.path.insert(0, r"C:\driver-server")        # the folder that `make driver-zip` makes
    from server.digitalmicrograph import serve
    serve(r"C:\driver-server\token.txt", port=7654)

The stage is in µm and degrees, the high tension in V, the focus a number without a unit. Which number of the screen is
up differs from column to column. Nothing says whether the stage moves: it is watched until it stands. What has to be
measured is set by ``set_up``, by adaptem's driver ``digitalmicrograph``; until then nothing moves.
"""

from __future__ import annotations

import importlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .__main__ import token_of
from .driver import DriverError
from .log import Log
from .serving import DriverServer

if TYPE_CHECKING:
    from collections.abc import Callable

POWER = "DigitalMicrograph"
ELECTRONS_PER_PA_S = 1e-12 / 1.602176634e-19
FLAGS = {"x_nm": 1, "y_nm": 2, "z_nm": 4, "alpha_deg": 8, "beta_deg": 16}
"""Of ``SetStagePositions``, in the order of its values."""
PER_UNIT = {"x_nm": 1e3, "y_nm": 1e3, "z_nm": 1e3, "alpha_deg": 1.0, "beta_deg": 1.0}
"""How many of our unit make one of theirs."""
_MOST_BINNING = 8
_SAME = 1e-3
_POLL_S = 0.1
_STILL_S = 1.5
"""A stage that has not moved for so long stands, wherever that is."""
_STILL = {"x_nm": 20.0, "y_nm": 20.0, "z_nm": 20.0, "alpha_deg": 0.02, "beta_deg": 0.02}
"""Read-backs that differ by less are of a stage that stands."""


class GatanDriver:
    """Everything that ``server.driver.Driver`` lists."""

    def __init__(self, dm: Any, sleep: Callable[[float], None] = time.sleep) -> None:
        """``dm``: the module DigitalMicrograph. Raises DriverError where GMS cannot blank the beam."""
        self._dm, self._sleep = dm, sleep
        self._scope = dm.Py_Microscope()
        if not self._scope.HasBeamBlanker():
            raise DriverError("NotSupported", "GMS cannot blank this column's beam: set up its blanker first")
        self._about: dict[str, Any] | None = None
        self._zero = None  # type: float | None
        self._blanks = 0
        self.blank()

    def state(self) -> dict[str, Any]:
        found = {
            "time_s": time.monotonic(),
            "stage": {},
            "optics": {"voltage_kV": self._scope.GetHighTension() / 1e3},
            "blanked": self.blanked(),
            "valve_open": bool(self._scope.GetColumnValvesOpen()),
        }
        if self._about is not None:
            found["stage"] = self._stage()
            found["optics"] = self._optics()
            found["lit_nm"] = self._about.get("lit_nm")
        return found

    def move(self, target: dict[str, Any]) -> dict[str, Any]:
        about = self._set()
        theirs = self._theirs(target)
        for axis, value in theirs.items():
            low, high = about["ranges"][axis]
            if not low <= value <= high:
                raise DriverError(
                    "LimitError", f"{axis} = {value:g} of the stage was asked, allowed {low:g} to {high:g}"
                )
        self.blank()
        now = self._axes()
        values = [theirs.get(axis, now[axis]) / PER_UNIT[axis] for axis in FLAGS]
        self._scope.SetStagePositions(sum(FLAGS[axis] for axis in theirs), *values)
        self._rest(theirs, float(about["move_s"]))
        return self._stage()

    def tune(self, target: dict[str, Any]) -> dict[str, Any]:
        about = self._set()
        for name in target:
            if name != "defocus_nm":
                raise DriverError("NotSupported", f"{name} was asked; here the defocus is set")
        if "defocus_nm" in target:
            scale, (low, high) = about["defocus_nm_per_unit"], about["defocus_nm"]
            if scale is None:
                what = "defocus_nm was asked; GMS's focus has no unit"
                raise DriverError("NotCalibrated", what + ": measure it (adaptem calibrate --focus-units)")
            if not low <= target["defocus_nm"] <= high:
                what = "defocus_nm = {} was asked, allowed are {:g} to {:g}"
                raise DriverError("LimitError", what.format(target["defocus_nm"], low, high))
            self._scope.SetFocus((self._zero or 0.0) + target["defocus_nm"] / scale)
        return self._optics()

    def acquire(self, exposure: dict[str, Any]) -> Any:
        blanks = self._blanks  # first of all: who blanks from here on, while it is set up too, ends it
        about = self._set()
        factor, pixel_nm = self._binning(exposure, about)
        camera = self._ready(exposure, about)
        rows, columns = exposure["shape"]
        height, width = rows * factor, columns * factor
        top, left = (about["sensor_px"][0] - height) // 2, (about["sensor_px"][1] - width) // 2
        area = (top, left, top + height, left + width)
        processing = about["processing"]
        processing = self._dm.GetCameraUnprocessedEnum() if processing is None else processing
        frames, frame_s = exposure.get("frames", 1), rows * columns * exposure["dwell_us"] * 1e-6
        magnification = self._scope.GetMagnification()
        start_s, lit_s, images = time.monotonic(), 0.0, []
        for number in range(frames):
            if number:
                self._sleep(exposure.get("interval_s", 0.0))
            self._go_on(blanks)
            since_s = time.monotonic()
            try:
                self._scope.SetBeamBlanked(False)
                self._go_on(blanks)  # a blank while it was put on may have come before it
                images.append(camera.AcquireImage(frame_s, factor, factor, processing, *area).GetNumArray())
            finally:
                self._scope.SetBeamBlanked(True)
                lit_s += time.monotonic() - since_s
        if any(image.shape != (rows, columns) for image in images) or self._scope.GetMagnification() != magnification:
            shapes = [image.shape for image in images]
            what = "({}, {}) pixels at {:g}x were asked, the camera gave {} at {:g}x: the dose is spent"
            now = self._scope.GetMagnification()
            raise DriverError("InstrumentError", what.format(rows, columns, magnification, shapes, now))
        axes = [{"name": name, "scale": pixel_nm * factor, "unit": "nm"} for name in ("row", "column")]
        if frames > 1:
            between_s = frame_s + exposure.get("interval_s", 0.0)
            axes.insert(0, {"name": "frame", "scale": between_s, "unit": "s"})
        frame = {
            "stage": self._stage(),
            "optics": self._optics(),
            "start_s": start_s,
            "end_s": time.monotonic(),
            "electrons": (about["current_pA"] or 0.0) * ELECTRONS_PER_PA_S * max(lit_s, frames * frame_s),
            "signals": [{"name": "camera", "axes": axes, "unit": "counts", "calibration": {}}],
        }
        return frame, [importlib.import_module("numpy").stack(images) if frames > 1 else images[0].copy()]

    def _go_on(self, blanks: int) -> None:
        if self._blanks != blanks:
            raise DriverError("InstrumentError", "the beam was blanked: the dose is spent, the frame is lost")

    def blank(self) -> None:
        self._blanks += 1
        self._scope.SetBeamBlanked(True)

    def blanked(self) -> bool:
        return bool(self._scope.GetBeamBlanked())

    def use(self, power: str, verb: str, values: list[Any]) -> Any:
        """Beside tilts: ``set_up``, with all that was measured and may be asked; returns the focus that counts as 0."""
        if power == POWER and verb == "set_up":
            self._about = dict(values[0])
            if self._about["focus_zero"] is not None:
                self._zero = float(self._about["focus_zero"])
            elif self._zero is None:
                self._zero = float(self._scope.GetFocus())
            return self._zero
        tilts = {} if self._about is None else {n: e for n, e in self._about["ranges"].items() if n.endswith("_deg")}
        if power == "HasTilt":
            return tilts if verb == "tilt_range_deg" else bool(tilts)
        if verb:
            raise DriverError("NotSupported", f"{power}.{verb} was asked, which GMS does not do from here")
        return False

    def close(self) -> None:
        self.blank()

    def _set(self) -> dict[str, Any]:
        if self._about is None:
            what = "nothing was measured yet that this driver needs: open it as kind: digitalmicrograph, not remote"
            raise DriverError("NotCalibrated", what)
        return self._about

    def _axes(self) -> dict[str, float]:
        """The stage along its own axes."""
        scope = self._scope
        read = {
            "x_nm": scope.GetStageX,
            "y_nm": scope.GetStageY,
            "z_nm": scope.GetStageZ,
            "alpha_deg": scope.GetStageAlpha,
            "beta_deg": scope.GetStageBeta,
        }
        return {axis: float(get()) * PER_UNIT[axis] for axis, get in read.items()}

    def _stage(self) -> dict[str, float]:
        """The stage along the image's axes: those that this holder has."""
        about, found = self._set(), self._axes()
        (a, b), (c, d) = about["stage_to_image"] or ((1.0, 0.0), (0.0, 1.0))
        x, y = found["x_nm"], found["y_nm"]
        found["x_nm"], found["y_nm"] = a * x + b * y, c * x + d * y
        return {axis: at for axis, at in found.items() if axis in about["ranges"]}

    def _theirs(self, target: dict[str, Any]) -> dict[str, float]:
        """Where the stage is to go along its own axes; x and y always together."""
        about, theirs = self._set(), dict(target)
        for axis, value in target.items():
            if axis not in about["ranges"]:
                raise DriverError("NotSupported", f"{axis} was asked; this stage moves {', '.join(about['ranges'])}")
            if not math.isfinite(value):
                raise DriverError("LimitError", f"{axis} = {value} was asked: give a finite number")
        if "x_nm" in target or "y_nm" in target:
            if about["stage_to_image"] is None:
                what = "a move in x or y was asked, and stage_to_image is not known"
                raise DriverError("NotCalibrated", what + ": measure it (adaptem calibrate)")
            now, ((a, b), (c, d)) = self._stage(), about["stage_to_image"]
            x, y = target.get("x_nm", now["x_nm"]), target.get("y_nm", now["y_nm"])
            scale = a * d - b * c
            theirs["x_nm"], theirs["y_nm"] = (d * x - b * y) / scale, (a * y - c * x) / scale
        return theirs

    def _rest(self, theirs: dict[str, float], limit_s: float) -> None:
        """Wait until it is there, or has stood for a while; where it is not there, the guard says so."""
        give_up_s = time.monotonic() + limit_s
        before, since_s = self._axes(), time.monotonic()
        while time.monotonic() < give_up_s:
            self._sleep(_POLL_S)
            now = self._axes()
            still = all(abs(now[axis] - before[axis]) < _STILL[axis] for axis in FLAGS)
            if not still:
                since_s = time.monotonic()
            before = now
            there = all(abs(now[axis] - at) < _STILL[axis] for axis, at in theirs.items())
            if still and (there or time.monotonic() - since_s > _STILL_S):
                return
        raise DriverError("Timeout", f"the stage has not come to rest in {limit_s:g} s: see to it")

    def _optics(self) -> dict[str, Any]:
        about = self._set()
        found = {"voltage_kV": self._scope.GetHighTension() / 1e3, "current_pA": about["current_pA"]}
        if about["defocus_nm_per_unit"] is not None:
            found["defocus_nm"] = (self._scope.GetFocus() - (self._zero or 0.0)) * about["defocus_nm_per_unit"]
        return found

    def _binning(self, exposure: dict[str, Any], about: dict[str, Any]) -> tuple[int, float]:
        """How many of the camera's pixels make one that was asked, and how long one of the camera's is in nm."""
        if about["field_of_view_nm_at_1x"] is None:
            what = "an exposure was asked, and field_of_view_nm_at_1x is not known: measure it (adaptem calibrate)"
            raise DriverError("NotCalibrated", what)
        rows, columns = exposure["shape"]
        wanted_nm, dwell_us, frames = exposure["field_of_view_nm"], exposure["dwell_us"], exposure.get("frames", 1)
        counts = all(isinstance(count, int) and count >= 1 for count in (rows, columns, frames))
        if not (counts and 0 < wanted_nm < 1e9 and 0 < dwell_us < 1e6):
            raise DriverError("LimitError", f"{exposure} was asked: give whole counts and finite sizes")
        if exposure.get("rotation_deg") or exposure.get("signals") not in (None, ["camera"], ("camera",)):
            raise DriverError("NotSupported", "a camera is all that is read here, and nothing turns its frame")
        at_1x_nm, sensor = about["field_of_view_nm_at_1x"], about["sensor_px"]
        pixel_nm = at_1x_nm / self._scope.GetMagnification() / sensor[1]
        factor = max(round(wanted_nm / columns / pixel_nm), 1)
        if factor > _MOST_BINNING or not math.isclose(wanted_nm / columns, factor * pixel_nm, rel_tol=_SAME):
            known = ", ".join(f"{n * pixel_nm:g}" for n in (1, 2, 4, 8))
            what = "pixels of {:g} nm were asked; at this magnification the camera has {} nm: ask for those"
            raise DriverError("LimitError", what.format(wanted_nm / columns, known))
        if rows * factor > sensor[0] or columns * factor > sensor[1]:
            what = "{} × {} pixels, binned by {}, were asked; the camera has {}: ask for fewer"
            raise DriverError("LimitError", what.format(rows, columns, factor, sensor))
        return factor, pixel_nm

    def _ready(self, exposure: dict[str, Any], about: dict[str, Any]) -> Any:
        """The camera, where it is in and the screen out of its way: both are a person's to move."""
        if about["screen_up"] is None:
            what = "GMS reads the screen as {}, which is up on some columns only: look, and set screen_up"
            raise DriverError("NotCalibrated", what.format(self._scope.GetScreenPosition()))
        if self._scope.GetScreenPosition() != about["screen_up"]:
            what = "the screen is in the camera's way (GMS reads {}): raise it, then ask again"
            raise DriverError("BusyError", what.format(self._scope.GetScreenPosition()))
        camera = self._dm.GetActiveCamera()
        if not camera.GetInserted():
            raise DriverError("BusyError", "the camera is not in: insert it, then ask again")
        camera.PrepareForAcquire()
        return camera


def open_driver(settings: dict[str, Any]) -> GatanDriver:
    """For ``python -m server``, where GMS's module can be imported."""
    return GatanDriver(importlib.import_module("DigitalMicrograph"))


def serve(token_file: str, port: int, name: str = "digitalmicrograph") -> None:
    """Serve from a script in GMS until it is stopped; whoever stops it blanks. Makes the token where there is none."""
    server = DriverServer(open_driver({}), token_of(Path(token_file)), name, overhead_s=10.0, say=Log().say)
    print(f"adaptem's driver server listens on port {server.listen(port)}")
    server.run()
