"""What a person says of some cells of a folder, unusual or not, and a table to say it in.

The table lists the most unusual cells and as many drawn at random: from the first it is learned what a surprise is
worth on these images, from the others how many are unusual that do not look it.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Array: TypeAlias = npt.NDArray[np.float64]
Cell: TypeAlias = tuple[str, int, int]
"""Name of the image, row and column in pixels of the cell's upper left corner."""

TO_SAY = 40
"""Cells to look at: half of them the most unusual, half drawn."""
COLUMNS = ("image", "row_px", "column_px", "cell_px", "unusual")
_SAID = {"yes": 1.0, "1": 1.0, "true": 1.0, "no": 0.0, "0": 0.0, "false": 0.0}


def to_say(p_values: Array, count: int = TO_SAY, seed: int = 0) -> list[int]:
    """(N,) → those of N cells to look at: the most unusual first, then as many of the others, drawn."""
    order = np.argsort(p_values, kind="stable")
    first, rest = order[: count // 2], np.sort(order[count // 2 :])
    drawn = np.random.default_rng(seed).choice(rest, min(count - len(first), len(rest)), replace=False)
    return [*first.tolist(), *sorted(drawn.tolist())]


def write_to_say(cells: Sequence[Cell], cell_px: int, path: Path) -> None:
    """CSV with an empty column ``unusual``. A file that is there, and may have answers, is left as it is."""
    if path.exists():
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((*cell, cell_px, "") for cell in cells)


def read_said(path: Path, cell_px: int) -> dict[Cell, float]:
    """1 = unusual, 0 = ordinary, of the cells where the column ``unusual`` says yes or no.

    Raises ConfigError for a file that is none, another size of cells, other words, and no answer at all.
    """
    found: dict[Cell, float] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise ConfigError(f"{path}: needs the columns {', '.join(COLUMNS)}; it has {rows.fieldnames or 'none'}")
            for line, row in enumerate(rows, start=2):
                word = (row["unusual"] or "").strip().lower()
                if not word:
                    continue
                if word not in _SAID:
                    raise ConfigError(f"{path}, line {line}: unusual is {word!r}; say yes or no, or leave it empty")
                if int(row["cell_px"]) != cell_px:
                    raise ConfigError(f"{path}, line {line}: of cells of {row['cell_px']} pixels; give --cell as then")
                found[row["image"], int(row["row_px"]), int(row["column_px"])] = _SAID[word]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as a table of cells ({error})") from error
    if not found:
        raise ConfigError(f"{path}: says nothing yet; write yes or no into its column unusual")
    return found


def in_order(said: dict[Cell, float], cells: Sequence[Cell], path: Path) -> Array:
    """(N,) of N cells what was said, NaN where nothing was. Raises ConfigError for a cell that is not judged."""
    missing = sorted(set(said) - set(cells))
    if missing:
        name, row, column = missing[0]
        raise ConfigError(
            f"{path}: {len(missing)} cells are not among those judged, as {name} at row {row}, column {column}"
        )
    return np.array([said.get(cell, np.nan) for cell in cells])
