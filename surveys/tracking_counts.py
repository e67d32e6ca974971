"""Objects of any kind, counted in the images of one signal as a few labelled frames show them, and followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import ConfigError
from envs.particles import Measured
from envs.tracked import NUMBER, Sight
from instruments.errors import InstrumentError
from instruments.images import read_single
from instruments.plane import Plane
from models.counting import Counter
from models.description import describe
from surveys.measuring import read_objects
from surveys.pictures import by_stem, images_in, masked

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from envs.particles import Array
    from envs.tracked import TrackLook
    from instruments.types import Frame
    from surveys.tracking_blocks import CountSettings

    Image = npt.NDArray[np.float32]
    Objects = npt.NDArray[np.integer]

_NONE: float = 0.5
"""Added to a count, so that a frame without objects has a logarithm."""
_NO_VOLUME_nm = 1.0
"""Floor of a volume that is not told: above 0, as laws are asked for its logarithm."""


@dataclass(frozen=True, slots=True)
class CountSensor:
    """The number of objects in an image; of sizes and volumes it tells nothing."""

    counter: Counter

    def measure(self, frame: Frame, look: TrackLook) -> Measured:
        """A stream's sum is read as its mean, which is what one frame shows.

        Raises InstrumentError for an image that says nothing (constant, not finite).
        """
        try:
            told = self.counter.count(
                describe(np.asarray(frame.signals[look.signal].data, dtype=np.float64) / look.frames)
            )
        except ValueError as error:
            raise InstrumentError(f"{look.name}: nothing was counted, {error}") from error
        values, sds = np.full(5, np.nan), np.full(5, np.nan)
        values[NUMBER] = math.log((told.number + _NONE) / _area_um2(look))
        sds[NUMBER] = told.sd / (told.number + _NONE)
        return Measured(values, sds, round(told.number), 0.0, _NO_VOLUME_nm)

    def sight(self, look: TrackLook, electrons: float) -> Sight:
        """All objects count, whatever their size."""
        del look, electrons
        return Sight(0.0, _NO_VOLUME_nm, 1.0, "image")

    def sds(self, look: TrackLook, electrons: float, shown: Array) -> Array:
        """As labelled frames were counted by one another."""
        del electrons
        count = np.maximum(np.exp(shown[..., NUMBER]) * _area_um2(look), _NONE)
        found = np.full(shown.shape, np.nan)
        found[..., NUMBER] = np.maximum(self.counter.off, 1 / np.sqrt(count + _NONE))
        return found


def count_sensor(settings: CountSettings, looks: list[TrackLook], seed: int) -> CountSensor:
    """Taught by the labelled frames, on the pixels of the looks that read the signal.

    Raises ConfigError: images and masks that do not fit one another or the looks, or looks of several pixel sizes.
    """
    sizes = {(look.field_of_view_nm, look.pixels) for look in looks}
    if len(sizes) != 1:
        raise ConfigError(
            f"counts.signal: {len(sizes)} fields of view or numbers of pixels are looked at with it; objects are "
            "counted on the pixels of the labelled frames, so give all its looks one of each"
        )
    pixels = looks[0].pixels
    images = by_stem(images_in(settings.images))
    masks = masked(images, settings.images, settings.masks)
    labelled = [_labelled(images[stem], path, pixels) for stem, path in masks.items()]
    try:
        return CountSensor(
            Counter([describe(image) for image, _ in labelled], [known for _, known in labelled], settings.alike, seed)
        )
    except ValueError as error:
        raise ConfigError(f"counts: {error}") from error


def _labelled(image: Path, mask: Path, pixels: int) -> tuple[Image, Objects]:
    """A frame and its objects, on ``pixels`` × ``pixels``. Raises ConfigError."""
    data, known = read_single(image).data, read_objects(mask)
    for path, shape in ((image, data.shape), (mask, known.shape)):
        if shape[0] != shape[1] or shape[0] < pixels:
            raise ConfigError(
                f"{path} is {shape[1]} × {shape[0]} pixels; a labelled frame shows a look's whole field of view, which "
                f"is a square of {pixels} pixels: cut it, or look with fewer pixels"
            )
    middles = np.arange(pixels) + 0.5
    step = data.shape[0] / pixels
    rows = (middles * known.shape[0] / pixels).astype(int)
    return Plane(data).seen(middles * step, middles * step, step), known[np.ix_(rows, rows)]


def _area_um2(look: TrackLook) -> float:
    return look.field_of_view_nm**2 * 1e-6
