"""The atlas: a specimen's overviews as one large picture, cut into the tiles that a deep zoom asks for.

Overviews are pasted as a browser asks, a slice of time at a request, so that the page comes at once, and goes on as a
running survey does. Drawn as the frames show the specimen: x grows to the left, y upwards.
"""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from archive.errors import ArchiveError
from archive.reader import SurveyReader
from envs.novelty import image_of
from envs.step import Purpose
from review.pictures import greys, limits_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archive.rows import ExposureRow
    from envs.targets import TargetTree

Ratio: TypeAlias = float

TILE_PX = 256
MOST_PX = 8192
"""Width and height of an atlas, at most: one wider is shown coarser."""
SLICE_S = 0.4
"""Of pasting, at one request."""
_SAMPLED = 12
"""Overviews from which black and white are taken: the same for the whole specimen."""
_NOT_SEEN = 52


class Mosaic:
    """One specimen's picture. To be used by one thread."""

    def __init__(self, tree: TargetTree, pixel_nm: float) -> None:
        """``pixel_nm``: of an overview; coarser where the whole would be wider than ``MOST_PX``."""
        patches = tree.of_kind("patch")
        x, y, width, height = (each[patches] for each in (tree.x_nm, tree.y_nm, tree.width_nm, tree.height_nm))
        self.left_nm = float((x + width / 2).max())
        """x of the left edge; the right edge has the smaller x."""
        self.top_nm = float((y + height / 2).max())
        width_nm, height_nm = self.left_nm - float((x - width / 2).min()), self.top_nm - float((y - height / 2).min())
        self.pixel_nm = max(pixel_nm, max(width_nm, height_nm) / MOST_PX)
        self.width_px, self.height_px = (max(round(nm / self.pixel_nm), 1) for nm in (width_nm, height_nm))
        self.levels = max(math.ceil(math.log2(max(self.width_px, self.height_px))), 0)
        self.pasted: set[int] = set()
        self._pixels = np.full((self.height_px, self.width_px), _NOT_SEEN, dtype=np.uint8)

    def box_px(self, x_nm: float, y_nm: float, width_nm: float, height_nm: float) -> tuple[float, float, float, float]:
        """(left, top, width, height) in pixels of the picture, of a rectangle about a place."""
        left, top = (self.left_nm - x_nm - width_nm / 2), (self.top_nm - y_nm - height_nm / 2)
        return left / self.pixel_nm, top / self.pixel_nm, width_nm / self.pixel_nm, height_nm / self.pixel_nm

    def paste(self, image: npt.NDArray[np.uint8], x_nm: float, y_nm: float, width_nm: float, height_nm: float) -> None:
        """Put a frame (H, W) about a place; what reaches beyond the specimen's area is left out."""
        left, top, width, height = (round(edge) for edge in self.box_px(x_nm, y_nm, width_nm, height_nm))
        size = (max(width, 1), max(height, 1))
        shown = Image.fromarray(image)
        pixels = np.asarray(shown if shown.size == size else shown.resize(size, Image.Resampling.BILINEAR))
        rows = slice(max(top, 0), min(top + size[1], self.height_px))
        columns = slice(max(left, 0), min(left + size[0], self.width_px))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            self._pixels[rows, columns] = inside

    def tile(self, level: int, column: int, row: int) -> bytes | None:
        """WebP of a tile; level ``levels`` is full size, each below it half as wide. None: there is no such."""
        if not 0 <= level <= self.levels:
            return None
        scale = 2 ** (self.levels - level)
        side = TILE_PX * scale
        part = self._pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        if row < 0 or column < 0 or not part.size:
            return None
        stream = io.BytesIO()
        Image.fromarray(part).reduce(scale).save(stream, format="WEBP", quality=80, method=0)
        return stream.getvalue()


class Atlas:
    """The mosaics of a survey's specimens. To be used by one thread: SQLite's connection is that thread's."""

    def __init__(self, folder: Path, trees: Mapping[str, TargetTree]) -> None:
        """Raises FolderError or JournalError."""
        self._reader = SurveyReader(folder)
        self._signal = self._reader.meta.config.get("scorer", {}).get("signal")
        self._trees = trees
        self._mosaics: dict[str, Mosaic] = {}
        self._limits: dict[str, tuple[float, float]] = {}
        self.unreadable: dict[str, set[int]] = {}
        """Overviews whose frame is missing or damaged, by specimen."""

    def mosaic(self, specimen: str, slice_s: float = SLICE_S) -> tuple[Mosaic, int]:
        """As far as it is pasted by now, and how many overviews there are. Raises KeyError for no such specimen."""
        tree = self._trees[specimen]
        until_s = time.monotonic() + slice_s
        rows = [row for row in self._reader.exposures(specimen) if _is_overview(row)]
        if specimen not in self._mosaics:
            pixel_nm = min((row.exposure.pixel_size_nm for row in rows), default=float(tree.width_nm.max()) / TILE_PX)
            mosaic = Mosaic(tree, pixel_nm)
            if rows:
                self._mosaics[specimen] = mosaic
        else:
            mosaic = self._mosaics[specimen]
        bad = self.unreadable.setdefault(specimen, set())
        waiting = [row for row in rows if row.id not in mosaic.pasted and row.id not in bad]
        if waiting and specimen not in self._limits:
            self._limits[specimen] = self._limits_of(rows)
        for row in waiting:
            image = self._image(row)
            if image is None:
                bad.add(row.id)
            else:
                self._paste(mosaic, row, image, self._limits[specimen])
            if time.monotonic() > until_s:
                break
        return mosaic, len(rows)

    def _paste(
        self, mosaic: Mosaic, row: ExposureRow, image: npt.NDArray[np.float32], limits: tuple[float, float]
    ) -> None:
        place = row.footprint
        x_nm, y_nm = place.x_nm, place.y_nm
        if row.frame is not None and row.frame.stage.x_nm is not None and row.frame.stage.y_nm is not None:
            x_nm, y_nm = row.frame.stage.x_nm, row.frame.stage.y_nm  # where it was taken, not where it was meant
        mosaic.paste(greys(image, limits), x_nm, y_nm, place.width_nm, place.height_nm)
        mosaic.pasted.add(row.id)

    def _limits_of(self, rows: list[ExposureRow]) -> tuple[float, float]:
        step = max(len(rows) // _SAMPLED, 1)
        found = [image.ravel() for image in map(self._image, rows[::step]) if image is not None]
        return limits_of(np.concatenate(found)) if found else (0.0, 1.0)

    def _image(self, row: ExposureRow) -> npt.NDArray[np.float32] | None:
        try:
            return image_of(self._reader.recorded(row.id), self._signal)
        except (ArchiveError, ValueError):
            return None


def _is_overview(row: ExposureRow) -> bool:
    return row.purpose is Purpose.SURVEY and row.state == "committed"
