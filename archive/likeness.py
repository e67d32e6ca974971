"""What an image looks like as a short vector, without a network: how its places are, and how much they differ.

Windows of 64 pixels over the image are described (``envs.descriptors``: contrast by scale, lattice, objects, edges);
the median and the spread of each descriptor over them are kept. Mean brightness is left out: it is the detector's gain.
Lengths are in nm; where nobody told the pixel size they are unknown, and ``library_vectors`` takes them as usual ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from envs.descriptors import DESCRIPTORS, FABRIC, SMALLEST_WINDOW_PX, describe_windows, transformed
from envs.scorers import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

Vector: TypeAlias = npt.NDArray[np.float32]

MODEL = "descriptors-1"
"""Changes when any number of the vector means something else."""
_WINDOW_PX = 64
_MOST_WINDOWS = 36
_MOST_PX = 1024
"""Along each side: of a larger image the middle."""
_COLUMNS = np.array([column for column in FABRIC if DESCRIPTORS[column].name != "mean_counts"])
_LENGTHS = np.array([DESCRIPTORS[column].unit == "nm" for column in _COLUMNS])
SIZE = 2 * len(_COLUMNS)


def embed(image: npt.NDArray[np.generic], pixel_size_nm: float | None) -> Vector | None:
    """(H, W) → (SIZE,) float32; None for an image that is too small, blank or not finite."""
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.ndim != 2 or min(pixels.shape) < SMALLEST_WINDOW_PX or not np.isfinite(pixels).all():
        return None
    top, left = (max(size - _MOST_PX, 0) // 2 for size in pixels.shape)
    pixels = pixels[top : top + _MOST_PX, left : left + _MOST_PX]
    if pixels.max() == pixels.min():
        return None
    rows = transformed(describe_windows(pixels, _windows(pixels.shape), pixel_size_nm or 1.0))[:, _COLUMNS]
    middle, spread = np.median(rows, axis=0), np.median(np.abs(rows - np.median(rows, axis=0)), axis=0)
    if pixel_size_nm is None:
        middle[_LENGTHS] = np.nan
    return np.concatenate([middle, spread]).astype(np.float32)


def typical(vectors: Sequence[Vector | None]) -> Vector | None:
    """The median of several images' vectors; None where none could be made."""
    known = [vector for vector in vectors if vector is not None]
    return np.median(np.stack(known), axis=0).astype(np.float32) if known else None


def _windows(shape: tuple[int, ...]) -> list[Window]:
    """At most ``_MOST_WINDOWS`` equal windows, spread evenly."""
    size = min(_WINDOW_PX, *shape)
    across = int(_MOST_WINDOWS**0.5)
    starts = [
        np.unique(np.linspace(0, length - size, min(max(length // size, 1), across)).astype(int)) for length in shape
    ]
    return [Window((int(r), int(r) + size), (int(c), int(c) + size)) for r in starts[0] for c in starts[1]]
