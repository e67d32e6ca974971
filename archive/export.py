"""A finished survey for other people's programs: what is told of it, and how a file of it comes to be.

A copy is written beside its place, read back, made durable and only then given its name: a crash or a refusal leaves
nothing that looks like an export. The record itself is only read.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archive.durable import sync_file, sync_folder
from archive.errors import ArchiveError, FolderInUse
from archive.folder import holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archive.reader import SurveyReader

_NOT_INSTRUMENTS = frozenset({"simulated", "detwin"})
"""Kinds of instrument that are simulations."""


class ExportError(ArchiveError):
    """An export could not be written, or did not read back as what was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every form of export tells of a survey as a whole. None = nobody told."""

    name: str
    created_utc: str
    ended_utc: str
    who: Mapping[str, Any]
    instrument: str
    """The kind of driver."""
    model: str
    is_simulation: bool
    seed: int
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    policies: tuple[str, ...]
    """Names and hashes of the policies that decided."""
    deciders: tuple[str, ...]
    """agent, person, runner, fallback: who decided at all."""
    specimens: tuple[str, ...]
    frames: int
    """Committed exposures."""
    electrons: float
    """Sent onto the specimens by the exposures that are kept or lost."""

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(self.who.get("elements") or ())

    @property
    def licence_url(self) -> str | None:
        licence = self.who.get("licence")
        return f"https://spdx.org/licenses/{licence}" if licence and " " not in licence else licence

    @property
    def orcid_url(self) -> str | None:
        orcid = self.who.get("orcid")
        return f"https://orcid.org/{orcid}" if orcid else None

    def not_told(self) -> tuple[str, ...]:
        """What others will miss, by its name in the config."""
        wanted = ("operator", "orcid", "sample", "elements", "prepared", "licence")
        return tuple(f"who.{name}" for name in wanted if not self.who.get(name))


def facts_of(reader: SurveyReader) -> Facts:
    """Read rows, never pixels. Raises FolderInUse while somebody writes the survey."""
    if (writer := holder(reader.folder)) is not None:
        raise FolderInUse(
            f"asked to export {reader.folder}, found process {writer or '?'} still writing it: wait for its end, "
            "or stop it with 'adaptem stop'"
        )
    policies: dict[str, None] = {}
    deciders: dict[str, None] = {}
    for step in reader.steps():
        deciders.setdefault(step.decision.decided_by)
        if step.decision.policy:
            policies.setdefault(step.decision.policy)
    specimens: dict[str, None] = {}
    frames, electrons, ended_utc = 0, 0.0, reader.meta.created_utc
    for row in reader.exposures():
        specimens.setdefault(row.specimen)
        ended_utc = max(ended_utc, row.end_utc or row.intent_utc)
        if row.frame is not None:
            frames += 1
            electrons += row.frame.electrons
    instrument = reader.meta.config.get("instrument") or {}
    kind = str(instrument.get("kind", "unknown"))
    return Facts(
        name=reader.folder.resolve().name,
        created_utc=reader.meta.created_utc,
        ended_utc=ended_utc,
        who=reader.meta.who,
        instrument=kind,
        model=str(instrument.get("name") or kind),
        is_simulation=kind in _NOT_INSTRUMENTS,
        seed=reader.meta.seed,
        versions=reader.meta.versions,
        config=reader.meta.config,
        policies=tuple(policies),
        deciders=tuple(deciders),
        specimens=tuple(specimens),
        frames=frames,
        electrons=electrons,
    )


def publish(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` make the file or folder under a name of its own, then give it ``path``, durably.

    Raises ExportError where ``path`` is taken; whatever ``write`` raises leaves nothing behind.
    """
    if path.exists():
        raise ExportError(f"asked to write {path}, found it there already: remove it, or name another with --out")
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        _sync(partial)
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        _remove(partial)
        raise ExportError(
            f"asked to write {path}, found: {error.strerror or error}; free room or choose --out"
        ) from error
    except BaseException:
        _remove(partial)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if path.is_dir():
        for inner in path.rglob("*"):
            sync_folder(inner) if inner.is_dir() else sync_file(inner)
        sync_folder(path)
    else:
        sync_file(path)
