"""What a person said of folders that were flagged earlier, for a new one of like images.

    OLD-flags/say.csv   the answers ─────────────────────────────┐
    OLD-flags/say.json  what the images were like, their p-values ┴─► like these? ─► answers that count here

A folder counts as one specimen. One of other images does not count, and why is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field, FiniteFloat, ValidationError

from configs.errors import ConfigError
from configs.load import Settings
from envs.overviews import LEVELS, apart
from surveys.folder_said import TABLES, answers, hash_of
from surveys.unusual import Answered, believed, expected_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from surveys.folder_said import Cell

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_ALIKE_PIXELS: Ratio = 0.2
_ALIKE_SPREADS = 0.9
"""Folders whose descriptors' quantiles differ by more are of other images. Two folders of one kind that
``benchmarks.flag_nulls`` draws differ by 0.1 to 0.8, those of two by 1.0 to 3.5, unless only few cells hold what
differs; two simulated specimens by 0.2 to 0.4."""
_GAIN = "mean_counts"
"""The descriptor that an image's brightness alone changes: it tells no specimen from another."""


@dataclass(frozen=True, slots=True)
class FolderKind:
    """By what images are known to be like those of another folder."""

    by: str
    """What cells were judged by."""
    cell_px: int
    pixel_size_nm: float | None
    """None where the files do not tell."""
    names: tuple[str, ...]
    """Of F descriptors."""
    quantiles: Array
    """(Q, F) of the cells' descriptors, at ``envs.overviews.LEVELS``."""

    def unlike(self, other: FolderKind) -> str:
        """Why what was said there does not count here; empty where it does. ``other``: of the earlier folder."""
        if other.cell_px != self.cell_px:
            return f"its cells had {other.cell_px} pixels, not {self.cell_px}"
        if other.by != self.by:
            return f"it was judged by {other.by}, not by {self.by}"
        mine, theirs = self.pixel_size_nm, other.pixel_size_nm
        if (mine is None) != (theirs is None):
            told = ("no size" if size is None else f"{size:.3g} nm" for size in (theirs, mine))
            return "its files tell {} of their pixels, these {}".format(*told)
        if mine is not None and theirs is not None and not math.isclose(mine, theirs, rel_tol=_ALIKE_PIXELS):
            return f"its pixels have {theirs:.3g} nm, these {mine:.3g}"
        if other.names != self.names:
            return "its cells were described in other numbers; flag it again"
        told_by = [n for n, name in enumerate(self.names) if name != _GAIN]
        off = apart(other.quantiles[:, told_by], self.quantiles[:, told_by])
        if off > _ALIKE_SPREADS:
            return f"its images are unlike these: by {off:.1f} spreads, and {_ALIKE_SPREADS:g} are allowed"
        return ""


class _Beside(Settings):
    """What lies beside a table of answers."""

    by: str
    cell_px: int = Field(ge=1)
    pixel_size_nm: FiniteFloat | None = Field(gt=0)
    names: tuple[str, ...]
    quantiles: tuple[tuple[FiniteFloat, ...], ...]
    images: dict[str, str]
    """Hashes by name."""
    p_values: dict[str, tuple[tuple[int, int, float], ...]]
    """By the image's name: row, column and p-value of each cell."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said of one earlier folder."""

    folder: Path
    answered: Answered


@dataclass(frozen=True, slots=True)
class Before:
    """What counts of the earlier folders that were named."""

    folders: tuple[Heard, ...] = ()
    passed_over: Mapping[Path, str] = field(default_factory=dict)
    """Those that do not count, and why."""

    def __str__(self) -> str:
        said = sum(len(one.answered.unusual) for one in self.folders)
        unusual = round(sum(one.answered.unusual.sum() for one in self.folders))
        share, low, high = expected_share(believed([one.answered for one in self.folders]))
        here = f"{share:.0%} of the cells here are thought to be unusual ({low:.0%} to {high:.0%})"
        return (
            f"in {len(self.folders)} earlier folder(s) {unusual} of {said} cells were said to be unusual, "
            f"half of them asked about as the most unusual: before anything is seen, about {here}"
        )


def keep_beside(table: Path, kind: FolderKind, p_values: Mapping[Cell, float], images: Sequence[Path]) -> None:
    """Write what a later folder needs of this one, as ``NAME.json`` beside ``table``, over what was there."""
    by_image: dict[str, list[tuple[int, int, float]]] = {}
    for (name, row, column), p in p_values.items():
        by_image.setdefault(name, []).append((row, column, float(f"{p:.4g}")))
    beside = _Beside(
        by=kind.by,
        cell_px=kind.cell_px,
        pixel_size_nm=kind.pixel_size_nm,
        names=kind.names,
        quantiles=tuple(tuple(row) for row in kind.quantiles.round(6).tolist()),
        images={image.name: hash_of(image) for image in images if image.name in by_image},
        p_values={name: tuple(cells) for name, cells in by_image.items()},
    )
    table.with_suffix(".json").write_text(beside.model_dump_json() + "\n", encoding="utf-8")


def heard(folders: Sequence[Path], kind: FolderKind, images: Sequence[Path]) -> Before:
    """What was said of cells of ``folders``, as far as their images are like those of a new one, which has ``images``.

    Raises ConfigError for a folder that no folder of images was flagged into, and for tables that are damaged.
    """
    if not folders:
        return Before()
    here = {hash_of(image): "this folder" for image in images}
    found, passed_over = list[Heard](), dict[Path, str]()
    for folder in folders:
        told = _said_of(folder, kind, here)
        if isinstance(told, str):
            passed_over[folder] = told
            continue
        answered, hashes = told
        here |= dict.fromkeys(hashes, str(folder))
        found.append(Heard(folder, answered))
    return Before(tuple(found), passed_over)


def _said_of(folder: Path, kind: FolderKind, taken: Mapping[str, str]) -> tuple[Answered, set[str]] | str:
    """Its answers and the hashes of its images, or why they do not count. ``taken``: of images, whose they are."""
    tables = sorted(folder.glob(TABLES)) if folder.is_dir() else []
    if not tables:
        raise ConfigError(f"--earlier {folder}: has no say.csv; name a folder that adaptem flag wrote")
    said: dict[tuple[str, int, int], tuple[float, float]] = {}
    hashes, why = set[str](), ""
    for table in tables:
        beside = _read_beside(table)
        theirs = FolderKind(
            beside.by, beside.cell_px, beside.pixel_size_nm, beside.names, np.array(beside.quantiles, dtype=np.float64)
        )
        told = answers(table, beside.cell_px, beside.images.get)
        if not told:
            why = why or "nothing is said in it yet"
            continue
        reason = kind.unlike(theirs)
        mine = {taken[digits] for digits in beside.images.values() if digits in taken}
        if mine:
            reason = f"images of {min(mine)} are among its own"
        if reason:
            why = reason
            continue
        p_values = {(name, row, column): p for name, cells in beside.p_values.items() for row, column, p in cells}
        if missing := sorted(set(told) - set(p_values)):
            name, row, column = missing[0]
            raise ConfigError(f"{table}: {name} at row {row}, column {column} was not judged; leave its answer empty")
        said |= {(beside.images[cell[0]], *cell[1:]): (p_values[cell], answer) for cell, answer in told.items()}
        hashes |= set(beside.images.values())
    if not said:
        return why
    p, unusual = np.array(list(said.values())).T
    return Answered(p, unusual), hashes


def _read_beside(table: Path) -> _Beside:
    path = table.with_suffix(".json")
    again = "flag its images again into the same folder: answers stay"
    try:
        beside = _Beside.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: what {table.name} was written with cannot be read ({error}); {again}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: is damaged ({error.errors()[0]['msg']}); {again}") from error
    if [len(row) for row in beside.quantiles] != [len(beside.names)] * len(LEVELS):
        raise ConfigError(f"{path}: is damaged (quantiles and names do not fit); {again}")
    if any(not 0 <= p <= 1 for cells in beside.p_values.values() for _, _, p in cells):
        raise ConfigError(f"{path}: is damaged (a p-value beyond 0 and 1); {again}")
    return beside
