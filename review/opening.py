"""One exposure for other viewers: its images as layers that know their place and scale, or as a TIFF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile

from archive.errors import ArchiveError
from archive.reader import SurveyReader
from configs.errors import ConfigError
from envs.novelty import image_of
from review.overlays import looked
from surveys.places import trees_of

if TYPE_CHECKING:
    from pathlib import Path

Image: TypeAlias = npt.NDArray[np.float32]

_NM_PER_CM = 1e7


@dataclass(frozen=True, slots=True)
class Layer:
    """One detector's image (H, W) of an exposure; a burst is summed."""

    name: str
    image: Image
    pixel_nm: float
    corner_nm: tuple[float, float]
    """(down, right) of its upper left pixel, where the stage's origin is zero: stage + is up and left."""


def exposure_of(folder: Path, place: str) -> int:
    """The look of its own that a place had: a number of an exposure, or SPECIMEN/TARGET. Raises ConfigError."""
    if place.isdecimal():
        return int(place)
    specimen, _, target = place.rpartition("/")
    with SurveyReader(folder) as reader:
        tree = trees_of(reader.meta.config).get(specimen)
        if tree is None or not target.isdecimal():
            names = ", ".join(trees_of(reader.meta.config))
            raise ConfigError(f"{place!r} is neither an exposure's number nor SPECIMEN/TARGET, specimens being {names}")
        found = looked(reader.steps(specimen), tree).shown.get(int(target))
    if found is None:
        raise ConfigError(
            f"place {place} had no look of its own: `adaptem review {folder}` shows which had, on the atlas"
        )
    return found


def layers_of(folder: Path, exposure: int) -> list[Layer]:
    """Every image of an exposure. Raises ArchiveError where its frame is not there, or holds none."""
    with SurveyReader(folder) as reader:
        frame = reader.recorded(exposure)
    pixel_nm = frame.exposure.pixel_size_nm
    layers = []
    for name, signal in frame.signals.items():
        if signal.data.ndim in (2, 3) and signal.axes[-1].name == "column":
            image = image_of(frame, name)
            rows, columns = image.shape
            down_nm = -(frame.stage.y_nm or 0.0) - rows * pixel_nm / 2
            right_nm = -(frame.stage.x_nm or 0.0) - columns * pixel_nm / 2
            layers.append(Layer(name, image, pixel_nm, (down_nm, right_nm)))
    if not layers:
        raise ArchiveError(f"exposure {exposure} holds no image, but {', '.join(frame.signals)}: see `adaptem signals`")
    return layers


def write_tiff(layers: list[Layer], path: Path) -> None:
    """As ImageJ, Fiji and Gwyddion read it: a channel a detector, the pixel's size within. Raises OSError."""
    stack = np.stack([layer.image for layer in layers])
    per_cm = _NM_PER_CM / layers[0].pixel_nm
    metadata = {"axes": "CYX", "unit": "nm", "Labels": [layer.name for layer in layers]}
    tifffile.imwrite(
        path, stack, imagej=True, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER", metadata=metadata
    )


def show(layers: list[Layer], napari: Any) -> None:
    """In a window of napari, until it is closed."""
    viewer = napari.Viewer()
    for layer in layers:
        size = (layer.pixel_nm, layer.pixel_nm)
        viewer.add_image(layer.image, name=layer.name, scale=size, translate=layer.corner_nm, blending="additive")
    viewer.scale_bar.visible, viewer.scale_bar.unit = True, "nm"
    napari.run()
