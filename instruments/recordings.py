"""What a recorded file holds, whatever its kind: signals with their axes, their tags, and blocks of data on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.load import ConfigError
from instruments.vocabulary import TERMS, Understood, converted, understand

Kind: TypeAlias = Literal["image", "stack", "spectra", "patterns", "spectrum", "other"]
Block: TypeAlias = npt.NDArray[Any]

_ENERGY = ("ev", "kev")
_PATTERN = ("1/nm", "1/a", "1/å", "nm^-1", "1/m", "mrad", "rad")
_COLUMN, _ROW = ("x", "column", "width"), ("y", "row", "height")
_HYPERSPY = "hyperspy"


class Blocks(Protocol):
    """Where the data come from."""

    def read(
        self, number: int, slices: Sequence[Sequence[int]], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Block: ...


@dataclass(frozen=True, slots=True)
class FileAxis:
    """One axis as the file has it."""

    name: str
    size: int
    scale: float
    offset: float
    unit: str
    navigate: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """One signal of a file, in our order of axes: row, column, then energy, or ky and kx."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """Image (H, W), stack (N, H, W), spectra (H, W, E), patterns (H, W, Ky, Kx), spectrum (E,)."""
    dtype: np.dtype[Any]
    axes: tuple[FileAxis, ...]
    """In our order."""
    vendor: str
    tags: Mapping[str, object]
    """As the vendor wrote them, flat."""
    frames: int
    """Passes over the scan that were added up."""
    signal_type: str
    """EELS, EDS_TEM, …, where the file tells."""
    _reader: Blocks = field(repr=False)
    _number: int = 0
    _order: tuple[int, ...] = ()
    """Of the file's axes, by ours; a squeezed axis has a whole number after all ours."""
    _file_shape: tuple[int, ...] = ()
    _line: bool = False
    """A line scan, given a row of its own."""

    @property
    def bytes_per_pixel(self) -> int:
        """Of one pixel of the scan."""
        return self.dtype.itemsize * math.prod(self.shape[2:])

    @property
    def pixel_size_nm(self) -> float | None:
        """Of square pixels, where the file truly tells. Raises ConfigError where they are not square."""
        if self.kind not in ("image", "stack", "spectra", "patterns"):
            return None
        first = 1 if self.kind == "stack" else 0
        return square_nm([axis_nm(axis) for axis in self.axes[first : first + 2] if axis.size > 1])

    def understood(self) -> Understood | None:
        """The vendor's tags in our words; None for a vendor that the vocabulary does not have."""
        return understand(self.vendor, self.tags) if self.vendor in TERMS else None

    def block(self, *parts: slice) -> Block:
        """Some of the data, by plain slices along our axes; what is not named is whole. Raises ConfigError."""
        full = [range(*part.indices(size)) for part, size in zip(parts, self.shape, strict=False)]
        full += [range(size) for size in self.shape[len(full) :]]
        asked = full[1:] if self._line else full
        slices = [[0, 1]] * len(self._file_shape)
        for place, span in zip(self._order, asked, strict=True):
            slices[place] = [span.start, max(span.stop, span.start)]
        shape = tuple(last - first for first, last in slices)
        data = self._reader.read(self._number, slices, shape, self.dtype)
        rest = tuple(place for place in range(len(shape)) if place not in self._order)
        ordered = data.transpose((*self._order, *rest))
        return ordered.reshape(tuple(len(span) for span in full))


def recording_of(number: int, told: Mapping[str, Any], reader: Blocks) -> Recording:
    """A signal as the reader told of it."""
    axes = tuple(
        FileAxis(
            str(axis["name"]), int(axis["size"]), float(axis["scale"] or 1.0), float(axis["offset"] or 0.0),
            str(axis["units"] or "").strip(), bool(axis["navigate"]),
        )
        for axis in told["axes"]
    )  # fmt: skip
    kind, order, line = _ordered(axes, str(told["signal_type"]))
    ours = tuple(axes[place] for place in order)
    if line:
        ours = (FileAxis("y", 1, ours[0].scale, 0.0, ours[0].unit, navigate=True), *ours)
    tags = dict(told["tags"])
    vendor = str(told["vendor"])
    if vendor == "digitalmicrograph":
        tags = _of_digitalmicrograph(tags)
    elif vendor not in TERMS and any(name.startswith("Acquisition_instrument/") for name in told["about"]):
        vendor, tags = _HYPERSPY, dict(told["about"])
    return Recording(
        name=str(told["name"]),
        kind=kind,
        shape=tuple(axis.size for axis in ours),
        dtype=np.dtype(told["dtype"]),
        axes=ours,
        vendor=vendor,
        tags=tags,
        frames=int(told["frames"]),
        signal_type=str(told["signal_type"] or ""),
        _reader=reader,
        _number=number,
        _order=order,
        _file_shape=tuple(told["shape"]),
        _line=line,
    )


def axis_nm(axis: FileAxis) -> float | None:
    """Step of an axis in nm; None where its unit is no length."""
    try:
        return abs(converted(axis.scale, axis.unit, "nm")) if axis.unit else None
    except ValueError:
        return None


def square_nm(sizes_nm: Sequence[float | None], where: str = "the file") -> float | None:
    """The one size of square pixels; None where any is unknown. Raises ConfigError where they differ by over 1 %."""
    sizes = [size for size in sizes_nm if size is not None and math.isfinite(size) and size > 0]
    if not sizes or len(sizes) < len(sizes_nm):
        return None
    if max(sizes) > 1.01 * min(sizes):
        raise ConfigError(f"{where}: its pixels are {sizes} nm wide and tall; resample it to square ones")
    return sizes[0]


def _ordered(axes: Sequence[FileAxis], signal_type: str) -> tuple[Kind, tuple[int, ...], bool]:
    """What a signal is, the order of its axes (rows and columns first), and whether it is a line of spectra."""
    places = [i for i, axis in enumerate(axes) if axis.size > 1] or list(range(len(axes)))
    energies = [
        i for i in places if axes[i].unit.lower() in _ENERGY or (signal_type and "energy" in axes[i].name.lower())
    ]
    if len(energies) == 1:
        space = _rows_first(
            axes, [i for i in range(len(axes)) if i not in energies and (axes[i].size > 1 or len(axes) == 3)]
        )
        kind: Kind = "spectra" if 1 <= len(space) <= 2 else "spectrum" if not space else "other"
        return kind, (*space, *energies), len(space) == 1
    if len(places) == 2:
        return "image", tuple(_rows_first(axes, places)), False
    if len(axes) == 4:
        pattern = [i for i, axis in enumerate(axes) if axis.unit.lower() in _PATTERN]
        if len(pattern) != 2:
            pattern = [i for i, axis in enumerate(axes) if not axis.navigate]
        if len(pattern) == 2:
            scan = _rows_first(axes, [i for i in range(4) if i not in pattern])
            return "patterns", (*scan, *_rows_first(axes, pattern)), False
    if len(places) == 3:
        frame = next((i for i in places if axes[i].name in ("frame", "z", "time", "Time")), places[0])
        return "stack", (frame, *_rows_first(axes, [i for i in places if i != frame])), False
    return "spectrum" if len(places) == 1 else "other", tuple(places), False


def _rows_first(axes: Sequence[FileAxis], places: list[int]) -> list[int]:
    """Two axes in our order: some files name x before y."""
    if len(places) == 2:
        first, second = (axes[i].name.strip().lower() for i in places)
        if first.endswith(_COLUMN) and second.endswith(_ROW):
            return places[::-1]
    return places


def _of_digitalmicrograph(tags: Mapping[str, object]) -> dict[str, object]:
    """Names without the list that the image stands in; the calibrations of its dimensions by number."""
    found: dict[str, object] = {}
    for name, value in tags.items():
        _, image, rest = name.partition("/ImageTags/")
        if image:
            found[rest] = value
        elif "/ImageData/Calibrations/" in name:
            found["Calibrations/" + name.partition("/ImageData/Calibrations/")[2].replace("/TagGroup", "/")] = value
    return found
