"""Libraries between laboratories: bundles that are written, checked and taken in whole or not at all.

``experiments.jsonl`` and ``results.jsonl`` hold a record a line with its origin, ``embeddings/MODEL.f32`` vectors in
the order of ``embeddings/MODEL.json``. Rules, by what an experiment is (``uid``) and what is told of it (``content``):

- unknown: taken in, with the origin that it has.
- the same content, or one that a later telling has replaced: nothing is done. So importing twice changes nothing, and
  an older bundle undoes no newer one.
- the same experiment, told later (``revision``) by the library that first told it, with at least as many frames: theirs
  replaces it, and what it said before is kept aside.
- otherwise a conflict: ours stays, theirs is kept aside in ``conflicts`` for a person.

``overviews.jsonl`` holds what surveys saw from above and what came of it, where there are any: one goes with an
experiment that is told here as there, and of two the one on which people said more stays.

``campaigns.jsonl`` holds entries of campaigns, where there are any: what is not known is added, and nothing replaced.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydantic_core import to_json

from archive.bundle import PART_BYTES, Member, crate, person, software, write_bundle
from archive.bundle_reading import BundleError, open_bundle
from archive.campaign_entries import Entry, entry_json, entry_of
from archive.journal import utc_now
from archive.library import Library
from archive.library_campaigns import entries_of
from archive.library_engine import on_server
from archive.library_overview import overview_at
from archive.library_records import (
    MODEL_NAME,
    Experiment,
    LibraryError,
    Result,
    Source,
    canonical,
    checked,
    experiment_of,
    result_of,
)
from archive.overview_lines import overview_line, overview_of_line
from archive.software import commit, version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from archive.bundle_reading import Bundle
    from archive.library_overview import Overview
    from archive.library_records import Vector

Record: TypeAlias = "Experiment | Result | Entry | tuple[str, Overview]"

FORMAT = "adaptem library 1"
_CAMPAIGNS, _OVERVIEWS = "campaigns.jsonl", "overviews.jsonl"
MOST_BYTES = 2 << 30
"""Of a bundle, unpacked: its members are read whole."""
_MOST_LINE = 4 << 20
_MOST_SIZE = 65_536
_ABOUT_BYTES, _ESCAPED = 4096, 6
"""Of what is told of vectors, besides the uids; bytes of a letter that JSON escapes."""


def export_bundle(
    library: Library,
    path: Path,
    numbers: Sequence[int] | None = None,
    *,
    campaign: str | None = None,
    licence_url: str | None = None,
    author: str | None = None,
    orcid_url: str | None = None,
) -> int:
    """Write the experiments of these numbers (None: all) with results of their specimens; how many.

    Of campaigns the entries of ``campaign`` go along; of all, where all experiments go. Raises OSError; BundleError
    where what was written could not be taken in by another.
    """
    kept = list(library.all()) if numbers is None else library.many(numbers)
    specimens = {each.experiment.specimen for each in kept}
    results = [
        (result, origin) for result, origin in library.results() if numbers is None or result.specimen in specimens
    ]
    vectors: dict[str, list[tuple[str, Vector]]] = {}
    for each in kept:
        for model, vector in library.embeddings(each.id).items():
            vectors.setdefault(model, []).append((each.experiment.uid, vector))
    lines = b"".join(_line(each.origin, "experiment", each.experiment) for each in kept)
    found = b"".join(_line(origin, "result", result) for result, origin in results)
    members = [Member("experiments.jsonl", lines), Member("results.jsonl", found)]
    whose = entries_of(library.database, campaign) if campaign or numbers is None else []
    if whose:
        members.append(Member(_CAMPAIGNS, b"".join(_line(origin, "entry", entry) for entry, origin in whose)))
    seen = [(each, overview_at(library.database, each.id)) for each in kept]
    told = (
        _told(each.origin, "overview", to_json(overview_line(each.experiment.uid, one))) for each, one in seen if one
    )
    if above := b"".join(told):
        members.append(Member(_OVERVIEWS, above))
    for model, rows in vectors.items():
        about = {"model": model, "size": len(rows[0][1]), "uids": [uid for uid, _ in rows]}
        members.append(Member(f"embeddings/{model}.json", json.dumps(about).encode()))
        members.append(Member(f"embeddings/{model}.f32", np.stack([v for _, v in rows]).astype("<f4").tobytes()))
    write_bundle(path, members, _crate(library, len(kept), members, licence_url, author, orcid_url))
    with open_bundle(path, MOST_BYTES) as bundle:  # as who gets it will
        bundle.crate()
    return len(kept)


def import_bundle(library: Library, path: Path) -> dict[str, int]:
    """Check a bundle and take it in, all or nothing; how many were new, same, revised, in conflict.

    Raises BundleError, LibraryError.
    """
    with open_bundle(path, MOST_BYTES) as bundle:
        entities = bundle.crate()
        root = entities["./"]
        if root.get("additionalType") != FORMAT:
            found = root.get("additionalType") or root.get("name")
            raise BundleError(f"{path} is no bundle of a library that is known here ({found!r}); expected {FORMAT!r}")
        origin = _writable(str(root.get("identifier", "unknown")), f"{path}: the crate's identifier")
        told = [
            (experiment, whose)
            for experiment, whose in _records(bundle, "experiments.jsonl", "experiment")
            if isinstance(experiment, Experiment)
        ]
        vectors = _vectors(bundle, {experiment.uid for experiment, _ in told})
        experiments = [(experiment, vectors.get(experiment.uid, {}), whose) for experiment, whose in told]
        results = [
            (result, whose)
            for result, whose in _records(bundle, "results.jsonl", "result")
            if isinstance(result, Result)
        ]
        entries = [
            (entry, whose)
            for entry, whose in (_records(bundle, _CAMPAIGNS, "entry") if _CAMPAIGNS in bundle.names else ())
            if isinstance(entry, Entry)
        ]
        above = _records(bundle, _OVERVIEWS, "overview") if _OVERVIEWS in bundle.names else ()
        overviews = dict(one for one, _ in above if isinstance(one, tuple))
        author, licence = _names(root.get("author"), entities), _references(root.get("license"))
        source = Source(_digest(path), path.name, origin, author or None, ", ".join(licence) or None)
        return library.add_all(experiments, results, entries, overviews=overviews, source=source)


def merge(library: Library, other: Path | str) -> dict[str, int]:
    """Take in another library by the same rules; it is only read. ``other``: a file, or ``postgresql://…``.

    Raises LibraryError.
    """
    if not on_server(other) and not Path(other).is_file():
        raise LibraryError(f"asked to merge {other}, found no such file")
    try:
        with Library(other, create=False, write=False) as theirs:
            kept = list(theirs.all())
            told = [(each.experiment, theirs.embeddings(each.id), each.origin) for each in kept]
            seen = {each.experiment.uid: overview_at(theirs.database, each.id) for each in kept}
            overviews = {uid: one for uid, one in seen.items() if one is not None}
            digest = hashlib.sha256(theirs.id.encode()).hexdigest() if on_server(other) else _digest(Path(other))
            source = Source(digest, Path(theirs.name).name, theirs.id, None, None)
            entries = entries_of(theirs.database)
            return library.add_all(told, theirs.results(), entries, overviews=overviews, source=source)
    except sqlite3.Error as error:
        raise LibraryError(f"asked to merge {other}, found: {error}; restore a copy of it") from error


def _line(origin: str, kind: str, record: Experiment | Result | Entry) -> bytes:
    return _told(origin, kind, entry_json(record) if isinstance(record, Entry) else canonical(record))


def _told(origin: str, kind: str, told: bytes) -> bytes:
    return b'{"origin":' + json.dumps(origin).encode() + f',"{kind}":'.encode() + told + b"}\n"


def _read(kind: str, data: str) -> Record:
    if kind == "entry":
        return entry_of(data)
    if kind == "overview":
        return overview_of_line(json.loads(data))
    return checked(experiment_of(data)) if kind == "experiment" else result_of(data)


def _records(bundle: Bundle, name: str, kind: str) -> Iterator[tuple[Record, str]]:
    """Every line, checked as if it were typed here."""
    for number, line in enumerate(bundle.read(name).splitlines(), start=1):
        where = f"{bundle.path}: {name}, line {number}"
        if len(line) > _MOST_LINE:
            raise BundleError(f"{where} has {len(line)} bytes: no record is so long")
        try:
            told = json.loads(line)
            origin, data = _writable(str(told["origin"]), f"{where}: the origin"), json.dumps(told[kind])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BundleError(f"{where} is no {kind} with its origin ({error})") from error
        try:
            yield _read(kind, data), origin
        except LibraryError as error:
            raise BundleError(f"{where}: {error}; nothing was taken in") from error


def _vectors(bundle: Bundle, known: Collection[str]) -> dict[str, dict[str, Vector]]:
    """By uid and model, of the ``known`` uids that the bundle tells of."""
    most = _ABOUT_BYTES + sum(_ESCAPED * len(uid) + 8 for uid in known)
    found: dict[str, dict[str, Vector]] = {}
    for name in bundle.names:
        if not (name.startswith("embeddings/") and name.endswith(".json")):
            continue
        about = bundle.json(name, most)
        try:
            model, size, uids = str(about["model"]), int(about["size"]), [str(uid) for uid in about["uids"]]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{name} in {bundle.path} does not say what its vectors are ({error})") from error
        if not MODEL_NAME.fullmatch(model):
            raise BundleError(f"{name} in {bundle.path}: {model[:80]!r} is no model's name")
        data = bundle.read(name.removesuffix(".json") + ".f32")
        if not 0 < size <= _MOST_SIZE or len(data) != 4 * size * len(uids):
            raise BundleError(
                f"{name} in {bundle.path} promises {len(uids)} vectors of {size}, found {len(data)} bytes"
            )
        rows = np.frombuffer(data, "<f4").reshape(len(uids), size)
        if np.isinf(rows).any():
            raise BundleError(f"{name} in {bundle.path} holds vectors that are not finite")
        for uid, row in zip(uids, rows, strict=True):
            found.setdefault(uid, {})[model] = row.astype(np.float32)
    return found


def _references(value: object) -> list[str]:
    """What a property of a crate refers to: an entity, a text, or several of them."""
    several = value if isinstance(value, list) else [value]
    found = [each.get("@id") if isinstance(each, dict) else each for each in several]
    return [_writable(each, "a reference of the crate") for each in found if isinstance(each, str)]


def _names(value: object, entities: Mapping[str, Mapping[str, Any]]) -> str:
    names = [entities.get(each, {}).get("name", each) for each in _references(value)]
    return ", ".join(_writable(name, "a name in the crate") for name in names if isinstance(name, str))


def _writable(text: str, what: str) -> str:
    """As it is. Raises BundleError where it cannot be written: half a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BundleError(f"{what} is no text ({error.reason}); nothing was taken in") from error
    return text


def _crate(
    library: Library,
    count: int,
    members: Sequence[Member],
    licence_url: str | None,
    author: str | None,
    orcid_url: str | None,
) -> dict[str, Any]:
    who, program, now = (
        person(author, orcid_url),
        software(version(), commit()),
        utc_now().isoformat(timespec="seconds"),
    )
    kinds = {".jsonl": "application/jsonl", ".json": "application/json", ".f32": "application/octet-stream"}
    parts = [
        {"@id": member.name, "@type": "File", "name": member.name}
        | {"encodingFormat": kinds[member.name[member.name.rindex(".") :]]}
        for member in members
    ]
    action = {
        "@id": "#export", "@type": "CreateAction", "name": "Export of a library of experiments", "endTime": now,
        "agent": {"@id": who["@id"]}, "instrument": {"@id": program["@id"]}, "result": [{"@id": "./"}],
    }  # fmt: skip
    return crate(
        name=f"{count} electron microscopy experiments",
        description="Conditions and outcomes of prior experiments, for adaptem; each keeps its own licence",
        published_utc=now,
        licence_url=licence_url,
        parts=parts,
        entities=[who, program, action],
        root={"additionalType": FORMAT, "identifier": library.id, "author": {"@id": who["@id"]}},
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            digest.update(part)
    return digest.hexdigest()
