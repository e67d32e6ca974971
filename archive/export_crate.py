"""A survey as an RO-Crate: the record itself in a zip, with who made it, by which program and policy, on what terms."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archive.bundle import Member, crate, person, software, write_bundle
from archive.bundle_reading import open_bundle
from archive.errors import JournalError
from archive.journal import utc_now
from archive.schema import dump
from archive.sqlite_reading import snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archive.export import Facts
    from archive.reader import SurveyReader

_ALSO = {
    "report.html": "text/html",
    "report.json": "application/json",
    "history.json": "application/json",
    "labels.sqlite": "application/vnd.sqlite3",
}


def write_crate(reader: SurveyReader, facts: Facts, path: Path) -> None:
    """Write the zip and check it as a receiver would; every frame is read, and must be what was committed.

    Raises DamagedFrame, BundleError, JournalError, OSError.
    """
    for row in reader.exposures():
        if row.frame is not None:
            reader.frame(row.id)  # a damaged record is not handed on
    folder = reader.folder
    with tempfile.TemporaryDirectory() as spare:
        write_bundle(path, _members(folder, Path(spare)), _crate(reader, facts))
    with open_bundle(path) as bundle:
        bundle.crate()


def _members(folder: Path, spare: Path) -> Iterator[Member]:
    """``spare``: an empty folder for databases, of which a part may stand in a log beside the file."""
    yield Member("survey.json", folder / "survey.json")
    for name in ("journal.sqlite", *_ALSO):
        if not (folder / name).is_file():
            continue
        if name.endswith(".sqlite"):
            try:
                snapshot(folder / name, spare / name)
            except sqlite3.Error as error:
                raise JournalError(f"asked to hand on {folder / name}, found: {error}; restore a copy") from error
        yield Member(name, (spare if name.endswith(".sqlite") else folder) / name)
    for file in sorted((folder / "frames").rglob("*")):
        if file.is_file():
            yield Member(file.relative_to(folder).as_posix(), file, squeeze=file.name == "zarr.json")


def _crate(reader: SurveyReader, facts: Facts) -> dict[str, Any]:
    folder = reader.folder
    parts: list[dict[str, Any]] = [
        _file("survey.json", "application/json", "Configuration, people and versions"),
        _file("journal.sqlite", "application/vnd.sqlite3", "Every exposure, step, decision, event and flag"),
        *(_file(name, kind, name) for name, kind in _ALSO.items() if (folder / name).is_file()),
    ]
    parts += [
        {"@id": f"frames/{stream.name}/", "@type": "Dataset", "name": f"Frames {stream.stem} (zarr v3)"}
        for stream in sorted((folder / "frames").glob("*.zarr"))
    ]
    who = person(facts.who.get("operator"), facts.orcid_url)
    program = software(facts.versions.get("adaptem", "source"), facts.versions.get("adaptem commit"))
    policies = [
        {"@id": f"#policy-{number}", "@type": "SoftwareApplication", "name": name, "identifier": name}
        | {"description": "Policy that decided; its name carries the hash of its weights where it has any"}
        for number, name in enumerate(facts.policies, start=1)
    ]
    microscope = {"@id": "#microscope", "@type": "IndividualProduct", "name": facts.model}
    microscope["description"] = "A simulated microscope" if facts.is_simulation else f"Driver {facts.instrument}"
    sample: dict[str, Any] = {
        "@id": "#sample",
        "@type": "Thing",
        "name": facts.who.get("sample") or "not told",
        "description": f"Elements: {', '.join(facts.elements) or 'not told'}; specimens: {', '.join(facts.specimens)}",
    }
    action = {
        "@id": "#survey",
        "@type": "CreateAction",
        "name": f"Survey {facts.name}",
        "startTime": facts.created_utc,
        "endTime": facts.ended_utc,
        "agent": {"@id": who["@id"]},
        "instrument": [{"@id": each["@id"]} for each in (program, *policies, microscope)],
        "object": [{"@id": "#sample"}],
        "result": [{"@id": "./"}],
        "description": f"Decided by {', '.join(facts.deciders) or 'nobody'}; {facts.electrons:.4g} electrons sent",
    }
    return crate(
        name=f"Survey {facts.name}",
        description=f"{facts.frames} exposures of an unattended electron microscopy survey, with every decision",
        published_utc=utc_now().isoformat(timespec="seconds"),
        licence_url=facts.licence_url,
        parts=parts,
        entities=[who, program, *policies, microscope, sample, action],
        root={
            "author": {"@id": who["@id"]},
            "dateCreated": facts.created_utc,
            "mentions": {"@id": "#survey"},
            "keywords": ", ".join(("electron microscopy", *facts.elements)),
            "identifier": f"{facts.name} {facts.created_utc}",
            "variableMeasured": dump(sorted({s.signal for row in reader.exposures() for s in row.signals})),
        },
    )


def _file(name: str, kind: str, description: str) -> dict[str, Any]:
    return {"@id": name, "@type": "File", "name": name, "encodingFormat": kind, "description": description}
