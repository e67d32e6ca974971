"""A survey as one NeXus file by the application definition NXem: SI units, an event an exposure, every committed frame.

Source: NXem of the FAIRmat-NFDI/nexus_definitions as pynxtools 0.16 carries them; `pynx validate` judges the result in
``make nexus``. What NXem demands and nobody told is "unknown", not a number, or said in ``experiment_description``: the
validator refuses any attribute that it does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from archive.export import ExportError
from archive.export_nexus_signals import event_signals
from archive.software import version
from instruments.vocabulary import to_nexus

if TYPE_CHECKING:
    from pathlib import Path

    from archive.export import Facts
    from archive.reader import SurveyReader
    from archive.rows import ExposureRow
    from instruments.types import Optics
    from instruments.vocabulary import Value

_EVENT = "/entry/measurement/event/"
_UNKNOWN = "unknown"
_AGREED: dict[str, str] = {
    "rotation_handedness": "counter_clockwise",
    "rotation_convention": "passive",
    "euler_angle_convention": "zxz",
    "axis_angle_convention": "rotation_angle_on_interval_zero_to_pi",
    "sign_convention": "p_minus_one",
}


def write_nexus(reader: SurveyReader, facts: Facts, path: Path) -> None:
    """Write the file, frame by frame, and read every frame back. Raises DamagedFrame, ExportError, OSError."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"NX_class": "NXroot", "creator": "adaptem", "creator_version": version()})
        entry = _group(file, "entry", "NXentry")
        file.attrs["default"] = "entry"
        _about(entry, facts)
        measurement = _group(entry, "measurement", "NXem_measurement")
        _instrument(measurement, facts)
        for row in reader.exposures():
            if row.frame is not None:
                _event(measurement, reader, row)
    _read_back(reader, path)


def _about(entry: h5py.Group, facts: Facts) -> None:
    """Who, what, when, by which program."""
    entry["definition"] = "NXem"
    entry["start_time"] = facts.created_utc
    entry["end_time"] = facts.ended_utc
    entry["experiment_alias"] = facts.name
    entry["experiment_description"] = _description(facts)
    if facts.licence_url:
        note = _group(entry, "noteLicence", "NXnote")
        note["type"] = "licence"
        note["file_name"] = facts.licence_url
    program = _group(_group(entry, "profiling", "NXcs_profiling"), "program1", "NXprogram")
    program["program"] = "adaptem"
    commit = facts.versions.get("adaptem commit")
    told = facts.versions.get("adaptem", _UNKNOWN)
    program["program"].attrs["version"] = f"{told} ({commit})" if commit else told
    for number, policy in enumerate(facts.policies, start=2):
        decided = _group(entry["profiling"], f"program{number}", "NXprogram")
        decided["program"] = policy
        decided["program"].attrs["version"] = policy
    user = _group(entry, "user1", "NXuser")
    user["name"] = facts.who.get("operator") or _UNKNOWN
    if facts.orcid_url:
        user["identifier_orcid"] = facts.orcid_url
        user["identifier_orcid"].attrs["type"] = "ORCID"
    if facts.who.get("proposal"):
        _group(entry, "project", "NXproject")["name"] = str(facts.who["proposal"])
    for number, specimen in enumerate(facts.specimens or ("specimen",), start=1):
        sample = _group(entry, f"sample{number}", "NXsample")
        sample["is_simulation"] = facts.is_simulation
        sample["name"] = f"{facts.who.get('sample') or _UNKNOWN}, {specimen}"
        sample["atom_types"] = ", ".join(facts.elements) or _UNKNOWN
        prepared = facts.who.get("prepared")
        sample["preparation_date"] = f"{prepared}T00:00:00+00:00" if prepared else facts.created_utc
    agreed = _group(entry, "consistent_rotations", "NXparameters")
    for name, word in _AGREED.items():
        agreed[name] = word


def _description(facts: Facts) -> str:
    """In words; with what nobody told, for NXem has no other place for that."""
    told = f"Unattended survey of {', '.join(facts.specimens) or 'no specimen'}: {facts.frames} exposures."
    if not facts.who.get("prepared"):
        told += " When the sample was prepared nobody told: preparation_date is the start of the survey."
    if not facts.elements:
        told += " What the sample is made of nobody told."
    return told


def _instrument(measurement: h5py.Group, facts: Facts) -> None:
    """What does not change within the survey."""
    instrument = _group(measurement, "instrument", "NXem_instrument")
    instrument["name"] = facts.model
    instrument["type"] = "tem"
    _made_by(instrument, facts)
    column = _group(instrument, "ebeam_column", "NXebeam_column")
    _made_by(column, facts)


def _made_by(group: h5py.Group, facts: Facts) -> None:
    made = _group(group, "fabrication", "NXfabrication")
    made["vendor"] = "adaptem" if facts.instrument == "simulated" else facts.instrument
    made["model"] = facts.model


def _event(measurement: h5py.Group, reader: SurveyReader, row: ExposureRow) -> None:
    """One exposure: when, why, in which state, and its signals."""
    frame = reader.recorded(row.id)
    event = _group(measurement, f"event{row.id}", "NXem_event_data")
    event["identifier_event"] = row.id
    event["identifier_sample"] = row.specimen
    event["type"] = str(row.purpose)
    event["start_time"] = row.intent_utc
    event["end_time"] = row.end_utc or row.intent_utc
    instrument = _group(event, "instrument", "NXem_instrument")
    instrument["type"] = "tem"
    stage = frame.stage
    exposure = frame.exposure
    values: dict[str, Value | None] = {
        "x_nm": stage.x_nm,
        "y_nm": stage.y_nm,
        "z_nm": stage.z_nm,
        "alpha_deg": stage.alpha_deg,
        "beta_deg": stage.beta_deg,
        "field_of_view_nm": exposure.field_of_view_nm,
        "dwell_us": exposure.dwell_us,
        "scan_rotation_deg": exposure.rotation_deg,
        **_optics(frame.optics),
    }
    for path, (value, unit) in to_nexus(values).items():
        _put(event, path.removeprefix(_EVENT), value, unit)
    _complete(instrument)
    for name, reading in frame.holder.items():
        if reading.valid and reading.value is not None:
            sensor = _group(instrument, f"sensor_{name}", "NXsensor")
            sensor["value"] = reading.value
            sensor["value"].attrs["units"] = reading.unit
    event_signals(event, row, frame)


def _complete(instrument: h5py.Group) -> None:
    """What NXem demands of a stage and a scan, where nobody told: not a number, with a comment, never 0."""
    stage = instrument["stage"] if "stage" in instrument else _group(instrument, "stage", "NXmanipulator")
    for name in ("tilt1", "tilt2", "rotation"):
        if name not in stage:
            stage[name] = np.nan
            stage[name].attrs.update({"units": "rad", "comment": "the stage has no such axis, or did not tell"})
    instrument["ebeam_column/scan_controller/scan_schema"] = "raster"


def _optics(optics: Optics) -> dict[str, Value | None]:
    names = ("voltage_kV", "current_pA", "convergence_mrad", "defocus_nm", "stig_a_nm", "stig_b_nm", "spherical_nm")
    return {name: getattr(optics, name) for name in names}


_CLASSES = {
    "instrument": "NXem_instrument",
    "stage": "NXmanipulator",
    "optics": "NXem_optical_system",
    "ebeam_column": "NXebeam_column",
    "electron_source": "NXsource",
    "scan_controller": "NXscan_controller",
    "beam": "NXbeam",
    "corrector_cs": "NXcorrector_cs",
    "tableau": "NXprocess",
    "detector": "NXdetector",
    "fabrication": "NXfabrication",
}


def _put(event: h5py.Group, path: str, value: Value | tuple[float | None, ...], unit: str | None) -> None:
    """A field with its unit, and the groups on the way to it."""
    *groups, name = path.split("/")
    place = event
    for each in groups:
        kind = _CLASSES.get(each, "NXaberration" if each.startswith("c_") else "NXcollection")
        place = place[each] if each in place else _group(place, each, kind)
    data: Any = np.array([np.nan if v is None else v for v in value]) if isinstance(value, tuple) else value
    place[name] = data
    if unit is not None and unit != "1":
        place[name].attrs["units"] = unit


def _group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _read_back(reader: SurveyReader, path: Path) -> None:
    """Every frame of the file against the record, bit by bit."""
    with h5py.File(path) as file:
        for row in reader.exposures():
            for name, data in (reader.frame(row.id) if row.frame is not None else {}).items():
                event = file[f"entry/measurement/event{row.id}"].values()
                found = [group for group in event if isinstance(group, h5py.Group) and _detector(group) == name]
                if len(found) != 1 or not np.array_equal(_data(found[0]), data, equal_nan=data.dtype.kind in "fc"):
                    raise ExportError(f"{name} of exposure {row.id} did not read back from {path} as it was recorded")


def _detector(group: h5py.Group) -> str | None:
    told = group.get("process/detector_identifier")
    return None if told is None else str(told.asstr()[()])


def _data(group: h5py.Group) -> Any:
    (shown,) = (each for each in group.values() if each.attrs.get("NX_class") == "NXdata")
    return shown[shown.attrs["signal"]][...]
