"""Thermo Fisher's Velox files: images, spectra, and the stream of X-rays that is a spectrum image. Needs h5py.

A stream lists the channel of each X-ray as it came; 65535 ends a pixel; pixels follow by rows, frame after frame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

_NEXT_PIXEL = 65535
_CHUNK = 1 << 22
"""Numbers of a stream read at a time."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A spectrum image as its X-rays, 2 bytes each, sorted by pixel: rows are made when they are asked for."""

    shape: tuple[int, int, int]
    """Rows, columns, channels."""
    starts: npt.NDArray[np.int64]
    """(H·W + 1,) where each pixel's X-rays begin."""
    channels: npt.NDArray[np.uint16]
    frames: int
    """That were summed; the last may be cut."""

    @property
    def dtype(self) -> np.dtype[np.uint32]:
        return np.dtype(np.uint32)

    def __getitem__(self, where: tuple[slice, ...]) -> npt.NDArray[np.uint32]:
        """The block (rows, columns, channels) of two or three plain slices."""
        rows, columns = (range(*part.indices(size)) for part, size in zip(where, self.shape[:2], strict=False))
        block = np.zeros((len(rows), len(columns), self.shape[2]), dtype=np.uint32)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                pixel = row * self.shape[1] + column
                hits = self.channels[self.starts[pixel] : self.starts[pixel + 1]]
                block[i, j] = np.bincount(hits, minlength=self.shape[2])[: self.shape[2]]
        return block[..., where[2]] if len(where) > 2 else block


def is_velox(path: Path) -> bool:
    """Whether an HDF5 file is Velox's."""
    with h5py.File(path) as file:
        return "Data" in file and "Version" in file


def velox_signals(path: Path) -> list[dict[str, Any]]:
    """Signals as RosettaSciIO gives them: data, axes, original_metadata; images are read when they are asked for."""
    file = h5py.File(path)  # stays open for that
    found = []
    for group in file.get("Data/Image", {}).values():
        if group["Data"].dtype.kind in "iuf":  # a Fourier transform is of no use here
            tags = _tags(group)
            found.append(_signal(group["Data"], _image_axes(group["Data"].shape, tags), tags))
    streams = [(group, _tags(group)) for group in file.get("Data/SpectrumStream", {}).values()]
    images = [each for each in found if len(each["axes"]) == 3]
    for of_world in _by_world(streams).values():
        tags = of_world[0][1]
        size = images[0]["data"].shape[:2] if images else (0, 0)
        if min(size) > 0 and "PixelSize" in tags.get("BinaryResult", {}):
            stream = read_stream([group["Data"] for group, _ in of_world], size, _bins(of_world[0][0]))
            axes = [*_image_axes(size, tags), _energy_axis(stream.shape[2], tags)]
            found.append(_signal(stream, axes, tags) | {"frames": stream.frames, "signal_type": "EDS_TEM"})
    for group in file.get("Data/Spectrum", {}).values():
        tags = _tags(group)
        found.append(_signal(group["Data"][:, 0], [_energy_axis(len(group["Data"]), tags)], tags))
    return found


def read_stream(parts: list[Any], size: tuple[int, int], channels: int) -> Stream:
    """Sum the streams of a detector's segments, each (N, 1) of uint16, over an image of ``size`` (H, W) pixels."""
    pixels, energies, ended = [np.zeros(0, np.int64)], [np.zeros(0, np.uint16)], 0
    area = size[0] * size[1]
    for part in parts:
        before = 0
        for first in range(0, len(part), _CHUNK):
            numbers = part[first : first + _CHUNK, 0]
            ends = numbers == _NEXT_PIXEL
            at = before + np.cumsum(ends)
            pixels.append(at[~ends] % area)
            energies.append(numbers[~ends])
            before = int(at[-1])
        ended = max(ended, before)
    where, found = np.concatenate(pixels), np.concatenate(energies)
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(area + 1))
    return Stream((*size, channels), starts, found[order], max(-(-ended // area), 1))


def _by_world(streams: list[tuple[Any, dict[str, Any]]]) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
    """Streams of one detector's segments belong together."""
    groups: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
    for group, tags in streams:
        name = str(tags.get("BinaryResult", {}).get("Detector", "EDS"))
        groups.setdefault(name[:8], []).append((group, tags))  # SuperXG21 … SuperXG24 are segments of SuperXG2
    return groups


def _tags(group: Any) -> dict[str, Any]:
    """The JSON of the first frame."""
    text = bytes(group["Metadata"][:, 0]).split(b"\0")[0]
    tags: dict[str, Any] = json.loads(text) if text.strip() else {}
    detectors = [each for each in tags.get("Detectors", {}).values() if isinstance(each, dict)]
    name = str(tags.get("BinaryResult", {}).get("Detector", ""))
    mine = [each for each in detectors if name and str(each.get("DetectorName", "")).startswith(name)]
    if mine:
        tags["Detector"] = mine[0]
    return tags


def _bins(group: Any) -> int:
    settings = json.loads(group["AcquisitionSettings"][0]) if "AcquisitionSettings" in group else {}
    return int(settings.get("bincount", 4096))


def _image_axes(shape: tuple[int, ...], tags: dict[str, Any]) -> list[dict[str, Any]]:
    result = tags.get("BinaryResult", {})
    sizes, unit = result.get("PixelSize", {}), str(result.get("PixelUnitX") or "")
    axes = [
        _axis(name, shape[i], float(sizes.get(key) or 1.0), 0.0, unit if sizes else "", navigate=True)
        for i, (name, key) in enumerate((("y", "height"), ("x", "width")))
    ]
    return [*axes, _axis("frame", shape[2], 1.0, 0.0, "", navigate=True)] if len(shape) > 2 else axes


def _energy_axis(size: int, tags: dict[str, Any]) -> dict[str, Any]:
    detector = tags.get("Detector", {})
    known = "Dispersion" in detector
    scale, offset = float(detector.get("Dispersion") or 1.0), float(detector.get("OffsetEnergy") or 0.0)
    return _axis("Energy", size, scale, offset, "eV" if known else "", navigate=False)


def _axis(name: str, size: int, scale: float, offset: float, units: str, *, navigate: bool) -> dict[str, Any]:
    return {"name": name, "size": size, "scale": scale, "offset": offset, "units": units, "navigate": navigate}


def _signal(data: Any, axes: list[dict[str, Any]], tags: dict[str, Any]) -> dict[str, Any]:
    title = str(tags.get("BinaryResult", {}).get("Detector") or "")
    return {"data": data, "axes": axes, "original_metadata": tags, "title": title, "vendor": "velox"}
