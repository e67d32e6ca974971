"""The images of a folder, cut into cells, and which of both say nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError
from envs.scorers import Window
from instruments.images import read_single
from models.encoder import STRIDE, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from instruments.images import RecordedImage

Image2d: TypeAlias = npt.NDArray[np.float32]
Ratio: TypeAlias = float

_SAME_SIZE: Ratio = 0.02


@dataclass(slots=True)
class Reading:
    """Of one folder, in cells of ``cell_px`` pixels."""

    cell_px: int
    refused: dict[Path, str] = field(default_factory=dict)
    """Images that say nothing, and why."""
    blind: dict[tuple[Path, int, int], str] = field(default_factory=dict)
    """Cells of the others that say nothing, or lie beside such a one: image, row and column, and why."""
    _sizes_nm: list[float | None] = field(default_factory=list)
    _pixels: int = 0
    _covered: int = 0

    def cells(self, paths: Iterable[Path]) -> Iterator[tuple[Path, RecordedImage, list[Window]]]:
        """The images that can be read, each with those of its cells that say something, one at least."""
        for path in paths:
            try:
                recorded = read_single(path)
            except ConfigError as error:
                self.refused[path] = str(error)
                continue
            image = recorded.data
            why = refusal(image)
            if why is None and min(image.shape) < self.cell_px:
                why = f"it has {image.shape[0]} × {image.shape[1]} pixels, less than a cell of {self.cell_px}"
            if why is not None:
                self.refused[path] = why
                continue
            windows = cut(image.shape, self.cell_px)
            self._pixels, self._covered = self._pixels + image.size, self._covered + len(windows) * self.cell_px**2
            silent = _silent(image, windows)
            self.blind |= {(path, *place): why for place, why in silent.items()}
            self._sizes_nm.append(recorded.pixel_size_nm)
            windows = [window for window in windows if corner(window) not in silent]
            if windows:
                yield path, recorded, windows

    @property
    def beyond(self) -> Ratio:
        """Share of the pixels that lie right of an image's last whole cell, or below it: they are not judged."""
        return 1 - self._covered / self._pixels if self._pixels else 0.0

    @property
    def pixel_size_nm(self) -> float | None:
        """Of all images; None where no file tells it. Raises ConfigError where they differ."""
        known_nm = [size for size in self._sizes_nm if size is not None]
        unlike = any(not math.isclose(size, known_nm[0], rel_tol=_SAME_SIZE) for size in known_nm)
        if 0 < len(known_nm) < len(self._sizes_nm) or unlike:
            told = ", ".join(f"{size:g} nm" if size else "nothing" for size in sorted(set(self._sizes_nm), key=str))
            raise ConfigError(f"the images say {told} of their pixels: give images of one magnification")
        return known_nm[0] if known_nm else None


def cut(shape: tuple[int, ...], cell_px: int) -> list[Window]:
    """Whole cells, row by row from the upper left; the encoder's last pixels, right and below, are in none."""
    rows, columns = (size // STRIDE * STRIDE - cell_px + 1 for size in shape)
    return [
        Window((row, row + cell_px), (column, column + cell_px))
        for row in range(0, rows, cell_px)
        for column in range(0, columns, cell_px)
    ]


def corner(window: Window) -> tuple[int, int]:
    """Row and column of a cell's upper left pixel."""
    return window.rows_px[0], window.columns_px[0]


def _silent(image: Image2d, windows: Sequence[Window]) -> dict[tuple[int, int], str]:
    """Of the corners of cells that say nothing why, and of those beside them, which are described with them."""
    found: dict[tuple[int, int], str] = {}
    for window in windows:
        why = refusal(image[slice(*window.rows_px), slice(*window.columns_px)])
        if why is not None:
            found[corner(window)] = why
    beside = {}
    for window in windows if found else ():
        (row, column), size = corner(window), window.rows_px[1] - window.rows_px[0]
        if (row, column) not in found and any(max(abs(row - r), abs(column - c)) <= size for r, c in found):
            beside[row, column] = "it lies beside a cell that says nothing"
    return found | beside
