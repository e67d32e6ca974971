"""Cells of a folder as pictures: the most unusual, where in them the surprise lies, and those to say something of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from instruments.images import read_single

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from surveys.folder import ImageFlag
    from surveys.folder_said import Cell

Image2d: TypeAlias = npt.NDArray[np.float32]

_SHOWN_PX = 160
_ASKED_PX, _BESIDE, _GAP_PX, _LINE_PX = 240, 6, 10, 30
_AROUND = 3
"""Widths of a cell that are shown of its image."""
_OUTLINE = "#ffd400"


def gallery(flags: Sequence[ImageFlag], most: int = 12) -> Image.Image:
    """Each as its cell, where in it the surprise lies, and the usual place most like it, side by side."""
    shown, line, gap = flags[:most], 22, 8
    sheet = Image.new("RGB", (3 * _SHOWN_PX + 4 * gap, max(len(shown), 1) * (_SHOWN_PX + line + gap) + gap), "white")
    drawn, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    images: dict[Path, Image2d] = {}

    def cut(path: Path, row: int, column: int, size: int) -> tuple[Image2d, tuple[float, float]]:
        if path not in images:
            images[path] = read_single(path).data
        image = images[path]
        top = min(max(row, 0), image.shape[0] - size)
        left = min(max(column, 0), image.shape[1] - size)
        low, high = np.percentile(image, (0.5, 99.5))
        return image[top : top + size, left : left + size], (float(low), float(high))

    for rank, flag in enumerate(shown):
        top = gap + rank * (_SHOWN_PX + line + gap)
        cell, limits = cut(flag.path, flag.row_px, flag.column_px, flag.cell_px)
        path, row, column = flag.alike[0]
        usual, of_usual = cut(path, row - flag.cell_px // 2, column - flag.cell_px // 2, flag.cell_px)
        grey = _grey(cell, limits)
        for n, picture in enumerate((grey, _tinted(grey, flag.reason.saliency), _grey(usual, of_usual))):
            sheet.paste(picture.resize((_SHOWN_PX, _SHOWN_PX)), (gap + n * (_SHOWN_PX + gap), top))
        told = f"{rank + 1}. {flag.path.name} ({flag.row_px}, {flag.column_px})  {flag.score:.1f} spreads"
        drawn.text((gap, top + _SHOWN_PX + 2), told, fill="black", font=font)
    return sheet


def asked(cells: Sequence[tuple[int, Cell]], cell_px: int, images: Sequence[Path]) -> Image.Image:
    """Each cell of ``cells`` under its number, outlined amid its surroundings, six in a row.

    Greys are those of its whole image, so that a dark place looks dark.
    """
    files, shown = {path.name: path for path in images}, dict[str, Image2d]()
    deep = -(-len(cells) // _BESIDE)
    wide_px, high_px = _ASKED_PX + _GAP_PX, _ASKED_PX + _LINE_PX + _GAP_PX
    sheet = Image.new("RGB", (min(len(cells), _BESIDE) * wide_px + _GAP_PX, deep * high_px + _GAP_PX), "white")
    drawn, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(22), ImageFont.load_default(13)
    for n, (number, (name, row, column)) in enumerate(cells):
        if name not in shown:
            shown[name] = read_single(files[name]).data
        image = shown[name]
        top, left = (
            min(max(corner - cell_px * (_AROUND - 1) // 2, 0), max(size - cell_px * _AROUND, 0))
            for corner, size in zip((row, column), image.shape, strict=True)
        )
        around = image[top : top + cell_px * _AROUND, left : left + cell_px * _AROUND]
        low, high = np.percentile(image, (0.5, 99.5))
        scale = _ASKED_PX / (cell_px * _AROUND)
        grey = _grey(around, (float(low), float(high)))
        grey = grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.BICUBIC)
        x, y = _GAP_PX + n % _BESIDE * wide_px, _GAP_PX + n // _BESIDE * high_px
        sheet.paste(grey, (x, y + _LINE_PX))
        first = (x + (column - left) * scale - 1, y + _LINE_PX + (row - top) * scale - 1)
        drawn.rectangle((*first, *(at + cell_px * scale + 1 for at in first)), outline=_OUTLINE, width=2)
        drawn.text((x, y), str(number), fill="black", font=large)
        drawn.text((x + 40, y + 9), _shortened(name), fill="black", font=small)
    return sheet


def _shortened(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def _grey(image: Image2d, limits: tuple[float, float]) -> Image.Image:
    low, high = limits
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _tinted(grey: Image.Image, saliency: Image2d) -> Image.Image:
    high = max(float(saliency.max()), 1e-9)
    hot = colormaps["inferno"](np.clip(saliency / high, 0, 1))[..., :3] * 255
    tint = Image.fromarray(hot.astype(np.uint8)).resize(grey.size, Image.Resampling.BILINEAR)
    return Image.blend(grey, tint, 0.5)
