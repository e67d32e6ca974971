"""What a person says of some cells of a folder, unusual or not, and a table to say it in.

The table lists the most unusual cells and as many drawn at random, by where they lie, so that nobody knows which is
which: from the first it is learned what a surprise is worth on these images, from the others how many are unusual that
do not look it. ``surveys.folder_picture.asked`` shows them under the same numbers.
"""

from __future__ import annotations

import csv
import hashlib
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

Array: TypeAlias = npt.NDArray[np.float64]
Cell: TypeAlias = tuple[str, int, int]
"""Name of the image, row and column in pixels of the cell's upper left corner."""

TO_SAY = 40
"""Cells to look at: half of them the most unusual, half drawn."""
NUMBER, ANSWER = "number", "unusual"
PLACE = ("image", "image_sha256", "row_px", "column_px", "cell_px")
"""The second is the first twelve digits of the hash of the image's file: answers about another image are refused. A
letter stands before them, lest a spreadsheet take 123456789012 or 12e345678901 for a number; older tables have none."""
_NEEDED = (*PLACE, ANSWER)
"""Tables of before there was a picture have no numbers."""
_TABLES, _TABLE = "say*.csv", re.compile(r"say(-[0-9]+)?\.csv")
_HASH_DIGITS, _LETTER = 12, "h"
_DELIMITERS = ",;\t"
"""A spreadsheet of a country where 0,5 is a number parts columns by semicolons."""
_SAID = {"yes": 1.0, "1": 1.0, "true": 1.0, "no": 0.0, "0": 0.0, "false": 0.0}
_OTHERS = "these answers are about other images: give --said the table that was written for this folder"
_CELLS = "give --cell as then"


def hash_of(image: Path) -> str:
    """By which ``say.csv`` knows an image's file again."""
    return hashlib.sha256(image.read_bytes()).hexdigest()[:_HASH_DIGITS]


def tables_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Tables that were written in a folder that was flagged into, and files of a like name, as copies of these."""
    found = sorted(folder.glob(_TABLES)) if folder.is_dir() else []
    written = [path for path in found if _TABLE.fullmatch(path.name)]
    return written, [path for path in found if path not in written]


def to_say(p_values: Array, count: int = TO_SAY, seed: int = 0) -> list[int]:
    """(N,) → those of N cells to look at: the most unusual first, then as many of the others, drawn."""
    order = np.argsort(p_values, kind="stable")
    first, rest = order[: count // 2], np.sort(order[count // 2 :])
    drawn = np.random.default_rng(seed).choice(rest, min(count - len(first), len(rest)), replace=False)
    return [*first.tolist(), *sorted(drawn.tolist())]


def write_to_say(cells: Sequence[Cell], cell_px: int, images: Sequence[Path], folder: Path) -> Path:
    """Table of ``cells``, numbered by where they lie, with an empty column ``unusual`` → where it is.

    ``say.csv`` in ``folder``, or ``say-2.csv`` and so on. A table that is there, and may have answers, is never written
    over: it is the one to go on with where it lists these very cells of these very ``images``.
    """
    hashes = {image.name: hash_of(image) for image in images if image.name in {name for name, _, _ in cells}}
    rows = [[name, hashes[name], str(row), str(column), str(cell_px)] for name, row, column in sorted(cells)]
    number = 1
    while (path := folder / f"say{f'-{number}' if number > 1 else ''}.csv").exists():
        if sorted(place for _, place in _asks(path)) == sorted(rows):
            return path
        number += 1
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((NUMBER, *PLACE, ANSWER))
        for number, (name, digits, *place) in enumerate(rows, start=1):
            writer.writerow([number, name, _LETTER + digits, *place, ""])
    return path


def numbered(table: Path) -> list[tuple[int, Cell]]:
    """The cells that a table asks about, each with its number, or with that of its row where it has none; in order."""
    return sorted((number, (place[0], int(place[2]), int(place[3]))) for number, place in _asks(table))


def _asks(path: Path) -> list[tuple[int, list[str]]]:
    """Numbers and places of its rows, as a person may have sorted them; none where it is no such table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _table(file)
            if not set(_NEEDED) <= set(rows.fieldnames or ()):
                return []
            found = []
            for n, row in enumerate(rows, start=1):
                name, known, *numbers = (row[column] or "" for column in PLACE)
                place = [name, known.removeprefix(_LETTER), *(str(_whole(number)) for number in numbers)]
                found.append((_whole(row.get(NUMBER) or str(n)), place))
            return found
    except (OSError, ValueError, csv.Error):
        return []


def read_said(path: Path, cell_px: int, images: Sequence[Path]) -> dict[Cell, float]:
    """1 = unusual, 0 = ordinary, of the cells where the column ``unusual`` says yes or no.

    Raises ConfigError for what ``answers`` refuses, no answer at all, and answers about images that are not among
    ``images``.
    """
    files, hashes = {image.name: image for image in images}, dict[str, str]()

    def known(name: str) -> str | None:
        if name in files and name not in hashes:
            hashes[name] = hash_of(files[name])
        return hashes.get(name)

    found = answers(path, cell_px, known)
    if not found:
        raise ConfigError(f"{path}: says nothing yet; write yes or no into its column unusual")
    return found


def says_nothing(path: Path) -> bool:
    """Whether no row has an answer, be it readable or not. Raises ConfigError for a file that is no such table."""
    return not any(True for _ in _answered(path))


def answers(
    path: Path, cell_px: int, known: Callable[[str], str | None], others: str = _OTHERS, cells: str = _CELLS
) -> dict[Cell, float]:
    """The same of a table that may say nothing yet. ``known``: hash of an image by its name; None = it is not there.

    ``others`` and ``cells``: what to do where the images or the size of the cells are not those.

    Raises ConfigError for a file that is none, another size of cells, other words, two answers about one cell that
    differ, and images that are not known by their hashes.
    """
    found: dict[Cell, float] = {}
    lines: dict[Cell, int] = {}
    for line, row in _answered(path):
        word = (row[ANSWER] or "").strip().lower()
        if word not in _SAID:
            raise ConfigError(f"{path}, line {line}: unusual is {word!r}; say yes or no, or leave it empty")
        try:
            there_px, *corner = (_whole(row[column]) for column in ("cell_px", "row_px", "column_px"))
        except (ValueError, TypeError) as error:
            raise _unreadable(path, line, error) from error
        if there_px != cell_px:
            raise ConfigError(f"{path}, line {line}: of cells of {there_px} pixels; {cells}")
        name, digits = row["image"] or "", known(row["image"] or "")
        if digits is None:
            raise ConfigError(f"{path}, line {line}: {name} is not in the folder; {others}")
        if (row["image_sha256"] or "").removeprefix(_LETTER) != digits:
            raise ConfigError(f"{path}, line {line}: {name} was another image then; {others}")
        cell = name, corner[0], corner[1]
        if found.get(cell, _SAID[word]) != _SAID[word]:
            told = f"lines {lines[cell]} and {line} say yes and no of one cell"
            raise ConfigError(f"{path}: {told}; leave one of them empty")
        found[cell], lines[cell] = _SAID[word], line
    return found


def _answered(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and values of each row whose column ``unusual`` is not empty. Raises ConfigError for no such table."""
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = _table(file)
            if not set(_NEEDED) <= set(rows.fieldnames or ()):
                raise ConfigError(f"{path}: needs the columns {', '.join(_NEEDED)}; it has {rows.fieldnames or 'none'}")
            for line, row in enumerate(rows, start=2):
                if (row[ANSWER] or "").strip():
                    yield line, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, line, error) from error


def _unreadable(path: Path, line: int, error: Exception) -> ConfigError:
    return ConfigError(f"{path}, line {line}: cannot be read as a table of cells ({error})")


def _table(file: TextIO) -> csv.DictReader[str]:
    """Its rows, parted by what stands most often in the first line."""
    head = file.readline()
    file.seek(0)
    return csv.DictReader(file, delimiter=max(_DELIMITERS, key=head.count))


def _whole(text: str) -> int:
    """A spreadsheet may have made 384 into 384.0. Raises ValueError for what is not whole."""
    number = float(text)
    if not number.is_integer():
        raise ValueError(f"{text!r} is no whole number of pixels")
    return int(number)


def in_order(said: dict[Cell, float], cells: Sequence[Cell], path: Path) -> Array:
    """(N,) of N cells what was said, NaN where nothing was. Raises ConfigError for a cell that is not judged."""
    missing = sorted(set(said) - set(cells))
    if missing:
        name, row, column = missing[0]
        raise ConfigError(
            f"{path}: {len(missing)} of its answers are about cells that are not judged, as {name} at row {row}, "
            f"column {column}; leave those empty, or set row_px and column_px back to what they were"
        )
    return np.array([said.get(cell, np.nan) for cell in cells])
