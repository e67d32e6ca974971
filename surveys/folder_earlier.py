"""What a person said of folders that were flagged earlier, for a new one of like images.

    OLD-flags/say.csv   the answers ─────────────────────────────┐
    OLD-flags/say.json  what the images were like, their p-values ┴─► like these? ─► answers that count here

A folder counts as one specimen. One of other images does not count, and why is told. Folders are read before the new
images are described, which takes longer (``read_earlier``), and held against these after (``heard``).
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
from surveys.folder_said import Cell, answers, hash_of, says_nothing, tables_in
from surveys.unusual import Answered, believed, expected_share

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

_ALIKE_PIXELS: Ratio = 0.2
_ALIKE_SPREADS = 0.9
"""Folders whose descriptors' quantiles differ by more are of other images. Two folders of one kind that
``benchmarks.flag_nulls`` draws differ by 0.1 to 0.8, those of two by 1.0 to 3.5, unless only few cells hold what
differs; two simulated specimens by 0.2 to 0.4."""
_GAIN = "mean_counts"
"""The descriptor that an image's brightness alone changes: it tells no specimen from another."""
_AGAIN = "flag its images again into the same folder: answers stay"
_EDITED = "set image, image_sha256 and cell_px back to what was written there, or leave the answer empty"


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
class _Table:
    """Answers that may count."""

    kind: FolderKind
    said: dict[Cell, tuple[float, float]]
    """p-value and answer of each cell; in place of the image's name its hash."""
    hashes: frozenset[str]
    """Of all images of its folder."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was said in the tables of one folder."""

    folder: Path
    tables: tuple[_Table, ...]
    silent: str
    """Why there are none; empty where there are."""
    passed_over: Mapping[Path, str]
    """Tables beside them that cannot count, and why."""


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
    """Folders that do not count, and tables of others, and why."""

    @property
    def expected(self) -> tuple[Ratio, Ratio, Ratio] | None:
        """Share of unusual cells thought of before any is seen, and between what it lies nine times in ten.

        None = no folder counts.
        """
        return expected_share(believed([one.answered for one in self.folders])) if self.folders else None

    def __str__(self) -> str:
        said = sum(len(one.answered.unusual) for one in self.folders)
        unusual = round(sum(one.answered.unusual.sum() for one in self.folders))
        if self.expected is None:
            return "no earlier folder counts"
        share, low, high = self.expected
        return (
            f"in {len(self.folders)} earlier folder(s) {unusual} of {said} cells were said to be unusual: before "
            f"anything is seen, about {share:.0%} of the cells here are thought to be unusual ({low:.0%} to {high:.0%})"
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
    path = table.with_suffix(".json")
    written = path.with_suffix(".json.partial")  # a stop while it is written leaves the one that was there
    written.write_text(beside.model_dump_json() + "\n", encoding="utf-8")
    written.replace(path)


def read_earlier(folders: Sequence[Path]) -> list[Earlier]:
    """What was said in the tables of ``folders``, of whatever images.

    Raises ConfigError for a folder that no folder of images was flagged into, for tables that are damaged, or hold
    answers that nothing is known of, and for two answers about one cell that differ.
    """
    return [_read(folder) for folder in folders]


def _read(folder: Path) -> Earlier:
    written, others = tables_in(folder)
    if not written:
        raise ConfigError(f"--earlier {folder}: has no say.csv; name a folder that adaptem flag wrote")
    told = [table for table in written if not says_nothing(table)]
    bare = {
        table: f"{table.with_suffix('.json').name}, which was written with it, is not there; {_AGAIN}"
        for table in told
        if not table.with_suffix(".json").exists()
    }
    if bare and len(bare) == len(told):
        table, why = next(iter(bare.items()))
        raise ConfigError(f"{table}: {why}")
    first, tables = dict[tuple[int, Cell], tuple[Path, float]](), list[_Table]()
    for path in (table for table in told if table not in bare):
        tables.append(_read_table(path))
        for cell, (_, answer) in tables[-1].said.items():
            other, there = first.setdefault((tables[-1].kind.cell_px, cell), (path, answer))
            if there != answer:
                at = f"one cell, at row {cell[1]}, column {cell[2]}"
                raise ConfigError(f"{other} and {path} say yes and no of {at}; leave one of them empty")
    silent = "" if tables else "nothing is said in it yet"
    if silent and others:
        silent += f" ({others[0].name} is not read: answer in {written[0].name})"
    return Earlier(folder, tuple(tables), silent, bare)


def heard(earlier: Sequence[Earlier], kind: FolderKind, images: Sequence[Path]) -> Before:
    """What counts of ``earlier`` for a new folder of ``images`` of this kind: what was said of images like these."""
    if not earlier:
        return Before()
    here = {hash_of(image): "this folder" for image in images}
    named, found, passed_over = set[Path](), list[Heard](), dict[Path, str]()
    for one in earlier:
        if one.folder.resolve() in named:
            passed_over[one.folder] = "it was named twice, and counts once at most"
            continue
        named.add(one.folder.resolve())
        passed_over |= one.passed_over
        said, why = dict[Cell, tuple[float, float]](), one.silent
        hashes = set[str]()
        for table in one.tables:
            mine = {here[digits] for digits in table.hashes if digits in here}
            reason = f"images of {min(mine)} are among its own" if mine else kind.unlike(table.kind)
            if reason:
                why = reason
                continue
            said |= table.said
            hashes |= table.hashes
        if not said:
            passed_over[one.folder] = why
            continue
        here |= dict.fromkeys(hashes, str(one.folder))
        p, unusual = np.array(list(said.values())).T
        found.append(Heard(one.folder, Answered(p, unusual)))
    return Before(tuple(found), passed_over)


def _read_table(path: Path) -> _Table:
    beside = _read_beside(path)
    told = answers(path, beside.cell_px, beside.images.get, _EDITED, _EDITED)
    p_values = {(name, row, column): p for name, cells in beside.p_values.items() for row, column, p in cells}
    if missing := sorted(set(told) - set(p_values)):
        name, row, column = missing[0]
        raise ConfigError(f"{path}: {name} at row {row}, column {column} was not judged; leave its answer empty")
    quantiles = np.array(beside.quantiles, dtype=np.float64)
    return _Table(
        FolderKind(beside.by, beside.cell_px, beside.pixel_size_nm, beside.names, quantiles),
        {(beside.images[cell[0]], *cell[1:]): (p_values[cell], answer) for cell, answer in told.items()},
        frozenset(beside.images.values()),
    )


def _read_beside(table: Path) -> _Beside:
    path = table.with_suffix(".json")
    try:
        beside = _Beside.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: what {table.name} was written with cannot be read ({error}); {_AGAIN}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: is damaged ({error.errors()[0]['msg']}); {_AGAIN}") from error
    if [len(row) for row in beside.quantiles] != [len(beside.names)] * len(LEVELS):
        raise ConfigError(f"{path}: is damaged (quantiles and names do not fit); {_AGAIN}")
    if any(not 0 <= p <= 1 for cells in beside.p_values.values() for _, _, p in cells):
        raise ConfigError(f"{path}: is damaged (a p-value beyond 0 and 1); {_AGAIN}")
    return beside
