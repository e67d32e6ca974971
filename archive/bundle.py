"""A bundle: a zip with RO-Crate 1.1 metadata and the SHA-256 of everything in it.

``ro-crate-metadata.json`` says what it is, whose and by which program; ``manifest-sha256.txt`` (lines as ``sha256sum``
writes them) lists every other member. ``bundle_reading`` opens one and believes nothing that it has not checked.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MANIFEST = "manifest-sha256.txt"
METADATA = "ro-crate-metadata.json"
PART_BYTES = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every member: when a file was copied says nothing."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle: bytes at hand, or a file to be copied."""

    name: str
    source: bytes | Path
    squeeze: bool = True
    """False for what is compressed already."""


def write_bundle(path: Path, members: Iterable[Member], crate: Mapping[str, Any]) -> None:
    """Write the members, then the crate's metadata, then the checksums. Raises OSError."""
    sums: dict[str, str] = {}
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as archive:
        for member in members:
            sums[member.name] = _add(archive, member)
        text = json.dumps(crate, indent=2, ensure_ascii=False, allow_nan=False)
        sums[METADATA] = _add(archive, Member(METADATA, text.encode()))
        manifest = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        _add(archive, Member(MANIFEST, manifest.encode()))


def _add(archive: zipfile.ZipFile, member: Member) -> str:
    """Its SHA-256, read once."""
    info = zipfile.ZipInfo(member.name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED if member.squeeze else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    digest = hashlib.sha256()
    with archive.open(info, "w", force_zip64=True) as out:
        if isinstance(member.source, bytes):
            digest.update(member.source)
            out.write(member.source)
        else:
            with member.source.open("rb") as file:
                while part := file.read(PART_BYTES):
                    digest.update(part)
                    out.write(part)
    return digest.hexdigest()


def crate(
    *,
    name: str,
    description: str,
    published_utc: str,
    licence_url: str | None,
    parts: Sequence[Mapping[str, Any]],
    entities: Sequence[Mapping[str, Any]] = (),
    root: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The metadata document of RO-Crate 1.1 (w3id.org/ro/crate/1.1), as JSON-LD.

    ``parts`` are the files and folders, ``entities`` everything else (people, programs, actions), ``root`` more
    properties of the crate itself.
    """
    licence: dict[str, Any] = {
        "@id": licence_url or "#no-licence",
        "@type": "CreativeWork",
        "name": licence_url or "No licence was told: ask before use",
    }
    whole = {
        "@id": "./",
        "@type": "Dataset",
        "name": name,
        "description": description,
        "datePublished": published_utc,
        "license": {"@id": licence["@id"]},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        **(root or {}),
    }
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "about": {"@id": "./"},
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    }
    return {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [descriptor, whole, licence, *parts, *entities],
    }


def person(name: str | None, orcid_url: str | None) -> dict[str, Any]:
    """Who did it: by ORCID iD where that is told."""
    return {"@id": orcid_url or "#operator", "@type": "Person", "name": name or "not told"}


def software(version: str, commit: str | None) -> dict[str, Any]:
    """The program, to its commit."""
    told = f"{version}+{commit}" if commit else version
    entity = {"@id": "#adaptem", "@type": "SoftwareApplication", "name": "adaptem", "softwareVersion": told}
    return entity | {"version": told}
