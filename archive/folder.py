"""A survey's folder: what it is, who may write to it."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from archive.durable import make_folder, write_atomically
from archive.errors import FolderError, FolderInUse
from archive.room import MEBIBYTE
from archive.schema import UPGRADES, dump, parse
from archive.software import commit
from instruments.ledger_sqlite import free_bytes

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "fuse.sshfs", "9p", "lustre", "ceph"})
"""File systems whose locks and syncs cannot be believed."""
_PACKAGES = ("adaptem", "numpy", "scipy", "scikit-image", "zarr", "numcodecs", "pydantic", "gymnasium", "torch")
_OURS = ("survey.json", "journal.sqlite", "ledger.sqlite", "frames")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What ``survey.json`` keeps: enough to know, and to repeat, the survey."""

    created_utc: str
    seed: int
    config: Mapping[str, Any]
    """The whole configuration, as plain JSON."""
    who: Mapping[str, Any]
    """Operator, ORCID, proposal, sample, licence, embargo."""
    versions: Mapping[str, str]
    schema_version: int = len(UPGRADES)
    """Of the journal when the survey began; the journal itself says the present one (``PRAGMA user_version``)."""

    @property
    def identity(self) -> str:
        """Which survey this is, whatever its folder is called and wherever it lies; a library's uids begin with it."""
        return f"survey:{self.created_utc}:{self.seed}"

    @classmethod
    def new(cls, *, created: datetime, seed: int, config: Mapping[str, Any], who: Mapping[str, Any]) -> Meta:
        """With the versions of what runs here."""
        return cls(created_utc=created.isoformat(), seed=seed, config=config, who=who, versions=versions())


_META = TypeAdapter(Meta)


class SurveyFolder:
    """A folder that this process alone writes to, until ``close``.

    ``survey.json``, ``journal.sqlite``, ``ledger.sqlite``, ``frames/<stream>.zarr``, ``lock``, ``health.json``.
    """

    def __init__(self, path: Path, meta: Meta, lock: int) -> None:
        self.path = path
        self.meta = meta
        self._lock: int | None = lock

    @classmethod
    def create(cls, path: Path, meta: Meta, *, room_bytes: int = 0) -> SurveyFolder:
        """Make a new survey's folder and lock it. Nothing that is already there is touched.

        Raises FolderError where it holds a survey already, cannot be written, lies on a network, or has less room than
        ``room_bytes``.
        """
        path = path.resolve()
        _refuse_network(path)
        try:
            make_folder(path)
            lock = _take_lock(path)
        except OSError as error:
            raise FolderError(f"asked to write a survey to {path}, found: {error.strerror}; choose another") from error
        try:
            _refuse_survey(path)
            free = free_bytes(path)
            if free < room_bytes:
                raise FolderError(
                    f"asked for {room_bytes / MEBIBYTE:.0f} MiB in {path}, found {free / MEBIBYTE:.0f} MiB free: "
                    "free some, or choose another disk"
                )
            write_atomically(path / "survey.json", dump(meta).encode())
        except BaseException:
            os.close(lock)
            raise
        return cls(path, meta, lock)

    @classmethod
    def open(cls, path: Path) -> SurveyFolder:
        """Lock an existing survey's folder to go on with it. Raises FolderError."""
        path = path.resolve()
        meta = read_meta(path)
        _refuse_network(path)
        try:
            lock = _take_lock(path)
        except OSError as error:
            raise FolderError(f"asked to write to {path}, found: {error.strerror}; check its permissions") from error
        return cls(path, meta, lock)

    @property
    def journal(self) -> Path:
        return self.path / "journal.sqlite"

    @property
    def frames(self) -> Path:
        return self.path / "frames"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite"

    def close(self) -> None:
        """Let another process write. Safe twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> SurveyFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_meta(path: Path) -> Meta:
    """What survey.json says. Raises FolderError where there is none, or it cannot be read."""
    try:
        return parse(_META, (path / "survey.json").read_text())
    except FileNotFoundError as error:
        raise FolderError(f"asked for the survey in {path}, found no survey.json: give a survey's folder") from error
    except (OSError, ValidationError) as error:
        raise FolderError(f"asked for the survey in {path}, found an unreadable survey.json: {error}") from error


def write_health(path: Path, health: Mapping[str, object]) -> None:
    """Replace health.json for whoever watches. Not durable: it is about now."""
    write_atomically(path / "health.json", dump(health).encode(), durable=False)


def holder(path: Path) -> int | None:
    """Process id of the writer of the survey in this folder (0: it has not said yet); None when nobody writes."""
    try:
        descriptor = os.open(path / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(_lock_owner(path).get("pid", 0))
    finally:
        os.close(descriptor)
    return None


def versions() -> dict[str, str]:
    """Versions of Python, the system and the packages that shape a record; what is not installed is left out."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    if (source := commit()) is not None:
        found["adaptem commit"] = source
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def file_system(path: Path) -> str | None:
    """Type of the file system that holds this path (ext4, nfs4, …); None where the system does not tell."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    best, kind = -1, None
    for line in mounts.read_text().splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def _refuse_network(path: Path) -> None:
    if (kind := file_system(path)) in _NETWORK:
        raise FolderError(
            f"{path} is on a network file system ({kind}), which cannot promise that a record is kept: "
            "choose a folder on a local disk and copy it afterwards"
        )


def _refuse_survey(path: Path) -> None:
    for name in _OURS:
        if (path / name).exists():
            raise FolderError(
                f"asked to start a survey in {path}, found {name} of an earlier one: "
                "go on with it by 'adaptem resume', or choose another folder"
            )


def _take_lock(path: Path) -> int:
    """An exclusive lock that the system lets go of when this process ends, however it ends."""
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if attempt == 4:
                os.close(descriptor)
                raise FolderInUse(
                    f"{path} is in use by process {_lock_owner(path).get('pid', '?')}: "
                    "wait for it, stop it with 'adaptem stop', or choose another folder"
                ) from error
            time.sleep(0.02)  # somebody may just be looking (``holder``)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "boot": _boot()}).encode(), 0)
    return descriptor


def _lock_owner(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        owner: dict[str, Any] = json.loads((path / "lock").read_text())
        return owner
    return {}


def _boot() -> str:
    """An id of this run of the computer, where the system gives one."""
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""
