"""One zarr array per stream of like signals: its name, its metadata, its making.

Images are OME-Zarr 0.5 (axes t, y, x); spectra and patterns are plain zarr v3 arrays with named dimensions.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from archive.durable import make_folder, sync_file, sync_folder
from archive.schema import dump
from instruments.types import Axis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from instruments.types import Signal

BLOCK = 256
"""Frames by which an array grows: its metadata is rewritten that seldom. ``close`` trims it."""
CHUNK_BYTES = 16 << 20
_IMAGE = ("row", "column")
_OME_UNITS = {"pm": "picometer", "nm": "nanometer", "um": "micrometer", "µm": "micrometer"}


@dataclass(frozen=True, slots=True)
class Stream:
    """What the frames of one array have in common."""

    signal: str
    shape: tuple[int, ...]
    """Of one frame."""
    dtype: str
    axes: tuple[Axis, ...]
    """Of one frame."""
    unit: str

    @classmethod
    def of(cls, name: str, signal: Signal) -> Stream:
        """The stream of a signal; a burst goes frame by frame into the stream of its single frames."""
        axes, shape = signal.axes, signal.data.shape
        if is_burst(signal):
            axes, shape = axes[1:], shape[1:]
        if len(axes) != len(shape):  # wrongly described, but its dose is spent: keep it
            axes = ()
        return cls(name, shape, little_endian(signal.data.dtype).name, axes, signal.unit)

    @property
    def is_image(self) -> bool:
        return tuple(axis.name for axis in self.axes) == _IMAGE

    @property
    def name(self) -> str:
        """A file name that tells people what it is, with a hash that keeps unlike streams apart.

        >>> from instruments.types import Axis
        >>> axes = (Axis("row", 0.5, "nm"), Axis("column", 0.5, "nm"))
        >>> Stream("HAADF", (256, 256), "uint16", axes, "counts").name
        'HAADF_256x256_uint16_0.5nm_af7d25'
        """
        # Where an image lies (its offsets) differs from frame to frame; where an energy axis starts belongs to it.
        key = [(a.name, f"{a.scale:.9g}", a.unit, 0.0 if a.name in _IMAGE else a.offset) for a in self.axes]
        digest = hashlib.sha256(dump([self.signal, self.shape, self.dtype, key, self.unit]).encode()).hexdigest()
        words = [re.sub(r"[^A-Za-z0-9.-]", "-", self.signal), "x".join(map(str, self.shape)), self.dtype]
        if self.is_image:
            words.append(re.sub(r"[^A-Za-z0-9.-]", "", f"{self.axes[1].scale:.6g}{self.axes[1].unit}"))
        return "_".join((*words, digest[:6]))

    def chunk(self) -> tuple[int, ...]:
        """Of one frame: the whole of it, halved along its longest axis until it has at most ``CHUNK_BYTES``.

        >>> Stream("EELS", (64, 64, 4096), "float32", (), "counts").chunk()
        (64, 64, 1024)
        """
        chunk = list(self.shape)
        while math.prod(chunk) * np.dtype(self.dtype).itemsize > CHUNK_BYTES:
            longest = chunk.index(max(chunk))
            chunk[longest] = math.ceil(chunk[longest] / 2)
        return tuple(chunk)


def is_burst(signal: Signal) -> bool:
    """Whether the first axis counts the frames of one exposure."""
    return bool(signal.axes) and signal.axes[0].name == "frame" and len(signal.axes) == signal.data.ndim


def little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type as it is stored."""
    return dtype.newbyteorder("<")


def array_folder(frames: Path, stream: str) -> Path:
    """Where the array of a stream lies: in the group of an OME-Zarr image, or by itself."""
    group = frames / f"{stream}.zarr"
    return group / "0" if (group / "0").is_dir() else group


def make_stream(frames: Path, stream: Stream, about: Mapping[str, Any] | None = None) -> None:
    """Make the array and its metadata, durably and in one piece. Raises OSError.

    ``about``: whose it is and who may use it, for those who find the array without its survey.
    """
    final = frames / f"{stream.name}.zarr"
    partial = frames / f"{stream.name}.zarr.partial"
    if partial.exists():
        shutil.rmtree(partial)
    make_folder(frames)
    ours = {"signal": stream.signal, "unit": stream.unit, "index": "journal.sqlite, table frames", **(about or {})}
    if stream.is_image:
        zarr.create_group(partial, attributes={"ome": _ome(stream), "adaptem": ours})
        _make_array(partial / "0", stream, ("t", "y", "x"), {})
    else:
        axes = [{"name": a.name, "scale": a.scale, "unit": a.unit, "offset": a.offset} for a in stream.axes]
        names = tuple(a.name for a in stream.axes) or tuple(f"axis_{i}" for i in range(len(stream.shape)))
        _make_array(partial, stream, ("exposure", *names), {"axes": axes, "adaptem": ours})
    for path in partial.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_file(path)
    sync_folder(partial)
    partial.rename(final)
    sync_folder(frames)


def _make_array(path: Path, stream: Stream, names: tuple[str, ...], attributes: dict[str, Any]) -> None:
    dtype = np.dtype(stream.dtype)
    zarr.create_array(
        path,
        shape=(BLOCK, *stream.shape),
        chunks=(1, *stream.chunk()),
        dtype=dtype,
        filters=None,
        # Bitshuffle makes Poisson counts both smaller and quicker than zstd alone.
        compressors=(BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()),
        fill_value=np.nan if dtype.kind in "fc" else 0,
        dimension_names=names,
        attributes=attributes,
        # One folder for all chunks, so that a frame costs one sync of a folder and not three.
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def _ome(stream: Stream) -> dict[str, Any]:
    """Multiscales of OME-Zarr 0.5 with one scale; the time axis counts exposures, so it has no unit."""
    axes: list[dict[str, str]] = [{"name": "t", "type": "time"}]
    for name, axis in zip("yx", stream.axes, strict=True):
        unit = {"unit": _OME_UNITS[axis.unit]} if axis.unit in _OME_UNITS else {}
        axes.append({"name": name, "type": "space", **unit})
    scale = [1.0, *(axis.scale for axis in stream.axes)]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    return {"version": "0.5", "multiscales": [{"name": stream.signal, "axes": axes, "datasets": [dataset]}]}
