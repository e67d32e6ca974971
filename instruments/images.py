"""Read one image from a file of any common kind, with its pixel size where the file truly knows it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import numpy.typing as npt
import tifffile
import zarr
from PIL import Image

from configs.load import ConfigError
from instruments.recordings import square_nm
from instruments.recordings_apart import opened
from instruments.tags import MRC_SUFFIXES, mrc_tags, tiff_tags
from instruments.vocabulary import TERMS, converted, understand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from instruments.recordings import Recording

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Rec. 709 weights of red, green and blue."""


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """An image as it was recorded."""

    data: npt.NDArray[np.float32]
    """(H, W), row 0 on top; colour as luminance."""
    pixel_size_nm: float | None
    """None where the file does not tell, or tells only a printer's resolution."""
    planes: int = 1
    """How many images the file holds, of which this is one."""


def read_image(path: Path, plane: int = 0) -> RecordedImage:
    """Read PNG, JPEG, BMP, TIFF, MRC, a folder of (OME-)Zarr, or what RosettaSciIO reads if it is installed.

    Args:
        path: the file, or the Zarr folder.
        plane: which image of a stack, counted from 0.

    Raises:
        ConfigError: missing, truncated, of an unknown kind, or not one image of finite real numbers with square pixels.
    """
    if not path.exists():
        raise ConfigError(f"{path}: there is no such image; give the path of one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers grumble about harmless details of headers
            data, sizes_nm = _reader(path)(path)
    except ConfigError:
        raise
    except Exception as error:  # readers fail in every way there is on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: cannot be read as an image ({reason}); check that the copy is whole") from error
    image, planes = _one_plane(path, np.asarray(data), plane)
    return RecordedImage(image, _square(path, sizes_nm), planes)


def read_single(path: Path) -> RecordedImage:
    """The one image that a file holds. Raises ConfigError as ``read_image`` does, and for several: none goes unseen."""
    found = read_image(path)
    if found.planes > 1:
        raise ConfigError(f"{path}: holds {found.planes} images; save each of them, or their sum, as a file of its own")
    return found


def is_vendors(path: Path) -> bool:
    """Whether it takes ``recordings`` to read a file."""
    return _reader(path) is _read_other


def _reader(path: Path) -> Callable[[Path], tuple[Any, tuple[float, ...]]]:
    if path.is_dir():
        return _read_zarr
    suffix = path.suffix.lower()
    if suffix in (".png", ".jpg", ".jpeg", ".bmp"):
        return _read_picture
    if suffix in (".tif", ".tiff"):
        return _read_tiff
    if suffix in MRC_SUFFIXES:
        return _read_mrc
    return _read_other


def _read_picture(path: Path) -> tuple[Any, tuple[float, ...]]:
    with Image.open(path) as picture:
        return np.asarray(
            picture if picture.mode in ("L", "F") or picture.mode[0] == "I" else picture.convert("RGB")
        ), ()


def _read_tiff(path: Path) -> tuple[Any, tuple[float, ...]]:
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        data = series.asarray()
        if "S" in series.axes and series.axes[-1] != "S":
            data = np.moveaxis(data, series.axes.index("S"), -1)
        return data, _sizes_nm(*tiff_tags(tiff, path))


def _read_mrc(path: Path) -> tuple[Any, tuple[float, ...]]:
    with mrcfile.open(path, permissive=True) as mrc:
        if mrc.data is None:
            raise ValueError("the file ends before its data")
        return np.array(mrc.data), _sizes_nm(*mrc_tags(mrc))


def _read_zarr(path: Path) -> tuple[Any, tuple[float, ...]]:
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return node[...], ()
    attributes: dict[str, Any] = dict(node.attrs)
    multiscales = attributes.get("ome", attributes).get("multiscales")  # OME-Zarr 0.5, and 0.4
    if not multiscales:
        raise ConfigError(f"{path}: a Zarr group without OME metadata; name the array inside it")
    dataset = multiscales[0]["datasets"][0]
    units = [axis.get("unit") for axis in multiscales[0]["axes"]][-2:]
    scale = next((t["scale"] for t in dataset.get("coordinateTransformations", ()) if t["type"] == "scale"), None)
    sizes_nm = (
        () if scale is None or None in units else tuple(s * _nm(u) for s, u in zip(scale[-2:], units, strict=True))
    )
    array: Any = node[dataset["path"]]
    return array[...], sizes_nm


def _read_other(path: Path) -> tuple[Any, tuple[float, ...]]:
    with opened(path) as recordings:
        main = main_of(recordings, path)
        size_nm = main.pixel_size_nm
        return _data(main), () if size_nm is None else (size_nm,)


def main_of(recordings: Sequence[Recording], path: Path) -> Recording:
    """What of a vendor's file is taken as its image. Raises ConfigError where it holds none."""
    for kind in ("image", "stack", "spectra", "patterns"):
        for recording in recordings:
            if recording.kind == kind:
                return recording
    raise ConfigError(f"{path}: holds no image; name a file with one")


def image_of(main: Recording, path: Path, plane: int = 0) -> RecordedImage:
    """A recording as an image; of spectra or patterns, their sum at every pixel. Raises ConfigError."""
    image, planes = _one_plane(path, _data(main), plane)
    return RecordedImage(image, main.pixel_size_nm, planes)


def _data(main: Recording) -> npt.NDArray[Any]:
    return summed(main) if main.kind in ("spectra", "patterns") else main.block()


def summed(recording: Recording) -> npt.NDArray[np.float64]:
    """(H, W) sum of the spectra (H, W, E) or patterns (H, W, Ky, Kx), row by row."""
    rows = (recording.block(slice(row, row + 1)) for row in range(recording.shape[0]))
    return np.concatenate([row.reshape(*row.shape[:2], -1).sum(axis=-1, dtype=np.float64) for row in rows])


def _sizes_nm(vendor: str, tags: Mapping[str, object]) -> tuple[float, ...]:
    """Width and height of a pixel as the vocabulary reads the tags. Raises ConfigError for a unit it does not know."""
    if vendor not in TERMS:
        return ()
    said = understand(vendor, tags)
    if unknown := [tag for tag in said.uncalibrated if said.number("pixel_size_nm") is None]:
        raise ConfigError(
            f"the pixel size ({unknown[0]}) is given in a unit that is no known length; set instrument.pixel_size_nm"
        )
    sizes = (said.number("pixel_size_nm"), said.number("pixel_height_nm"))
    return tuple(size for size in sizes if size is not None)


def _nm(unit: str) -> float:
    try:
        return converted(1.0, unit, "nm")
    except ValueError as error:
        raise ConfigError(f"the pixel size has an unknown unit ({error}); set instrument.pixel_size_nm") from error


def _one_plane(path: Path, data: npt.NDArray[Any], plane: int) -> tuple[npt.NDArray[np.float32], int]:
    """(…, H, W) or (…, H, W, 3 or 4) → (H, W) float32, and how many there are."""
    if np.iscomplexobj(data):
        raise ConfigError(f"{path}: holds complex numbers; save their modulus or phase")
    colour = data.ndim >= 3 and data.shape[-1] in (3, 4) and min(data.shape[-3:-1]) > 4
    if data.ndim < 2:
        raise ConfigError(f"{path}: holds an array of shape {data.shape}, which is no image")
    planes = data.reshape(-1, *data.shape[-3 if colour else -2 :])
    if not 0 <= plane < len(planes):
        raise ConfigError(f"{path}: plane {plane} was asked; it holds {len(planes)}, counted from 0")
    image: npt.NDArray[np.float32] = planes[plane].astype(np.float32)
    if colour:
        image = image[..., :3] @ _LUMINANCE
    if min(image.shape) < 2:
        raise ConfigError(
            f"{path}: its image has {image.shape[0]} × {image.shape[1]} pixels; at least 2 × 2 are needed"
        )
    if not np.isfinite(image).all():
        raise ConfigError(f"{path}: holds values that are not finite; replace them first")
    return image, len(planes)


def _square(path: Path, sizes_nm: tuple[float, ...]) -> float | None:
    return square_nm(sizes_nm, str(path))
