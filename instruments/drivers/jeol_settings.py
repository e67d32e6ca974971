"""What is told of a JEOL column, and what was measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from configs.load import Settings
from instruments.drivers.jeol_lenses import CLICKS
from instruments.drivers.orientation import Matrix, StageToImage
from instruments.limits import Range

Positive = Annotated[float, Field(gt=0)]


class JeolSettings(Settings):
    """A JEOL column whose PyJEM is in this Python."""

    kind: Literal["jeol"] = "jeol"
    host: str | None = None
    """Of TEMCenter, where that is another computer; None: this one."""
    scanning: Annotated[tuple[str, ...], Field(min_length=1)] = ("ADF1",)
    """By PyJEM's names; the first is read where an exposure names none."""
    x_nm: Range = (-990_000.0, 990_000.0)
    """That the stage may be sent to, in its own axes: PyJEM does not tell its limits."""
    y_nm: Range = (-990_000.0, 990_000.0)
    z_nm: Range = (-220_000.0, 220_000.0)
    alpha_deg: Range | None = None
    """Of this holder; None: it is not tilted."""
    beta_deg: Range | None = None
    """None: a single-tilt holder."""
    magnifications: tuple[Positive, ...] = ()
    """Those of the selector, in its order, from step 0; none: the column stays at the one that it stands at."""
    field_of_view_nm_at_1x: Positive | None = None
    """Field of view times magnification. None: not calibrated, nothing is exposed."""
    defocus_nm_per_unit: float | None = None
    """Of a click of OLf, < 0 where turning it up is underfocus. None: not calibrated, the focus stays as it is."""
    stig_nm_per_unit: Matrix | None = None
    """Of clicks of CLs: ((a per x, a per y), (b per x, b per y)). None: not calibrated, the stigmators stay."""
    signed: bool = True
    """Whether a raw image's 16 bits have a sign; programs read them both ways. See a dark frame: read the wrong way,
    what lies just below zero is white (or what is above 32,767 black)."""
    emission: bool = True
    """Whether the gun's emission can be asked for: PyJEM tells it of field emission guns. False: it is not asked."""
    focus_zero: Annotated[int, Field(ge=CLICKS[0], le=CLICKS[1])] | None = None
    """The clicks that count as in focus; None: those that it stands at when it is opened."""
    current_pA: Positive | None = None
    """Of the probe, as last measured; None: unknown, and the limits' largest is booked."""
    move_s: Positive = 180.0
    """The longest that the stage may take to stand still."""
    exposure_overhead_s: Positive = 2.0
    """What an exposure may take beyond its own time before it is given up."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""

    def detectors(self) -> tuple[str, ...]:
        """Those that give a number a pixel, for a plan."""
        return self.scanning
