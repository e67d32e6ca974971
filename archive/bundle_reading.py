"""Opening a bundle that somebody sent: refused unless every name, size and checksum in it is as it should be."""

from __future__ import annotations

import hashlib
import json
import lzma
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from archive.bundle import MANIFEST, METADATA, PART_BYTES
from archive.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_MEMBERS = 1_000_000
MOST_BYTES = 64 << 30
"""Unpacked, over all members."""
MOST_RATIO = 200
"""Of unpacked to packed size, above ``_SMALL_BYTES``: a bomb unpacks to a thousand times its size and more."""
_SMALL_BYTES = 16 << 20
_MANIFEST_BYTES = 256 << 20
_JSON_BYTES = 1 << 20
"""Of the crate's own description: read as JSON, a text takes fifty times its size in memory."""
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    OSError, ValueError,
)  # fmt: skip
"""What Python's zip reader answers to damage, encryption, names in no encoding, and methods that it does not know."""


class BundleError(ArchiveError):
    """The file is no bundle, or not the one that was written: nothing of it was taken."""


class Bundle:
    """A checked bundle. Members are read whole or in parts; nothing is ever unpacked by the archive's own names."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, sums: Mapping[str, str]) -> None:
        self.path = path
        self.sums = sums
        """SHA-256 by name, of every member but the manifest."""
        self._archive = archive

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.sums)

    def read(self, name: str) -> bytes:
        """Raises BundleError for a name that is not in it."""
        if name not in self.sums:
            raise BundleError(
                f"asked for {name} in {self.path}, found no such member; it holds {len(self.sums)} others"
            )
        try:
            return self._archive.read(name)
        except _DAMAGE as error:
            raise BundleError(f"{name} in {self.path} is damaged ({error}): ask for the bundle again") from error

    def json(self, name: str, most_bytes: int = _JSON_BYTES) -> Any:
        """Raises BundleError where it is no JSON, or a longer one."""
        if name in self.sums and (size := self._archive.getinfo(name).file_size) > most_bytes:
            raise BundleError(f"{name} in {self.path} has {size} bytes of JSON, more than {most_bytes}: refused")
        try:
            return json.loads(self.read(name))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{name} in {self.path} is no JSON ({error}): ask for the bundle again") from error

    def crate(self) -> dict[str, dict[str, Any]]:
        """The crate's entities by id. Raises BundleError where it has no root."""
        graph = self.json(METADATA)
        entities = graph.get("@graph") if isinstance(graph, dict) else None
        known = entities if isinstance(entities, list) else []
        found = {str(each.get("@id")): each for each in known if isinstance(each, dict)}
        if "./" not in found:
            raise BundleError(f"{METADATA} in {self.path} describes no dataset './': it is no RO-Crate")
        return found


@contextmanager
def open_bundle(path: Path, most_bytes: int = MOST_BYTES) -> Iterator[Bundle]:
    """Check all of it, then give it. Raises BundleError, with the first thing that is wrong.

    ``most_bytes``: unpacked, over all members; who reads members whole gives what fits into memory.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise BundleError(f"asked for the bundle {path}, found no such file") from error
    except _DAMAGE as error:
        raise BundleError(f"asked for the bundle {path}, found no whole zip ({error}): ask for it again") from error
    with archive:
        try:
            _check_members(path, archive, most_bytes)
            sums = _checked_sums(path, archive)
        except _DAMAGE as error:
            raise BundleError(f"{path} is damaged ({error}): ask for it again; nothing was taken from it") from error
        yield Bundle(path, archive, sums)


def _check_members(path: Path, archive: zipfile.ZipFile, most_bytes: int) -> None:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise BundleError(
            f"{path} has {len(members)} members, more than {MOST_MEMBERS}: no bundle of ours is like that"
        )
    seen: set[str] = set()
    total = 0
    for member in members:
        name = member.filename
        pure = PurePosixPath(name)
        wrong = None
        if not name or "\\" in name or ":" in name or "\0" in name or pure.is_absolute() or ".." in pure.parts:
            wrong = "leads out of its folder"
        elif member.is_dir():
            wrong = "is a folder, where only files belong"
        elif stat.S_ISLNK(member.external_attr >> 16):
            wrong = "is a link"
        elif member.flag_bits & 1:
            wrong = "is encrypted"
        elif name in seen:
            wrong = "is there twice"
        elif member.file_size > _SMALL_BYTES and member.file_size > MOST_RATIO * max(member.compress_size, 1):
            sizes = f"{member.file_size / 2**20:.0f} MiB from {member.compress_size / 2**10:.0f} KiB"
            wrong = f"unpacks to {sizes}, as bombs do"
        if wrong is not None:
            raise BundleError(f"{path}: member {name!r} {wrong}; refused, and nothing was taken from it")
        seen.add(name)
        total += member.file_size
    if total > min(most_bytes, max(MOST_RATIO * path.stat().st_size, _SMALL_BYTES)):  # members may overlap
        raise BundleError(f"{path} unpacks to {total / 2**30:.1f} GiB, far more than it holds: refused")


def _checked_sums(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """Every member against the manifest, and the manifest against the members."""
    there = {member.filename for member in archive.infolist()}
    if MANIFEST not in there or METADATA not in there:
        lacking = MANIFEST if MANIFEST not in there else METADATA
        raise BundleError(f"{path} has no {lacking}: it is no bundle, or was cut")
    if archive.getinfo(MANIFEST).file_size > _MANIFEST_BYTES:
        raise BundleError(f"{path}: its manifest is too large to be one")
    sums = {}
    for line in archive.read(MANIFEST).decode("utf-8", errors="replace").splitlines():
        promised, gap, name = line.partition("  ")
        if not gap or len(promised) != 64:
            raise BundleError(f"{path}: {line[:80]!r} is no line of a manifest")
        sums[name] = promised
    if unlike := (there ^ {*sums, MANIFEST}):
        first = min(unlike)
        found = "is not in the manifest" if first in there else "is in the manifest and not there"
        raise BundleError(f"{path}: {first!r} {found}; refused, and nothing was taken from it")
    for name, promised in sums.items():
        digest = hashlib.sha256()
        with archive.open(name) as file:
            while part := file.read(PART_BYTES):
                digest.update(part)
        if digest.hexdigest() != promised:
            raise BundleError(f"{path}: {name!r} is not what its checksum says; refused, ask for it again")
    return sums
