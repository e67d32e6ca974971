"""What drift does to an exposure of all pixels at once: a scan is sheared by it, an image blurred along its way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from instruments.simulated.hashing import Floats
    from instruments.types import Exposure


def way_px(moved_nm: tuple[float, float], exposure: Exposure) -> tuple[float, float]:
    """(rows down, columns right) in the frame of a place's motion (x, y).

    >>> from instruments.types import Exposure
    >>> way_px((2.0, 0.0), Exposure(field_of_view_nm=64.0, shape=(64, 64), dwell_us=1.0))
    (0.0, -2.0)
    """
    turn = math.radians(exposure.rotation_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = (each / exposure.pixel_size_nm for each in moved_nm)
    return sin * x - cos * y, -cos * x - sin * y


def smeared(image: Floats, along_px: tuple[float, float]) -> Floats:
    """An image (H, W) whose content moved evenly by ``along_px`` (rows, columns) while it was taken.

    Borders are continued by their mirror image.
    """
    rows, columns = along_px
    if math.hypot(rows, columns) < 0.1:
        return image
    margin = [min(n - 1, math.ceil(abs(way))) for n, way in zip(image.shape, along_px, strict=True)]
    padded = np.pad(image, [(n, n) for n in margin], mode="reflect")
    down, right = np.fft.fftfreq(padded.shape[0])[:, None], np.fft.rfftfreq(padded.shape[1])[None]
    spectrum = fft.rfft2(padded) * np.sinc(down * rows + right * columns).astype(np.float32)
    whole = fft.irfft2(spectrum, s=padded.shape)
    seen: Floats = whole[margin[0] : margin[0] + image.shape[0], margin[1] : margin[1] + image.shape[1]]
    return seen
