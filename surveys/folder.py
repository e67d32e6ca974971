"""Flags of a folder of images that nobody surveyed: what is unusual among them, at a set rate of false ones.

images ─► cells ─┬─► descriptors or encoder ─► density against all of them ─► beyond its tail? ─┬─► p-values ─► flags
                 └─► most extreme object of each ─► farther than ordinary ones reach? ──────────┘

By default by the classical descriptors, as a survey flags: ``benchmarks.flags`` holds the two against each other.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from envs.descriptors import describe_windows
from envs.novelty import NoveltyScorer
from envs.scorers import Window
from instruments.images import read_single
from models.anomaly import Anomaly, Reason
from models.encoder import SMALLEST_PX, STRIDE, Encoder, features, refusal
from surveys.folder_cells import surprise
from surveys.folder_said import Cell, in_order, read_said, to_say
from surveys.seeing import SeeingScorer
from surveys.significance import FEWEST_SCORES, probability_unusual, q_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Array: TypeAlias = npt.NDArray[np.float64]
Image2d: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

By: TypeAlias = Literal["descriptors", "network", "both"]
_LOOK = "image"
_MOST_DEPARTURES = 2


@dataclass(frozen=True, slots=True)
class ImageFlag:
    """A cell of an image that is worth a person's time."""

    path: Path
    row_px: int
    column_px: int
    """Upper left corner of the cell."""
    cell_px: int
    p_value: float
    q_value: float
    """Smallest false-discovery rate at which it would be flagged."""
    probability: Ratio
    """That it is unusual in truth."""
    score: float
    """Spreads from the usual."""
    words: str
    """Which numbers depart, where they were asked for; empty for the network's."""
    reason: Reason
    """What the encoder sees: where in the cell the surprise lies."""
    alike: tuple[tuple[Path, int, int], ...]
    """Usual places most like it, in the encoder's space: image, row and column of their middles."""

    def __str__(self) -> str:
        path, row, column = self.alike[0]
        return (
            f"{self.path.name} at row {self.row_px}, column {self.column_px}: {self.words or 'in all'}, "
            f"{self.score:.1f} spreads from the usual (q {self.q_value:.2g}); "
            f"to compare with: {path.name} at row {row}, column {column}"
        )


@dataclass(frozen=True, slots=True)
class FolderFlags:
    """What was found."""

    ranked: list[ImageFlag]
    """The most unusual cells, flagged or not, the least likely by chance first."""
    rate: Ratio
    """Accepted share of false flags."""
    cells: int
    """Judged."""
    refused: dict[Path, str]
    """Images that say nothing, and why."""
    blind: dict[tuple[Path, int, int], str]
    """Cells of the others that say nothing, or lie beside such a one: image, row and column, and why."""
    without_objects: str
    """Why the objects in cells were not judged one by one; empty where they were."""
    said: int
    """Cells of which a person said whether they are unusual."""
    to_say: list[Cell]
    """Cells of which to say it, that the probabilities be right on these images, by where they lie."""
    beyond: Ratio
    """Share of the pixels that lie right of an image's last whole cell, or below it: they are not judged."""

    @property
    def flags(self) -> list[ImageFlag]:
        """Those that the rate allows to believe."""
        return [each for each in self.ranked if each.q_value <= self.rate]


def flag_images(
    encoder: Encoder,
    paths: Sequence[Path],
    *,
    rate: Ratio = 0.1,
    cell_px: int = 64,
    by: By = "descriptors",
    said: Path | None = None,
    most: int = 50,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> FolderFlags:
    """Flag cells of ``cell_px`` pixels. Images are taken for pictures of one specimen at one magnification.

    ``said``: table of what a person says of some cells, by which the probabilities are set.
    Raises ConfigError for settings out of range, and where too little can be read to know what is usual.
    """
    if cell_px < SMALLEST_PX or cell_px % STRIDE:
        raise ConfigError(f"cells of {cell_px} pixels were asked; give a multiple of 8, {SMALLEST_PX} at least")
    if not 0 < rate < 1:
        raise ConfigError(f"a false-discovery rate of {rate} was asked; give one between 0 and 1")
    answers = read_said(said, cell_px, paths) if said is not None else {}
    watch, scorer, both = Anomaly(), NoveltyScorer(), SeeingScorer() if by == "both" else None
    descriptors: dict[int, Array] = {}
    sizes_nm: list[float | None] = []
    where: list[tuple[int, int, int]] = []
    blind: dict[tuple[Path, int, int], str] = {}
    together: list[Array] = []
    refused: dict[Path, str] = {}
    seen: dict[int, npt.NDArray[np.float32]] = {}
    pixels, covered = 0, 0
    for path in progress(paths):
        try:
            recorded = read_single(path)
        except ConfigError as error:
            refused[path] = str(error)
            continue
        image = recorded.data
        why = refusal(image)
        if why is None and min(image.shape) < cell_px:
            why = f"it has {image.shape[0]} × {image.shape[1]} pixels, less than a cell of {cell_px}"
        if why is not None:
            refused[path] = why
            continue
        number, windows = paths.index(path), _cells(image.shape, cell_px)
        pixels, covered = pixels + image.size, covered + len(windows) * cell_px**2
        silent = _silent(image, windows)
        blind |= {(path, *corner): why for corner, why in silent.items()}
        windows = [window for window in windows if _corner(window) not in silent]
        sizes_nm.append(recorded.pixel_size_nm)
        if not windows:
            continue
        seen[number] = features(encoder, image)
        watch.observe(number, seen[number])
        where += [(number, *_corner(window)) for window in windows]
        descriptors[number] = describe_windows(image, windows, recorded.pixel_size_nm or 1.0)
        scorer.observe(_LOOK, descriptors[number])
        if both is not None:
            looks = np.concatenate([descriptors[number], both.seen(image, windows)], axis=1)
            both.observe(_LOOK, looks)
            together.append(looks)
    known_nm = [size for size in sizes_nm if size is not None]
    if 0 < len(known_nm) < len(sizes_nm) or any(not math.isclose(n, known_nm[0], rel_tol=0.02) for n in known_nm):
        told = ", ".join(f"{size:g} nm" if size else "nothing" for size in sorted(set(sizes_nm), key=str))
        raise ConfigError(f"the images say {told} of their pixels: give images of one magnification")
    if len(where) < FEWEST_SCORES or watch.young:
        told = "; ".join(f"{path.name}: {why}" for path, why in list(refused.items())[:3])
        raise ConfigError(
            f"{len(where)} cells of {cell_px} pixels are too few to know what is usual ({FEWEST_SCORES} are needed): "
            f"give more or larger images{f'; refused were {told}' if told else ''}"
        )
    watch.refit()
    judge, rows = scorer.completed(), np.concatenate(list(descriptors.values()))
    if by == "network":
        maps = {number: watch.scores(found) for number, found in seen.items()}
        scores = np.array([watch.cell(maps[n], (r, r + cell_px), (c, c + cell_px)) for n, r, c in where])
    elif both is not None:
        scores = both.completed().deviation(_LOOK, np.concatenate(together))
    else:
        scores = judge.deviation(_LOOK, rows)
    if not np.isfinite(scores).all():
        raise ConfigError(f"{int((~np.isfinite(scores)).sum())} cells cannot be judged: give more images")
    places = np.array([(number, row // cell_px, column // cell_px) for number, row, column in where])
    found = surprise(scores, rows, places, _LOOK, None if by == "network" else judge)
    p = found.p_values
    cells = [(paths[number].name, row, column) for number, row, column in where]
    told_of = in_order(answers, cells, said) if said is not None else None
    q, probability = q_values(p), probability_unusual(p, told_of)
    ranked = []
    for k in np.argsort(p, kind="stable")[:most]:
        number, row, column = where[k]
        reason = watch.explain(seen[number], (row, row + cell_px), (column, column + cell_px), frame=number)
        alike = tuple((paths[each.frame], each.row_px, each.column_px) for each in reason.alike)
        ranked.append(
            ImageFlag(
                path=paths[number],
                row_px=row,
                column_px=column,
                cell_px=cell_px,
                p_value=float(p[k]),
                q_value=float(q[k]),
                probability=float(probability[k]),
                score=float(scores[k]),
                words=""
                if by == "network"
                else _words(judge, rows[k], by_object=bool(found.by_object[k]), scaled=bool(known_nm)),
                reason=reason,
                alike=alike,
            )
        )
    return FolderFlags(
        ranked=ranked,
        rate=rate,
        cells=len(where),
        refused=refused,
        blind=blind,
        without_objects=found.without_objects,
        said=len(answers),
        to_say=sorted(cells[k] for k in to_say(p)),
        beyond=1 - covered / pixels,
    )


def _silent(image: Image2d, windows: Sequence[Window]) -> dict[tuple[int, int], str]:
    """Of the corners of cells that say nothing why, and of those beside them, which are described with them."""
    found: dict[tuple[int, int], str] = {}
    for window in windows:
        why = refusal(image[slice(*window.rows_px), slice(*window.columns_px)])
        if why is not None:
            found[_corner(window)] = why
    beside = {}
    for window in windows if found else ():
        (row, column), size = _corner(window), window.rows_px[1] - window.rows_px[0]
        if (row, column) not in found and any(max(abs(row - r), abs(column - c)) <= size for r, c in found):
            beside[row, column] = "it lies beside a cell that says nothing"
    return found | beside


def _corner(window: Window) -> tuple[int, int]:
    return window.rows_px[0], window.columns_px[0]


def _cells(shape: tuple[int, ...], cell_px: int) -> list[Window]:
    rows, columns = (size // STRIDE * STRIDE - cell_px + 1 for size in shape)
    return [
        Window((row, row + cell_px), (column, column + cell_px))
        for row in range(0, rows, cell_px)
        for column in range(0, columns, cell_px)
    ]


def _words(judge: NoveltyScorer, row: Array, *, by_object: bool, scaled: bool) -> str:
    explanation = judge.explain(_LOOK, row)
    if by_object:
        explanation = explanation.led_by(judge.most_extreme(_LOOK, row))
    told = "; ".join(str(departure) for departure in explanation.departures[:_MOST_DEPARTURES])
    return told if scaled else told.replace(" nm", " px")


def write_flags(found: FolderFlags, path: Path) -> None:
    """CSV, the most unusual cells by rank, and a row for each image and cell that was not judged."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("rank flagged image row_px column_px cell_px p_value q_value probability reason".split())
        for rank, flag in enumerate(found.ranked, start=1):
            numbers = [f"{value:.3g}" for value in (flag.p_value, flag.q_value, flag.probability)]
            writer.writerow(
                [
                    rank,
                    flag.q_value <= found.rate,
                    flag.path,
                    flag.row_px,
                    flag.column_px,
                    flag.cell_px,
                    *numbers,
                    str(flag),
                ]
            )
        for refused, why in found.refused.items():
            writer.writerow(["", "", refused, "", "", "", "", "", "", f"not judged: {why}"])
        for (image, row, column), why in found.blind.items():
            writer.writerow(["", "", image, row, column, "", "", "", "", f"not judged: {why}"])
