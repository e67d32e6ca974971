"""From places to pixels: the mean share of electrons that each detector gets at every pixel of a frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from instruments.simulated.detectors import DETECTORS
from instruments.simulated.projection import Canvas

if TYPE_CHECKING:
    from instruments.simulated.column import Probe
    from instruments.simulated.damage import FluenceMap
    from instruments.simulated.hashing import Floats
    from instruments.simulated.numbers import Ratio
    from instruments.simulated.specimen import Specimen
    from instruments.types import Exposure


def render(
    specimen: Specimen,
    fluence: FluenceMap,
    probe: Probe,
    exposure: Exposure,
    centre_nm: tuple[float, float],
    *,
    own_e_per_A2: float = 0.0,
    row_drift_nm: tuple[float, float] = (0.0, 0.0),
    thicker: Ratio = 1.0,
) -> dict[str, Floats]:
    """Noiseless images by detector, (H, W) shares of the electrons sent, between 0 and 1.

    ``centre_nm`` is the place under the middle of the frame, ``own_e_per_A2`` what the frame itself does to what it
    shows, ``row_drift_nm`` how far it moves while one row is scanned
    (which shears the frame), ``thicker`` the path through a tilted specimen over its thickness.
    """
    height, width = exposure.shape
    pixel = exposure.pixel_size_nm
    turn = _turn(exposure.rotation_deg, pixel)
    shear = np.array([[0.0, row_drift_nm[1]], [0.0, row_drift_nm[0]]])  # (y, x) by (column, row)
    straight = exposure.rotation_deg == 0 and np.abs(shear).max() * height < 0.5 * pixel
    margin = min(math.ceil(probe.reach_nm() / pixel) + 2, max(height, width) // 2)
    if straight:
        rows, columns = height, width
    else:
        rows = columns = math.ceil(math.hypot(height, width)) + 2 * math.ceil(np.abs(shear).max() * height / pixel)
    shape = fft.next_fast_len(rows + 2 * margin), fft.next_fast_len(columns + 2 * margin)
    # The frame's middle lies on the border between pixels n/2 − 1 and n/2 where the frame has an even number n.
    top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
    canvas = Canvas(
        x0_nm=centre_nm[0] + pixel * (left + (columns - 1) / 2),
        y0_nm=centre_nm[1] + pixel * (top + (rows - 1) / 2),
        pixel_nm=pixel,
        shape=shape,
    )
    materials = specimen.project(canvas, fluence.on(canvas), own_e_per_A2)
    if thicker != 1.0:
        for material in (materials.film_nm, materials.light_nm, materials.heavy_nm):
            material *= np.float32(thicker)
    images = probe.blur([model(materials) for model in DETECTORS.values()], pixel)
    if straight:
        cut = [image[top : top + height, left : left + width] for image in images]
    else:
        # place − centre = shear·row − turn·(column, row); canvas index = first index − (place − centre) / pixel
        to_canvas = (turn - shear)[:, ::-1] / pixel
        middle = np.array([top + (rows - 1) / 2, left + (columns - 1) / 2])
        offset = middle - to_canvas @ np.array([(height - 1) / 2, (width - 1) / 2])
        cut = [
            ndimage.affine_transform(image, to_canvas, offset, (height, width), order=1, mode="nearest")
            for image in images
        ]
    return {name: np.maximum(image, 0) for name, image in zip(DETECTORS, cut, strict=True)}


def _turn(rotation_deg: float, pixel_nm: float) -> np.ndarray:
    """The step of the place, in nm along (y, x), per (column, row), but for its sign."""
    angle = math.radians(rotation_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    return pixel_nm * np.array([[sin, cos], [cos, -sin]])
