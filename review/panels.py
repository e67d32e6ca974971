"""What was measured of a place besides images: its mean spectrum and its mean diffraction pattern, as small panels.

Counts are shown by their logarithm: the direct beam is thousands of times stronger than what it is looked at for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from instruments.types import Frame, Signal

Array: TypeAlias = npt.NDArray[np.float32]
Limits: TypeAlias = tuple[float, float]

_INK, _LINE_PX, _WORDS_PX = 0, 2, 20


@dataclass(frozen=True, slots=True)
class Panel:
    """One signal of a place."""

    values: Array
    """(E,) of a spectrum, (Ky, Kx) of a pattern: the logarithm of one more than the mean counts."""
    extent: str
    """What it reaches over, in words."""


def panels_of(frame: Frame, within: tuple[slice, slice]) -> dict[str, Panel]:
    """By detector, every spectrum image and every scan of patterns of a frame.

    ``within``: rows and columns of the place in an image of the frame; a scan of another size is taken whole.
    """
    return {
        name: Panel(_mean(signal, frame.exposure.shape, within), _extent(signal))
        for name, signal in frame.signals.items()
        if _is_spectrum(signal) or _is_pattern(signal)
    }


def drawn(panel: Panel, limits: Limits, side_px: int) -> Image.Image:
    """A square picture: a spectrum as a curve between the limits, a pattern in greys between them."""
    low, high = limits
    shares = np.clip((np.nan_to_num(panel.values) - low) / max(high - low, 1e-9), 0, 1)
    if panel.values.ndim == 2:
        grey = Image.fromarray(np.asarray(shares * 255, dtype=np.uint8))
        return grey.resize((side_px, side_px), Image.Resampling.NEAREST)
    picture = Image.new("L", (side_px, side_px), 255)
    pen = ImageDraw.Draw(picture)
    across = np.linspace(0, side_px - 1, len(shares))
    down = _WORDS_PX + (1 - shares) * (side_px - 1 - _LINE_PX - _WORDS_PX)
    pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=_INK, width=_LINE_PX)
    pen.rectangle((0, 0, side_px - 1, side_px - 1), outline=160)
    pen.text((side_px - 4, 4), panel.extent, fill=_INK, font=ImageFont.load_default(12), anchor="ra")
    return picture


def _is_spectrum(signal: Signal) -> bool:
    return signal.data.ndim == 3 and signal.axes[-1].name == "energy"


def _is_pattern(signal: Signal) -> bool:
    return signal.data.ndim == 4 and signal.axes[-1].name == "kx"


def _mean(signal: Signal, shape: tuple[int, int], within: tuple[slice, slice]) -> Array:
    counts = signal.data[within] if signal.data.shape[:2] == tuple(shape) else signal.data
    mean = counts.mean(axis=(0, 1), dtype=np.float64)
    return np.asarray(np.log10(1 + np.maximum(mean, 0)), dtype=np.float32)


def _extent(signal: Signal) -> str:
    axis, count = signal.axes[-1], signal.data.shape[-1]
    return f"{axis.offset:.4g} to {axis.offset + axis.scale * (count - 1):.4g} {axis.unit}"
