"""What can be said about an AutoScript server in a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from configs.load import Settings
from instruments.drivers.orientation import StageToImage
from instruments.limits import PositiveRange, Range

Positive = Annotated[float, Field(gt=0)]


class AutoscriptSettings(Settings):
    """An AutoScript server, on the loopback or through a tunnel: it asks nobody who he is."""

    kind: Literal["autoscript"] = "autoscript"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 9095
    move_s: Positive = 180.0
    """The longest that a stage may take to stand still."""
    exposure_overhead_s: Positive = 2.0
    """What an exposure may take beyond its own time before it is given up."""
    scanning: Annotated[tuple[str, ...], Field(min_length=1)] = ("HAADF",)
    """Scanning detectors that are in, by the server's names; all are read at once."""
    sizes_px: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096)
    """Of a scanned image, on a side."""
    field_of_view_nm: PositiveRange = (1.0, 1e5)
    defocus_nm: Range = (-5000.0, 5000.0)
    patterns_px: dict[str, PositiveInt] = Field(default_factory=dict)
    """Cameras for diffraction, by the server's names, and how many pixels a side of their patterns has."""
    camera_overhead_s: Annotated[float, Field(ge=0)] | None = None
    """What a camera's image takes beyond its exposure time: the beam is on for that long, too. Measure it; None: not
    measured, and no patterns are taken."""
    slots: dict[str, PositiveInt] = Field(default_factory=dict)
    """Of an autoloader: specimens' names and slots, all that have held a cartridge since the inventory."""
    longest_frame_s: Positive = 0.4
    """That a blank may have to wait for: of a scanned frame, or of one point's pattern. The server does one thing at a
    time, so a beam that should be off stays on for as long."""
    current_pA: Positive | None = None
    """Of the probe, as last measured; None: read on the screen where that is in, else the limits' largest is booked."""
    stage_to_image: StageToImage | None = None
    """None: not known yet, and the stage does not move in x and y."""
    calibration: Path | None = None
    """A file that `adaptem calibrate` wrote."""

    def detectors(self) -> tuple[str, ...]:
        """Those that give a number a pixel, for a plan."""
        return self.scanning

    def slow_detectors(self) -> dict[str, int]:
        """Those that are read only where an exposure names them, and how many numbers each gives a pixel."""
        return {name: size**2 for name, size in self.patterns_px.items()}
