"""The raw tags of a file, flat, and what they say by the vocabulary. Every kind that ``adaptem metadata`` takes.

MRC (with SerialEM's or Thermo Fisher's extended header, and an .mdoc beside it), SerialEM's .mdoc, TIFF (Thermo Fisher,
OME, ImageJ, Micro-Manager, JEOL's text beside it); everything else through ``recordings``.
"""

from __future__ import annotations

import json
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import numpy as np
import tifffile

from configs.load import ConfigError
from instruments.recordings_apart import opened
from instruments.vocabulary import TERMS, Understood, understand

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from instruments.recordings import Recording

MRC_SUFFIXES = (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali")
_SERIALEM = (
    (1, "h", ("tilt angle",), 0.01),
    (2, "3h", ("piece x", "piece y", "piece z"), 1.0),
    (4, "2h", ("stage x", "stage y"), 1 / 25),
    (8, "h", ("magnification",), 100.0),
    (16, "h", ("intensity",), 1 / 25000),
)
"""Bit, form, names and factor of the short numbers that SerialEM keeps for a section (as IMOD describes MRC files)."""


@dataclass(frozen=True, slots=True)
class Described:
    """One signal of a file, as its tags describe it."""

    name: str
    kind: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    """Each as "name: N × step unit"."""
    vendor: str
    understood: Understood | None
    """None for a vendor that the vocabulary does not have."""


def describe(path: Path) -> tuple[Described, ...]:
    """Every signal of a file, with what its tags say.

    Raises:
        ConfigError: missing, truncated, or of a kind that nothing here reads.
    """
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; give the path of one")
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give the path of a file")
    suffix = path.suffix.lower()
    if suffix in (*MRC_SUFFIXES, ".mdoc", ".tif", ".tiff"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # readers grumble about harmless details of headers
                return _of_tables(path, suffix)
        except ConfigError:
            raise
        except Exception as error:  # readers fail in every way there is on a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(f"{path}: cannot be read ({reason}); check that the copy is whole") from error
    with opened(path) as recordings:
        return tuple(_of_recording(each) for each in recordings)


def _of_tables(path: Path, suffix: str) -> tuple[Described, ...]:
    if suffix == ".mdoc":
        text = path.read_text(encoding="utf-8", errors="replace")
        return (_described(path.name, (), "serialem-mdoc", mdoc_tags(text)),)
    if suffix in MRC_SUFFIXES:
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            shape = tuple(int(mrc.header[name]) for name in ("nz", "ny", "nx"))
            vendor, tags = mrc_tags(mrc)
        found = [_described(path.name, shape if shape[0] > 1 else shape[1:], vendor, tags)]
        beside = [each for each in (Path(f"{path}.mdoc"), path.with_suffix(".mdoc")) if each.exists()]
        if beside:
            text = beside[0].read_text(encoding="utf-8", errors="replace")
            found.append(_described(beside[0].name, found[0].shape, "serialem-mdoc", mdoc_tags(text)))
        return tuple(found)
    with tifffile.TiffFile(path) as tiff:
        vendor, tags = tiff_tags(tiff, path)
        return (_described(path.name, tuple(tiff.series[0].shape), vendor, tags),)


def mrc_tags(mrc: Any) -> tuple[str, dict[str, object]]:
    """Vendor and tags of an open MRC: of the first section of its extended header, and its cell where one was set."""
    tags: dict[str, object] = {}
    size = float(mrc.voxel_size["x"])
    if size > 0 and size != 1.0:  # programs that do not know the pixel size write 1 Å
        tags["voxel size"] = size
        tags["voxel height"] = float(mrc.voxel_size["y"])
    kind = bytes(mrc.header.exttyp).strip(b"\0 ").decode(errors="replace")
    if kind == "SERI":
        tags |= serialem_tags(mrc.extended_header.tobytes(), mrc.header.extra2.tobytes())
        return "serialem-header", tags
    if kind in ("FEI1", "FEI2"):
        section = mrc.indexed_extended_header[0]
        return "fei-mrc", tags | _fei_tags(section)
    return "mrc", tags


def serialem_tags(extended: bytes, header: bytes) -> dict[str, object]:
    """Of the first section. ``header``: the 84 bytes from byte 112 on, where size and meaning of a section stand."""
    size, flags = struct.unpack_from("<2h", header, 16)
    tags: dict[str, object] = {}
    at = 0
    for bit, form, names, factor in _SERIALEM:
        if flags & bit and at + struct.calcsize(form) <= min(size, len(extended)):
            values = struct.unpack_from("<" + form, extended, at)
            tags |= {name: value * factor for name, value in zip(names, values, strict=True)}
            at += struct.calcsize(form)
    return tags


def mdoc_tags(text: str) -> dict[str, object]:
    """Of SerialEM's text: what stands above all sections, and the first section; pairs of numbers by /0 and /1."""
    tags: dict[str, object] = {}
    sections = 0
    for line in text.splitlines():
        if line.startswith("["):
            sections += not line.startswith("[T")
        name, equals, value = line.partition("=")
        if equals and sections <= 1 and not line.startswith("["):
            parts = value.split()
            numbers = len(parts) > 1 and all(_is_number(part) for part in parts)
            many = {f"{name.strip()}/{i}": part for i, part in enumerate(parts)}
            tags |= many if numbers else {name.strip(): value.strip()}
    return tags


def tiff_tags(tiff: tifffile.TiffFile, path: Path) -> tuple[str, dict[str, object]]:
    """Vendor and tags of an open TIFF. A plain resolution is a printer's and says nothing about the specimen."""
    if tiff.is_ome and tiff.ome_metadata:
        images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}  # OME's own default
        return "ome", units | {name: value for name, value in pixels.items() if not isinstance(value, (dict, list))}
    if tiff.is_micromanager and tiff.micromanager_metadata:
        return "micromanager", dict(_flat(tiff.micromanager_metadata))
    if tiff.is_imagej and tiff.imagej_metadata:
        pages, found = tiff.pages.first.tags, dict(_flat(tiff.imagej_metadata))
        for name, tag in (("pixel width", "XResolution"), ("pixel height", "YResolution")):
            if tag in pages and pages[tag].value[0]:
                found[name] = pages[tag].value[1] / pages[tag].value[0]
        return "imagej", found
    if tiff.is_fei and tiff.fei_metadata:
        return "fei-tiff", dict(_flat(tiff.fei_metadata))
    beside = path.with_suffix(".txt")
    if beside.exists() and "$CM_" in (text := beside.read_text(encoding="utf-8", errors="replace")):
        lines = (line.lstrip("$").partition(" ") for line in text.splitlines() if line.startswith("$"))
        return "jeol", {name: value.strip() for name, _, value in lines}
    return "tiff", {}


def _fei_tags(section: Any) -> dict[str, object]:
    """Fields whose bit is set: the others hold nothing."""
    names = list(section.dtype.names)
    tags: dict[str, object] = {}
    for mask, following in (("Bitmask 1", "Bitmask 2"), ("Bitmask 2", "Bitmask 3"), ("Bitmask 3", "Bitmask 4")):
        if mask not in names:
            break
        last = names.index(following) if following in names else len(names)
        bits = int(section[mask])
        for bit, name in enumerate(names[names.index(mask) + 1 : last]):
            if bits >> bit & 1:
                value = section[name]
                tags[name] = value.decode(errors="replace") if isinstance(value, bytes) else np.asarray(value).item()
    return tags


def _of_recording(recording: Recording) -> Described:
    return Described(
        recording.name,
        recording.kind,
        recording.shape,
        tuple(f"{axis.name}: {axis.size} × {axis.scale:g} {axis.unit}".rstrip() for axis in recording.axes),
        recording.vendor,
        recording.understood(),
    )


def _described(name: str, shape: tuple[int, ...], vendor: str, tags: Mapping[str, object]) -> Described:
    kind = "" if not shape else "image" if len(shape) == 2 else "stack"
    return Described(name, kind, shape, (), vendor, understand(vendor, tags) if vendor in TERMS else None)


def _flat(tags: Any, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tags.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (str, int, float)):
            yield f"{prefix}{name}", value
        elif isinstance(value, (list, tuple)) and len(value) <= 16:
            yield f"{prefix}{name}", json.dumps(value, default=str)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
