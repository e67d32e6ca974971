"""The signals of one exposure as NXimage and NXspectrum, with axes in SI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archive.export import ExportError
from instruments.vocabulary import converted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py

    from archive.rows import ExposureRow, StoredSignal
    from instruments.types import Axis, Frame, Signal

_SI = {"nm": "m", "pm": "m", "um": "m", "µm": "m", "mrad": "rad", "deg": "rad", "1/nm": "1/m", "1/A": "1/m", "us": "s"}
_FORMS: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {
    ("row", "column"): ("image_2d", ("axis_j", "axis_i")),
    ("frame", "row", "column"): ("stack_2d", ("indices_image", "axis_j", "axis_i")),
    ("row", "column", "energy"): ("spectrum_2d", ("axis_j", "axis_i", "axis_energy")),
    ("row", "column", "ky", "kx"): ("image_4d", ("axis_m", "axis_k", "axis_j", "axis_i")),
    ("energy",): ("spectrum_0d", ("axis_energy",)),
}
"""By the names of a signal's axes: NeXus's form, and its names of them."""
_BY_RANK = {1: "image_1d", 2: "image_2d", 3: "image_3d", 4: "image_4d"}


def event_signals(event: h5py.Group, row: ExposureRow, frame: Frame) -> None:
    """Every signal of the exposure, in the instrument's order. Raises ExportError for one that NXem has no form for."""
    for number, stored in enumerate(row.signals, start=1):
        signal = frame.signals[stored.signal]
        form, names = _form(signal, stored.signal)
        kind = "spectrum" if form.startswith("spectrum") else "image"
        group = event.create_group(f"{kind}{number}")
        group.attrs["NX_class"] = f"NX{kind}"
        _process(group, stored, frame.doubts)
        _data(group, form, names, stored.signal, signal)


def _form(signal: Signal, name: str) -> tuple[str, tuple[str, ...]]:
    rank = signal.data.ndim
    known = _FORMS.get(tuple(axis.name for axis in signal.axes))
    if known is not None and len(known[1]) == rank:
        return known
    if rank not in _BY_RANK:
        raise ExportError(f"{name} has {rank} dimensions: NXem has no form for it; export it to HyperSpy")
    return _BY_RANK[rank], ("axis_m", "axis_k", "axis_j", "axis_i")[4 - rank :]


def _process(group: h5py.Group, stored: StoredSignal, doubts: Sequence[str]) -> None:
    """Where it lies in the record, how to know it again, and what the instrument says against it."""
    process = group.create_group("process")
    process.attrs["NX_class"] = "NXprocess"
    process["detector_identifier"] = stored.signal
    source = process.create_group("input")
    source.attrs["NX_class"] = "NXnote"
    source["type"] = "zarr"
    source["file_name"] = f"frames/{stored.stream}.zarr"
    source["checksum"] = stored.sha256
    source["algorithm"] = "SHA256 of the array's bytes, C order, little endian"
    source["context"] = f"index {stored.first}, {stored.count} of the first axis"
    for number, doubt in enumerate(doubts, start=1):
        note = process.create_group(f"note{number}")
        note.attrs["NX_class"] = "NXnote"
        note["type"] = "doubt"
        note["description"] = doubt


def _data(group: h5py.Group, form: str, names: tuple[str, ...], name: str, signal: Signal) -> None:
    data = group.create_group(form)
    main = "intensity" if form.startswith("spectrum") else "real"
    data.attrs.update({"NX_class": "NXdata", "signal": main, "axes": list(names)})
    group.attrs["default"] = form
    data["title"] = name
    array = np.asarray(signal.data)
    data.create_dataset(main, data=array, chunks=array.shape, compression="gzip", compression_opts=1, shuffle=True)
    data[main].attrs["long_name"] = f"{name} ({signal.unit})"
    for number, own in enumerate(names):
        axis = signal.axes[number] if len(signal.axes) == array.ndim else None
        _axis(data, own, number, axis, array.shape[number])


def _axis(data: h5py.Group, name: str, number: int, axis: Axis | None, size: int) -> None:
    data.attrs[f"{name}_indices"] = np.uint32(number)
    if axis is None or name.startswith("indices"):
        data[name] = np.arange(size, dtype=np.int64)
        data[name].attrs["long_name"] = "index" if axis is None else axis.name
        return
    unit = _SI.get(axis.unit, axis.unit)
    factor = converted(1.0, axis.unit, unit) if unit != axis.unit else 1.0
    data[name] = (axis.offset + axis.scale * np.arange(size)) * factor
    data[name].attrs["long_name"] = f"{axis.name} ({unit})" if unit else axis.name
    if unit:
        data[name].attrs["units"] = unit
