"""The most unusual cells of a folder as a picture: each, where in it the surprise lies, and a usual place beside it."""

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

Image2d: TypeAlias = npt.NDArray[np.float32]

_SHOWN_PX = 160


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


def _grey(image: Image2d, limits: tuple[float, float]) -> Image.Image:
    low, high = limits
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1) * 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _tinted(grey: Image.Image, saliency: Image2d) -> Image.Image:
    high = max(float(saliency.max()), 1e-9)
    hot = colormaps["inferno"](np.clip(saliency / high, 0, 1))[..., :3] * 255
    tint = Image.fromarray(hot.astype(np.uint8)).resize(grey.size, Image.Resampling.BILINEAR)
    return Image.blend(grey, tint, 0.5)
