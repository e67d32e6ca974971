"""Read one image from a file of any common kind, with its pixel size where the file truly knows it."""

from __future__ import annotations

import importlib
import importlib.util
import math
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Rec. 709 weights of red, green and blue."""
_NM = {
    "pm": 1e-3,
    "å": 0.1,
    "a": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "µm": 1e3,
    "μm": 1e3,
    "um": 1e3,
    "\\u00b5m": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "meter": 1e9,
}


@dataclass(frozen=True, slots=True)
class RecordedImage:
    """An image as it was recorded."""

    data: npt.NDArray[np.float32]
    """(H, W), row 0 on top; colour as luminance."""
    pixel_size_nm: float | None
    """None where the file does not tell, or tells only a printer's resolution."""


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
    return RecordedImage(_one_plane(path, np.asarray(data), plane), _square(path, sizes_nm))


def _reader(path: Path) -> Callable[[Path], tuple[Any, tuple[float, ...]]]:
    if path.is_dir():
        return _read_zarr
    suffix = path.suffix.lower()
    if suffix in (".png", ".jpg", ".jpeg", ".bmp"):
        return _read_picture
    if suffix in (".tif", ".tiff"):
        return _read_tiff
    if suffix in (".mrc", ".mrcs", ".map", ".rec", ".st"):
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
        return data, _tiff_sizes_nm(tiff)


def _tiff_sizes_nm(tiff: tifffile.TiffFile) -> tuple[float, ...]:
    """OME, ImageJ or FEI metadata; a plain resolution tag is a printer's and says nothing about the specimen."""
    if tiff.is_ome and tiff.ome_metadata:
        images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        names = [name for name in ("PhysicalSizeX", "PhysicalSizeY") if name in pixels]
        return tuple(float(pixels[name]) * _nm(pixels.get(f"{name}Unit", "µm")) for name in names)
    if tiff.is_imagej and tiff.imagej_metadata and "unit" in tiff.imagej_metadata:
        tags = tiff.pages.first.tags
        found = [tags[name].value for name in ("XResolution", "YResolution") if name in tags]
        unit_nm = _nm(tiff.imagej_metadata["unit"])
        return tuple(unit_nm * denominator / numerator for numerator, denominator in found if numerator)
    if tiff.is_fei and tiff.fei_metadata:
        scan = tiff.fei_metadata.get("Scan", {})
        return tuple(float(scan[name]) * 1e9 for name in ("PixelWidth", "PixelHeight") if name in scan)
    return ()


def _read_mrc(path: Path) -> tuple[Any, tuple[float, ...]]:
    with mrcfile.open(path, permissive=True) as mrc:
        if mrc.data is None:
            raise ValueError("the file ends before its data")
        sizes_nm = tuple(0.1 * float(mrc.voxel_size[axis]) for axis in ("x", "y"))
        # Programs that do not know the pixel size write 1 Å.
        return np.array(mrc.data), () if sizes_nm == (0.1, 0.1) else sizes_nm


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
    """What RosettaSciIO reads: the first image that the file holds."""
    suffix = path.suffix.lower().lstrip(".")
    if importlib.util.find_spec("rsciio") is None:
        raise ConfigError(
            f"{path}: .{suffix} is a vendor's format; install adaptem[formats] to read it, or convert it to TIFF"
        )
    plugins = [p for p in importlib.import_module("rsciio").IO_PLUGINS if suffix in p["file_extensions"]]
    if not plugins:
        raise ConfigError(f"{path}: no reader knows .{suffix}; convert it to TIFF, MRC or OME-Zarr")
    for signal in importlib.import_module(plugins[0]["api"]).file_reader(str(path)):
        axes = [axis for axis in signal["axes"] if axis["size"] > 1]
        if len(axes) == 2 and np.ndim(np.squeeze(signal["data"])) == 2:
            units = [str(axis.get("units") or "") for axis in axes]
            known = all(unit.lower() in _NM for unit in units)
            sizes = [float(a["scale"]) * _nm(u) for a, u in zip(axes, units, strict=True)] if known else []
            return np.squeeze(np.asarray(signal["data"])), tuple(sizes)
    raise ConfigError(f"{path}: holds no image; name a file with one")


def _nm(unit: str) -> float:
    factor = _NM.get(unit.strip().lower())
    if factor is None:
        raise ConfigError(
            f"the pixel size is given in {unit!r}, which is no known length; set instrument.pixel_size_nm"
        )
    return factor


def _one_plane(path: Path, data: npt.NDArray[Any], plane: int) -> npt.NDArray[np.float32]:
    """(…, H, W) or (…, H, W, 3 or 4) → (H, W) float32."""
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
    return image


def _square(path: Path, sizes_nm: tuple[float, ...]) -> float | None:
    sizes = [size for size in sizes_nm if math.isfinite(size) and size > 0]
    if not sizes:
        return None
    if max(sizes) > 1.01 * min(sizes):
        raise ConfigError(f"{path}: its pixels are {sizes} nm wide and tall; resample it to square ones")
    return sizes[0]
