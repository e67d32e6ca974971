"""What can be said about a SerialEM in a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from configs.load import Settings
from instruments.drivers.orientation import StageToImage
from instruments.limits import Range

Positive = Annotated[float, Field(gt=0)]


class SerialemSettings(Settings):
    """SerialEM on this computer, or through a tunnel: it asks nobody who he is."""

    kind: Literal["serialem"] = "serialem"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 48888
    move_s: Positive = 120.0
    """The longest that a stage may take to stand still."""
    image_s: Positive = 10.0
    """The longest that an image's transfer may take."""
    exposure_overhead_s: Positive = 60.0
    """What an exposure may take beyond its own time before it is given up."""
    longest_frame_s: Positive = 0.4
    """That a blank may have to wait for: while SerialEM takes an image its module does nothing else, and a beam that
    should be off stays on for as long."""
    x_nm: Range = (-990_000.0, 990_000.0)
    """That the stage may be sent to, in its own axes; SerialEM's own limit."""
    y_nm: Range = (-990_000.0, 990_000.0)
    z_nm: Range | None = None
    alpha_deg: Range | None = None
    beta_deg: Range | None = None
    """None: an axis that this holder lacks, or that is left alone."""
    defocus_nm: Range = (-20_000.0, 20_000.0)
    sensor_px: tuple[PositiveInt, PositiveInt] = (4096, 4096)
    """Rows and columns of the camera, or of the largest scan."""
    most_binning: PositiveInt = 8
    stem_detectors: dict[str, int] = Field(default_factory=dict)
    """Names for the numbers that SerialEM has for them, all read at once; empty: a camera, called "camera"."""
    column_valve: bool = True
    """False on a JEOL column: what closes the valve elsewhere turns the filament off there."""
    gun: bool = False
    """Whether this column's SerialEM tells if the gun emits (``ReportFEGEmissionState``)."""
    autofill: bool = False
    """Whether the dewars fill by themselves, and can be asked if they do."""
    slots: dict[str, PositiveInt] = Field(default_factory=dict)
    """Of a Thermo Fisher autoloader: specimens' names and slots, all that have held a cartridge since the inventory."""
    transfer_s: Positive = 300.0
    """The longest that a specimen may take, in or out."""
    current_pA: Positive | None = None
    """Of the beam or probe, as last measured; None: unknown, and the limits' largest is booked."""
    lit_nm: Positive | None = None
    """Diameter of what the beam lights on the specimen; None: a scan, or the dose is booked on the frame alone."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""

    def detectors(self) -> tuple[str, ...]:
        """Their names, for a plan."""
        return tuple(self.stem_detectors) or ("camera",)
