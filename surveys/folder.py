"""Flags of a folder of images that nobody surveyed: what is unusual among them, at a set rate of false ones.

images ─► cells ─┬─► descriptors or encoder ─► density against all of them ─► beyond its tail? ─┬─► p-values ─► flags
                 └─► most extreme object of each ─► farther than ordinary ones reach? ──────────┘

By default by the classical descriptors, as a survey flags: ``benchmarks.flags`` holds the two against each other.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from envs.descriptors import NAMES, describe_windows
from envs.novelty import NoveltyScorer
from envs.overviews import quantiles_of, scaled
from models.anomaly import Anomaly, Reason
from models.encoder import SMALLEST_PX, STRIDE, Encoder, features
from surveys.folder_cells import surprise
from surveys.folder_earlier import Before, FolderKind, heard, read_earlier
from surveys.folder_reading import Reading, corner
from surveys.folder_said import Cell, in_order, read_said, to_say
from surveys.seeing import SeeingScorer
from surveys.significance import FEWEST_SCORES, q_values
from surveys.unusual import probability_unusual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Array: TypeAlias = npt.NDArray[np.float64]
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
    kind: FolderKind
    """What its images are like."""
    p_values: dict[Cell, float]
    """Of all cells."""
    before: Before
    """What was said of earlier folders, as far as it counts."""

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
    earlier: Sequence[Path] = (),
    most: int = 50,
    progress: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> FolderFlags:
    """Flag cells of ``cell_px`` pixels. Images are taken for pictures of one specimen at one magnification.

    ``said``: table of what a person says of some cells, by which the probabilities are set. ``earlier``: folders that
    earlier ones were flagged into, in whose tables a person said the same; those of other images do not count.
    Raises ConfigError for settings out of range, and where too little can be read to know what is usual.
    """
    if cell_px < SMALLEST_PX or cell_px % STRIDE:
        raise ConfigError(f"cells of {cell_px} pixels were asked; give a multiple of 8, {SMALLEST_PX} at least")
    if not 0 < rate < 1:
        raise ConfigError(f"a false-discovery rate of {rate} was asked; give one between 0 and 1")
    answers = read_said(said, cell_px, paths) if said is not None else {}
    told_earlier = read_earlier(earlier)
    watch, scorer, both = Anomaly(), NoveltyScorer(), SeeingScorer() if by == "both" else None
    reading = Reading(cell_px)
    descriptors: dict[int, Array] = {}
    where: list[tuple[int, int, int]] = []
    together: list[Array] = []
    seen: dict[int, npt.NDArray[np.float32]] = {}
    for path, recorded, windows in reading.cells(progress(paths)):
        number, image = paths.index(path), recorded.data
        seen[number] = features(encoder, image)
        watch.observe(number, seen[number])
        where += [(number, *corner(window)) for window in windows]
        descriptors[number] = describe_windows(image, windows, recorded.pixel_size_nm or 1.0)
        scorer.observe(_LOOK, descriptors[number])
        if both is not None:
            looks = np.concatenate([descriptors[number], both.seen(image, windows)], axis=1)
            both.observe(_LOOK, looks)
            together.append(looks)
    pixel_size_nm = reading.pixel_size_nm
    if len(where) < FEWEST_SCORES or watch.young:
        told = "; ".join(f"{path.name}: {why}" for path, why in list(reading.refused.items())[:3])
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
    kind = FolderKind(by, cell_px, pixel_size_nm, NAMES, quantiles_of(scaled(rows, NAMES)))
    before = heard(told_earlier, kind, [paths[number] for number in descriptors])
    q, probability = q_values(p), probability_unusual(p, told_of, [one.answered for one in before.folders])
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
                else _words(judge, rows[k], by_object=bool(found.by_object[k]), scaled=pixel_size_nm is not None),
                reason=reason,
                alike=alike,
            )
        )
    return FolderFlags(
        ranked=ranked,
        rate=rate,
        cells=len(where),
        refused=reading.refused,
        blind=reading.blind,
        without_objects=found.without_objects,
        said=len(answers),
        to_say=sorted(cells[k] for k in to_say(p)),
        beyond=reading.beyond,
        kind=kind,
        p_values=dict(zip(cells, p.tolist(), strict=True)),
        before=before,
    )


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
