"""A survey as a folder of HyperSpy's .hspy, one a stream: all its frames along a first axis, and where each was taken.

HyperSpy's metadata have no place for defocus, dose or position: these go, an array a quantity, into
``original_metadata``, by our names with their units.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from archive.export import ExportError
from archive.software import version
from archive.streams import array_folder
from instruments.recordings_apart import Reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archive.export import Facts
    from archive.reader import SurveyReader
    from archive.rows import ExposureRow, StoredSignal

_LONGEST_S = 3600.0
"""To write one stream."""
_SPECTRA = {"EELS": "EELS", "EDS": "EDS_TEM"}


def write_hyperspy(reader: SurveyReader, facts: Facts, path: Path) -> None:
    """Write every stream and read it back through RosettaSciIO, frame by frame. Raises ExportError, OSError."""
    if importlib.util.find_spec("rsciio") is None:
        raise ExportError(
            "an export to HyperSpy needs RosettaSciIO, which is not installed: pip install 'adaptem[formats]'"
        )
    path.mkdir()
    streams: dict[str, list[tuple[ExposureRow, StoredSignal]]] = defaultdict(list)
    for row in reader.exposures():
        for stored in row.signals:
            streams[stored.stream].append((row, stored))
    for stream, kept in streams.items():
        kept.sort(key=lambda each: each[1].first)
        file = path / f"{stream}.hspy"
        _write(_request(reader.folder, facts, stream, kept, file))
        _read_back(file, [stored for _, stored in kept])


def _request(
    folder: Path, facts: Facts, stream: str, kept: Sequence[tuple[ExposureRow, StoredSignal]], file: Path
) -> dict[str, Any]:
    """What ``hyperspy_writing`` needs to know of one stream."""
    _, stored = kept[0]
    array = array_folder((folder / "frames").resolve(), stream)
    shape = zarr.open_array(array, mode="r").shape[1:]
    axes = stored.axes[1:] if len(stored.axes) == len(shape) + 1 else stored.axes  # of a burst
    navigate = len(shape) > 2  # spectra and patterns: the scan is for navigation, what is at a pixel is the signal
    named = [
        {
            "name": axis.name,
            "scale": axis.scale,
            "offset": axis.offset,
            "units": axis.unit,
            "navigate": navigate and n < 2,
        }
        for n, axis in enumerate(axes)
    ]
    if len(named) != len(shape):  # wrongly described, kept all the same
        named = [
            {"name": f"axis {n}", "scale": 1.0, "offset": 0.0, "units": "", "navigate": False}
            for n in range(len(shape))
        ]
    first = {"name": "exposure", "scale": 1.0, "offset": 0.0, "units": "", "navigate": True}
    last = kept[-1][1]
    return {
        "file": str(file),
        "array": str(array),
        "length": last.first + last.count,
        "axes": [first, *named],
        "metadata": _metadata(facts, kept[0][0], stored),
        "about": {"adaptem": _places(kept), "survey": facts.name, "versions": dict(facts.versions)},
        "version": version(),
    }


def _metadata(facts: Facts, row: ExposureRow, stored: StoredSignal) -> dict[str, Any]:
    """HyperSpy's own tree: keV, nA, mrad, as it has them."""
    column: dict[str, Any] = {"microscope": facts.model}
    optics = row.frame.optics if row.frame is not None else None
    if optics is not None and optics.voltage_kV is not None:
        column["beam_energy"] = optics.voltage_kV
    if optics is not None and optics.current_pA is not None:
        column["beam_current"] = optics.current_pA * 1e-3
    if optics is not None and optics.convergence_mrad is not None:
        column["convergence_angle"] = optics.convergence_mrad
    day, _, time = facts.created_utc.partition("T")
    who = {"authors": facts.who.get("operator"), "notes": facts.who.get("licence")}
    general = {"title": f"{facts.name}: {stored.signal}", "date": day, "time": time[:8], "time_zone": "UTC"}
    kind = next((ours for name, ours in _SPECTRA.items() if stored.signal.startswith(name)), "")
    return {
        "General": general | {key: value for key, value in who.items() if value},
        "Signal": {"signal_type": kind, "quantity": stored.unit},
        "Sample": {"elements": list(facts.elements), "description": str(facts.who.get("sample") or "")},
        "Acquisition_instrument": {"TEM": column},
        "_HyperSpy": {},
    }


def _places(kept: Sequence[tuple[ExposureRow, StoredSignal]]) -> dict[str, list[Any]]:
    """A list a quantity, an item a frame of the stream; what is not known is not a number."""
    told: dict[str, list[Any]] = defaultdict(list)
    for row, stored in kept:
        frame = row.frame
        if frame is None:  # never so: signals are of committed exposures
            continue
        values: Mapping[str, float | None] = {
            "exposure": float(row.id),
            "x_nm": frame.stage.x_nm,
            "y_nm": frame.stage.y_nm,
            "z_nm": frame.stage.z_nm,
            "alpha_deg": frame.stage.alpha_deg,
            "defocus_nm": frame.optics.defocus_nm,
            "current_pA": frame.optics.current_pA,
            "dwell_us": frame.exposure.dwell_us,
            "start_s": frame.start_s,
            "fluence_e_per_A2": frame.electrons / (row.footprint.area_nm2 * 100.0),
        }
        for name, value in values.items():
            told[name] += [math.nan if value is None else value] * stored.count
        told["purpose"] += [str(row.purpose)] * stored.count
    return dict(told)


def _write(request: Mapping[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archive.hyperspy_writing"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    try:
        error = json.loads(done.stdout).get("error")
    except ValueError:
        error = done.stderr.strip().splitlines()[-1:] or "it ended without an answer"
    if error:
        raise ExportError(f"{Path(request['file']).name} could not be written: {error}")


def _read_back(file: Path, kept: Sequence[StoredSignal]) -> None:
    """What RosettaSciIO finds in the file, by its checksums."""
    reader = Reader(file)
    try:
        (found,) = reader.open()
        for stored in kept:
            sizes = stored.shape[1:] if stored.axes and stored.axes[0].name == "frame" else stored.shape
            slices = [[stored.first, stored.first + stored.count], *([0, size] for size in sizes)]
            data = reader.read(0, slices, (stored.count, *sizes), found.dtype)
            if hashlib.sha256(np.ascontiguousarray(data).data).hexdigest() != stored.sha256:
                raise ExportError(f"frame {stored.first} of {file.name} did not read back as it was recorded")
    finally:
        reader.close()
