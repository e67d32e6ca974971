"""``PyJEM.TEM3`` and ``PyJEM.detector``, as far as public programs show them, over a simulated column.

Their quirks: the stage lies turned and mirrored in the image; ``SetPosition`` is relative and goes the other way;
``SetXRel`` blocks for 30 s away from the origin; a read-out of the position takes 0.28 s; the stage says that it rests
while it still moves; the focus is clicks of two lenses; a scan is set too far without a word; every snapshot scans.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes_column import Column, installed

from instruments.drivers.orientation import to_ours, to_theirs
from instruments.types import Optics

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_IMAGE = ((0.0, -1.0), (-1.0, 0.0))
"""How its axes lie: +x moves features up, +y to the left."""
NM_AT_1X = 1e8
MAGNIFICATIONS = (100_000.0, 195_312.5, 390_625.0, 781_250.0)
NM_PER_CLICK = -4.5
START_CLICKS = 31_000
STIG_NEUTRAL = (32_900, 32_500)
STIG_NM = (0.5, -0.4)
"""A click of CLs along x and along y, of the one and the other component."""
READ_S = 0.28
BLOCK_S = 30.0
DETECTORS = ("ADF1", "BF")
MOST_DWELL_US = 1000.0
EMISSION_UA = 12
DARK = 3
"""Counts that an image's zero lies below zero: its 16 bits have a sign."""
AXES = ("x_nm", "y_nm", "z_nm", "alpha_deg", "beta_deg")


class PyJEM:
    """Both modules share one column."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.mode, self.step, self.clicks, self.coarse = 1, 1, START_CLICKS, 20_000
        self.settings: dict[str, Any] = {"ImagingArea": {"Width": 512, "Height": 512}, "ExposureTimeValue": 10.0,
                                         "frameIntegration": 4}  # fmt: skip
        self.stig = STIG_NEUTRAL
        self.snapshots = 0
        self.ip = ""

    def modules(self) -> dict[str, dict[str, Any]]:
        tem: dict[str, Any] = {
            name: lambda kind=kind: kind(self)
            for name, kind in (
                ("Stage3", Stage3), ("Def3", Def3), ("Lens3", Lens3), ("EOS3", EOS3), ("FEG3", FEG3), ("HT3", HT3),
                ("GUN3", GUN3),
            )
        }  # fmt: skip
        detector = {
            "set_ip": lambda host: setattr(self, "ip", host),
            "get_attached_detector": lambda: list(DETECTORS),
            "Detector": lambda name: Detector(self, name),
        }
        return {"PyJEM": {}, "PyJEM.TEM3": tem, "PyJEM.detector": detector}


class Part:
    def __init__(self, vendor: PyJEM) -> None:
        self._vendor, self._column = vendor, vendor.column


class Stage3(Part):
    def GetPos(self) -> list[float]:
        self._column.clock.wait(READ_S)
        stage = self._column.stage()
        assert stage.x_nm is not None
        assert stage.y_nm is not None
        theirs = to_theirs({"x_nm": stage.x_nm, "y_nm": stage.y_nm}, stage, IN_IMAGE)
        return [theirs["x_nm"], theirs["y_nm"], stage.z_nm or 0.0, stage.alpha_deg or 0.0, stage.beta_deg or 0.0]

    def GetStatus(self) -> list[int]:
        return [int(self._column.moving())] * len(AXES)

    def SetX(self, to: float) -> None:
        self._go(x=to)

    def SetY(self, to: float) -> None:
        self._go(y=to)

    def SetZ(self, to: float) -> None:
        self._column.go({"z_nm": to})

    def SetTiltXAngle(self, to: float) -> None:
        self._column.go({"alpha_deg": to})

    def SetTiltYAngle(self, to: float) -> None:
        self._column.go({"beta_deg": to})

    def Stop(self) -> None:
        self._column._legs.clear()  # it stays half way

    def SetPosition(self, x: float, y: float) -> None:
        at = self.GetPos()
        self._go(x=at[0] - x, y=at[1] - y)

    def SetXRel(self, by: float) -> None:
        at = self.GetPos()
        self._column.clock.wait(BLOCK_S if any(at[:2]) else 0.0)
        self._go(x=at[0] + by)

    def _go(self, x: float | None = None, y: float | None = None) -> None:
        at = self.GetPos()
        ours = to_ours(at[0] if x is None else x, at[1] if y is None else y, IN_IMAGE)
        self._column.go({"x_nm": ours[0], "y_nm": ours[1]})


class Def3(Part):
    def GetBeamBlank(self) -> int:
        return int(self._column.blanked)

    def SetBeamBlank(self, on: int) -> None:
        self._column.blank(bool(on))

    def GetCLs(self) -> list[int]:
        return [*self._vendor.stig, 0]

    def SetCLs(self, x: int, y: int) -> None:
        self._vendor.stig = (x, y)
        by = (x - STIG_NEUTRAL[0], y - STIG_NEUTRAL[1])
        self._column.scope.tune(Optics(stig_a_nm=by[0] * STIG_NM[0], stig_b_nm=by[1] * STIG_NM[1]))


class Lens3(Part):
    """Values come with their result beside them, as from the library below."""

    def GetOLc(self) -> list[int]:
        return [self._vendor.coarse, 0]

    def GetOLf(self) -> list[int]:
        return [self._vendor.clicks, 0]

    def SetOLf(self, clicks: int) -> None:
        if type(clicks) is int and 0 <= clicks <= 65535:  # as the vendor's: else nothing, without a word
            self._vendor.clicks = clicks
            self._column.focus((clicks - START_CLICKS) * NM_PER_CLICK)


class EOS3(Part):
    def GetTemStemMode(self) -> int:
        return self._vendor.mode

    def GetMagValue(self) -> list[Any]:
        value = MAGNIFICATIONS[self._vendor.step]
        return [value, "X", f"x{value:g}"]

    def SetSelector(self, step: int) -> None:
        self._vendor.step = min(max(step, 0), len(MAGNIFICATIONS) - 1)


class GUN3(Part):
    def GetEmissionCurrentValue(self) -> int:
        """In µA, whole ones."""
        return EMISSION_UA if self._column.quirks.emits else 0


class FEG3(Part):
    def GetBeamValve(self) -> int:
        return int(self._column.valve_open)

    def SetBeamValve(self, is_open: int) -> None:
        self._column.valve_open = bool(is_open)


class HT3(Part):
    def GetHtValue(self) -> float:
        return 200_000.0


class Detector:
    def __init__(self, vendor: PyJEM, name: str) -> None:
        self._vendor, self._name = vendor, name

    def set_scanmode(self, mode: int) -> None:
        self._vendor.settings["ScanMode"] = mode

    def set_imaging_area(self, Width: int, Height: int) -> None:
        self._vendor.settings["ImagingArea"] = {"Width": min(Width, 4096), "Height": min(Height, 4096)}

    def set_exposuretime_value(self, dwell_us: float) -> None:
        self._vendor.settings["ExposureTimeValue"] = min(max(dwell_us, 1.0), MOST_DWELL_US)

    def set_frameintegration(self, frames: int) -> None:
        self._vendor.settings["frameIntegration"] = frames

    def get_detectorsetting(self) -> dict[str, Any]:
        return dict(self._vendor.settings)

    def snapshot_rawdata(self) -> bytes:
        vendor = self._vendor
        vendor.snapshots += 1
        area = vendor.settings["ImagingArea"]
        name = {"ADF1": "HAADF"}.get(self._name, self._name)
        image = vendor.column.scan(
            NM_AT_1X / MAGNIFICATIONS[vendor.step],
            (area["Height"], area["Width"]),
            vendor.settings["ExposureTimeValue"],
            (name,),
        )[name]
        data = (np.minimum(image, 32_000).astype(np.int32) - DARK).astype("<i2").tobytes()
        if vendor.column.quirks.lost:
            vendor.column.quirks.lost -= 1
            return data[:100]
        return data


@contextmanager
def pyjem(column: Column | None = None) -> Iterator[PyJEM]:
    """PyJEM is there, for as long as this lasts."""
    vendor = PyJEM(column or Column())
    with installed(vendor.modules()):
        yield vendor


BLOCK: dict[str, Any] = {
    "kind": "jeol",
    "scanning": list(DETECTORS),
    "alpha_deg": [-30.0, 30.0],
    "magnifications": list(MAGNIFICATIONS),
    "field_of_view_nm_at_1x": NM_AT_1X,
    "defocus_nm_per_unit": NM_PER_CLICK,
    "stig_nm_per_unit": [[STIG_NM[0], 0.0], [0.0, STIG_NM[1]]],
    "current_pA": 50.0,
    "stage_to_image": [list(row) for row in IN_IMAGE],
}
"""As a config has it once all is measured."""
