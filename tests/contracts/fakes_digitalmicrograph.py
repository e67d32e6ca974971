"""``DigitalMicrograph``, the module inside GMS, as far as public programs show it, over a simulated column.

Its quirks: µm and degrees, V, a focus without a unit; a stage that says nothing of its moving and stands for a moment
half way; a screen whose numbers mean on one column what they do not on the next; a camera that gives whole binned
pixels; what is out of range is clamped without a word. GMS's own Python is another, so its driver is behind a server.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fakes_column import Column

from instruments.drivers.orientation import to_ours, to_theirs
from instruments.server.digitalmicrograph import FLAGS, PER_UNIT, GatanDriver
from instruments.server.serving import DriverServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

IN_IMAGE = ((-0.8, 0.6), (0.6, 0.8))
SENSOR_PX = (512, 512)
NM_AT_1X = 512.0 * 50_000.0
"""Pixels of 1 nm at the magnification that it stands at."""
NM_PER_UNIT = 2.0
START_FOCUS = 1234.0
SCREEN_UP = 0
"""On this column; elsewhere it is 2."""
TOKEN = "0" * 64


class Py_Image:
    def __init__(self, data: npt.NDArray[np.generic]) -> None:
        self._data = data

    def GetNumArray(self) -> npt.NDArray[np.generic]:
        return self._data


class Py_Camera:
    def __init__(self, dm: DigitalMicrograph) -> None:
        self._dm = dm

    def GetInserted(self) -> bool:
        return self._dm.inserted

    def PrepareForAcquire(self) -> None:
        self._dm.prepared = True

    def AcquireImage(
        self, exposure_s: float, bin_x: int, bin_y: int, processing: int, top: int, left: int, bottom: int, right: int
    ) -> Py_Image:
        dm = self._dm
        assert dm.prepared
        shape = ((bottom - top) // bin_y, (right - left) // bin_x)
        width_nm = NM_AT_1X / dm.magnification * (right - left) / SENSOR_PX[1]
        dwell_us = exposure_s * 1e6 / (shape[0] * shape[1])
        image = dm.column.scan(width_nm, shape, dwell_us, ("HAADF",))["HAADF"]
        if dm.column.quirks.lost:
            dm.column.quirks.lost -= 1
            image = image[:-1]
        return Py_Image(image)


class Py_Microscope:
    def __init__(self, dm: DigitalMicrograph) -> None:
        self._dm, self._column = dm, dm.column

    def HasBeamBlanker(self) -> bool:
        return self._dm.has_blanker

    def SetBeamBlanked(self, on: bool) -> None:
        self._column.blank(on)

    def GetBeamBlanked(self) -> bool:
        return self._column.blanked

    def GetColumnValvesOpen(self) -> bool:
        return self._column.valve_open

    def GetHighTension(self) -> float:
        return 200_000.0

    def GetMagnification(self) -> float:
        return self._dm.magnification

    def GetScreenPosition(self) -> int:
        return self._dm.screen

    def GetFocus(self) -> float:
        return START_FOCUS + self._column.defocus_nm / NM_PER_UNIT

    def SetFocus(self, to: float) -> None:
        self._column.focus((to - START_FOCUS) * NM_PER_UNIT)

    def GetStageX(self) -> float:
        self._column.moving()  # time goes on
        return self._at("x_nm")

    def GetStageY(self) -> float:
        return self._at("y_nm")

    def GetStageZ(self) -> float:
        return self._at("z_nm")

    def GetStageAlpha(self) -> float:
        return self._at("alpha_deg")

    def GetStageBeta(self) -> float:
        return self._at("beta_deg")

    def SetStagePositions(self, flags: int, x: float, y: float, z: float, alpha: float, beta: float) -> None:
        given = dict(zip(FLAGS, (x, y, z, alpha, beta), strict=True))
        theirs = {axis: at * PER_UNIT[axis] for axis, at in given.items() if flags & FLAGS[axis]}
        if "x_nm" in theirs or "y_nm" in theirs:
            x_nm, y_nm = (theirs.get(axis, self._at(axis) * PER_UNIT[axis]) for axis in ("x_nm", "y_nm"))
            theirs["x_nm"], theirs["y_nm"] = to_ours(x_nm, y_nm, IN_IMAGE)
        self._column.go(theirs)

    def _at(self, axis: str) -> float:
        stage = self._column.stage()
        assert stage.x_nm is not None
        assert stage.y_nm is not None
        found = {**to_theirs({"x_nm": stage.x_nm, "y_nm": stage.y_nm}, stage, IN_IMAGE), "z_nm": stage.z_nm,
                 "alpha_deg": stage.alpha_deg, "beta_deg": stage.beta_deg}  # fmt: skip
        return (found[axis] or 0.0) / PER_UNIT[axis]


class DigitalMicrograph:
    """The module."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.magnification = 50_000.0
        self.screen = SCREEN_UP
        self.inserted = self.has_blanker = True
        self.prepared = False

    def Py_Microscope(self) -> Py_Microscope:
        return Py_Microscope(self)

    def GetActiveCamera(self) -> Py_Camera:
        return Py_Camera(self)

    def GetCameraUnprocessedEnum(self) -> int:
        return 1


@contextmanager
def gms(
    folder: Path, column: Column | None = None, port: int = 0
) -> Iterator[tuple[DigitalMicrograph, dict[str, Any]]]:
    """GMS with a driver server in it, for as long as this lasts; and a config's block with all that was measured."""
    dm = DigitalMicrograph(column or Column())
    server = DriverServer(GatanDriver(dm), TOKEN, "digitalmicrograph", say=lambda _: None)
    port = server.listen(port)
    thread = threading.Thread(target=server.run)
    thread.start()
    token_file = folder / "token.txt"
    token_file.write_text(TOKEN + "\n", encoding="ascii")
    block = {
        "kind": "digitalmicrograph",
        "port": port,
        "token_file": str(token_file),
        "z_nm": [-1e5, 1e5],
        "alpha_deg": [-30.0, 30.0],
        "sensor_px": list(SENSOR_PX),
        "screen_up": SCREEN_UP,
        "current_pA": 50.0,
        "field_of_view_nm_at_1x": NM_AT_1X,
        "defocus_nm_per_unit": NM_PER_UNIT,
        "stage_to_image": [list(row) for row in IN_IMAGE],
    }
    try:
        yield dm, block
    finally:
        server.stop("the test is over")
        thread.join(20)
