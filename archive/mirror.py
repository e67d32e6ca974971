"""Committed frames on a facility's storage, while the survey runs or afterwards: a copier that only reads the survey.

    snapshot of the journal ─► chunks and metadata of every frame in it ─► frames read there ─► small files ─► snapshot

A file is copied under a name of its own, read back from there, compared, and only then given its name; its checksum
goes into ``manifest-sha256.txt``. Then each new frame is read from the copy and held against the checksum in the
journal. The journal comes last, so that the copy never speaks of a frame that it does not hold. A storage that fails is
tried again later; a copier that is stopped goes on where it was. A survey that cannot be read is not tried again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archive.bundle import MANIFEST, PART_BYTES
from archive.errors import ArchiveError, DamagedFrame, FolderError
from archive.folder import holder, read_meta
from archive.rows import Rows, open_read_only
from archive.sqlite_reading import snapshot
from archive.store import FrameStore
from archive.streams import array_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Between two tries of a storage that fails: doubled each time, up to the longest."""
_SMALL = ("survey.json", "report.html", "report.json", "history.json", "health.json")
_LABELS = "labels.sqlite"
_LASTING = (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError)
"""What waiting does not mend."""


class MirrorError(ArchiveError):
    """The copy cannot be made or believed."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What one pass, or all of them, did."""

    copied: int
    """Files."""
    copied_bytes: int
    retries: int
    frames: int
    """Committed exposures that the copy now holds."""


class Mirror:
    """Copies one survey into ``target``/NAME. Raises FolderError, MirrorError."""

    def __init__(self, folder: Path, target: Path) -> None:
        read_meta(folder)
        self._folder = folder.resolve()
        self.place = target / self._folder.name
        if self.place.resolve() == self._folder or self._folder in self.place.resolve().parents:
            raise MirrorError(f"asked to copy {folder} into itself: name another folder")
        self._sums: dict[str, str] = {}
        self._begun = False

    def run(
        self,
        *,
        watch: bool,
        wait: Callable[[float], None],
        poll_s: float = 2.0,
        most_retries: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Mirrored:
        """Copy what is committed; with ``watch`` until nobody writes the survey any more and all of it is there.

        ``wait``: sleeps so many seconds. ``most_retries``: failures in a row after which the last error is raised; None
        = never, as long as the copier is wanted. ``tell`` gets a line when the storage fails, and when it is back.
        Raises MirrorError, JournalError.
        """
        total, failures, wait_s = Mirrored(0, 0, 0, 0), 0, FIRST_WAIT_S
        while True:
            running = watch and holder(self._folder) is not None
            try:
                done = self.once()
            except _LASTING as error:
                raise MirrorError(
                    f"asked to copy to {self.place}, found: {error.strerror or error} ({error.filename}); name another "
                    "folder, or make it one that may be written"
                ) from error
            except OSError as error:
                failures += 1
                total = replace(total, retries=total.retries + 1)
                if most_retries is not None and failures > most_retries:
                    raise MirrorError(
                        f"asked to copy to {self.place}, found {failures} times: {error.strerror or error}; what was "
                        "copied stays, run it again when the storage is back"
                    ) from error
                if failures == 1:
                    tell(f"{self.place} fails ({error.strerror or error}): tried again until it is back")
                wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            if failures:
                tell(f"{self.place} is back")
            failures, wait_s = 0, FIRST_WAIT_S
            total = Mirrored(
                total.copied + done.copied, total.copied_bytes + done.copied_bytes, total.retries, done.frames
            )
            if not running:
                return total
            wait(poll_s)

    def once(self) -> Mirrored:
        """One pass.

        Raises OSError where the storage fails, MirrorError where a copy differs or the survey cannot be read or lacks
        what its journal tells, JournalError.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        if not self._begun:
            self._sums, self._begun = self._known(), True
        copied = size = 0
        with tempfile.TemporaryDirectory() as spare:
            journal, labels = Path(spare) / "journal.sqlite", Path(spare) / _LABELS
            with _of_the_survey():
                with closing(open_read_only(self._folder / "journal.sqlite")):  # of a version that is known here
                    snapshot(self._folder / "journal.sqlite", journal)
                if (self._folder / _LABELS).is_file():
                    snapshot(self._folder / _LABELS, labels)
            with closing(open_read_only(journal)) as database:
                rows = Rows(database)
                with _of_the_survey():
                    files = list(self._files(rows))
                new = {name for _, name in files}
                for source, name in files:
                    copied, size = self._counted(source, name, copied, size)
                held = self._held(rows, new)
            small = [(self._folder / name, name) for name in _SMALL if (self._folder / name).is_file()]
            for source, name in [*small, *([(labels, _LABELS)] if labels.is_file() else []), (journal, journal.name)]:
                copied, size = self._counted(source, name, copied, size)
        return Mirrored(copied, size, 0, held)

    def _counted(self, source: Path, name: str, copied: int, size: int) -> tuple[int, int]:
        return (copied + 1, size + source.stat().st_size) if self._copy(source, name) else (copied, size)

    def _held(self, rows: Rows, new: Collection[str]) -> int:
        """How many exposures the copy holds: all, and every frame with ``new`` files has its checksum.

        Raises MirrorError for a frame that it does not hold as it was committed.
        """
        there, stored, frames = FrameStore(self.place / "frames"), [], 0
        for row in rows.exposures():
            frames += row.frame is not None
            stored += [(row.id, signal) for signal in (row.signals if row.frame is not None else ())]
        places: dict[str, list[tuple[int, int]]] = {}
        for _, signal in stored:
            places.setdefault(signal.stream, []).append((signal.first, signal.count))
        absent = {stream: set(there.missing(stream, wanted)) for stream, wanted in places.items()}
        copied = {(name.rpartition("/")[0], name.rpartition("/")[2].split(".")[1]) for name in new if "/c." in name}
        for exposure, signal in stored:
            array = array_folder(self._folder / "frames", signal.stream).relative_to(self._folder).as_posix()
            indices = range(signal.first, signal.first + signal.count)
            try:
                if signal.first in absent[signal.stream] or any((array, str(n)) in copied for n in indices):
                    there.read(signal)
            except DamagedFrame as error:
                raise MirrorError(
                    f"the copy does not hold exposure {exposure} as it was committed: {error}; its journal was not "
                    "copied. Restore the frame in the survey, or begin the copy anew where the survey has it"
                ) from error
        return frames

    def _files(self, rows: Rows) -> Iterator[tuple[Path, str]]:
        """What the snapshot speaks of: chunks never change once they are committed, metadata may."""
        frames = self._folder / "frames"
        streams: dict[str, set[int]] = {}
        for _, stream, first, count in rows.places():
            streams.setdefault(stream, set()).update(range(first, first + count))
        for stream, wanted in streams.items():
            array = array_folder(frames, stream)
            for file in sorted({*(frames / f"{stream}.zarr").glob("zarr.json"), *array.glob("zarr.json")}):
                yield file, file.relative_to(self._folder).as_posix()
            for entry in sorted(os.listdir(array)):
                parts = entry.split(".")
                if parts[0] == "c" and len(parts) > 1 and parts[1].isdecimal() and int(parts[1]) in wanted:
                    name = (array / entry).relative_to(self._folder).as_posix()
                    if name not in self._sums:
                        yield array / entry, name
        for name in _SMALL:
            if (self._folder / name).is_file():
                yield self._folder / name, name

    def _copy(self, source: Path, name: str) -> bool:
        """Whether it had to be copied. Raises OSError, MirrorError."""
        target = self.place / name
        with _of_the_survey():
            digest = _digest(source)
        if self._sums.get(name) == digest and target.is_file():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".partial")
        try:
            shutil.copyfile(source, partial)
        except OSError as error:
            if error.filename == str(source):
                raise MirrorError(f"asked to copy {source}, found: {error.strerror}") from error
            raise
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if (found := _digest(partial)) != digest and (now := _digest(source)) != found:
            partial.unlink(missing_ok=True)
            raise MirrorError(
                f"{name} read back from {self.place} as {found[:12]}…, the survey has {now[:12]}…: try again"
            )
        partial.replace(target)
        self._note(name, found)
        return True

    def _note(self, name: str, digest: str) -> None:
        """The last line about a file counts."""
        with (self.place / MANIFEST).open("a", encoding="utf-8") as manifest:
            manifest.write(f"{digest}  {name}\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        self._sums[name] = digest

    def _known(self) -> dict[str, str]:
        """What an earlier copier finished; a line that was cut by its end is not."""
        manifest = self.place / MANIFEST
        if not manifest.is_file():
            if any(self.place.iterdir()):
                raise FolderError(f"asked to copy to {self.place}, found other files there: name another folder")
            manifest.touch()  # from here on it is ours
            return {}
        lines = [line.partition("  ") for line in manifest.read_text(encoding="utf-8").splitlines()]
        known = {name: digest for digest, gap, name in lines if gap and len(digest) == 64}
        return {name: digest for name, digest in known.items() if (self.place / name).is_file()}

    def tidy(self) -> None:
        """Rewrite the manifest with a line a file, as ``sha256sum -c`` wants it. Raises OSError."""
        manifest = self.place / MANIFEST
        partial = manifest.with_name(manifest.name + ".partial")
        partial.write_text(
            "".join(f"{digest}  {name}\n" for name, digest in sorted(self._sums.items())), encoding="utf-8"
        )
        partial.replace(manifest)


@contextmanager
def _of_the_survey() -> Iterator[None]:
    """What fails here is the survey, not the storage: waiting does not mend it."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise MirrorError(f"asked to copy a survey, found that it cannot be read: {error}") from error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            digest.update(part)
    return digest.hexdigest()
