"""What can be said about a world of recorded files."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from configs.load import Settings
from instruments.recorded_world import open_world

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class PlaceSettings(Settings):
    """A rectangle of the image, in stage coordinates."""

    x_nm: float = 0.0
    """Of its centre."""
    y_nm: float = 0.0
    width_nm: Positive
    height_nm: Positive


class ChannelSettings(Settings):
    """One more recording of the same place: an image, spectra or patterns."""

    file: Path | None = None
    """None: the image's own file."""
    signal: str | None = None
    """Which signal of the file, by the name that `adaptem metadata FILE` shows; None: the first that suits."""
    place: PlaceSettings | None = None
    """Where in the image it lies; None: as the file tells, and the whole image where it does not."""
    dwell_us: Positive | None = None
    """How long each of its pixels was recorded, all passes together; None: as the file tells."""
    mrad_per_px: Positive | None = None
    """Of a pattern's pixel; None: as the file tells. The beam goes through the pattern's middle."""
    counting: bool | None = None
    """Whether each count is one electron or X-ray (a counting camera): then shorter exposures are drawn from them.
    None: X-rays are, anything else is not."""


class ReplaySettings(Settings):
    """A microscope over a recorded image, and what else was recorded of it."""

    kind: Literal["replay"] = "replay"
    image: Path
    """PNG, JPEG, TIFF, MRC, a folder of OME-Zarr; vendors' files with adaptem[formats]. Of spectra or patterns alone,
    their sum at every pixel is the image."""
    plane: Annotated[int, Field(ge=0)] = 0
    """Which image of a stack."""
    pixel_size_nm: Positive | None = None
    """None: as the file says."""
    channels: dict[str, ChannelSettings] = Field(default_factory=dict)
    """What else was recorded, by the names that looks ask for. Spectra, patterns and images of the image's own file, on
    its pixels, are there without being named here."""
    current_pA: Positive = 50.0
    """Probe current that the dose is counted with."""
    noise: bool = False
    """Whether a finite dose adds counting noise to the recorded image; its largest value is taken as every electron
    arriving."""
    crossing_s: Positive = 10.0
    """Time the stage takes for the image's longer side."""
    overhead_s: NotNegative = 0.5
    """Time a move or an exposure costs beside that."""
    real_time: bool = False
    """Whether all that takes its time on the computer's clock (demonstrations)."""

    def detectors(self) -> dict[str, int]:
        """One number a pixel each, by name. Raises ConfigError, as the next does, where a file cannot be read."""
        return dict.fromkeys(_there(self.model_dump_json())[0], 1)

    def slow_detectors(self) -> dict[str, int]:
        """Numbers at a pixel of spectra and patterns, by name."""
        return dict(_there(self.model_dump_json())[1])


@lru_cache(maxsize=8)
def _there(settings: str) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Names of images, and of spectra and patterns with their numbers at a pixel."""
    world = open_world(ReplaySettings.model_validate_json(settings))
    world.close()
    slow = tuple((name, math.prod(each.depth)) for name, each in world.slow.items())
    return ("image", *world.images), slow
