"""What a frame's quality is, in numbers that need no reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from instruments.types import Frame

Ratio: TypeAlias = float

LEAST_SNR: Ratio = 0.5
"""Of a frame that is of use: its structure against its noise, both as standard deviations of a pixel."""
MOST_SATURATED: Ratio = 0.01
"""Share of pixels at the frame's maximum."""


def frame_quality(image: npt.NDArray[np.float32]) -> dict[str, float]:
    """Quality of an image (H, W) in counts.

    ``snr``: standard deviation of the structure over that of the noise, from two interleaved halves.
    ``sharpness``: share of the structure's variance that is finer than 4 px.
    ``saturated_fraction``: pixels at the frame's maximum, beyond the one that must be there.
    ``blank``: 1 where the frame holds nothing (all pixels alike, or fewer than 1 count per 50 pixels).
    """
    pixels = np.asarray(image, dtype=np.float32)
    highest = float(pixels.max())
    blank = float(highest == float(pixels.min()) or abs(float(pixels.mean())) < 0.02)
    if blank:
        return {"snr": 0.0, "sharpness": 0.0, "saturated_fraction": 0.0, "blank": 1.0}
    variance = float(pixels.var(dtype=np.float64))
    # White noise from the 3×3 Laplacian-like mask that no straight edge answers to (Immerkær 1996, eq. 3).
    noise_mask = np.outer((1, -2, 1), (1, -2, 1)).astype(np.float32)
    noise = float((ndimage.convolve(pixels, noise_mask, mode="nearest") ** 2).mean()) / 36.0
    structure = max(variance - noise, 1e-12 * variance)
    coarse = float(ndimage.uniform_filter(pixels, 5, mode="nearest").var(dtype=np.float64))
    fine = max(variance - coarse - noise * 24 / 25, 0.0)
    at_highest = int((pixels == highest).sum())
    return {
        "snr": float(np.sqrt(structure / max(noise, 1e-12 * variance))),
        "sharpness": fine / structure,
        "saturated_fraction": (at_highest - 1) / pixels.size if at_highest > 1 else 0.0,
        "blank": 0.0,
    }


def sees_no_beam(frame: Frame) -> bool:
    """Whether every detector counted as if the beam were off: a hole darkens one detector and lights another.

    Dark is a mean that lies within five standard errors of the detector's declared offset.
    """
    for signal in frame.signals.values():
        counts = np.asarray(signal.data, dtype=np.float32)
        above = float(counts.mean(dtype=np.float64)) - signal.calibration.get("offset_counts", 0.0)
        if above > 5.0 * float(counts.std(dtype=np.float64)) / counts.size**0.5:
            return False
    return True


def usable(quality: Mapping[str, float]) -> bool:
    """Whether a frame of this quality is of use: not blank, not saturated, structure above half the noise."""
    return (
        not quality["blank"]
        and quality["saturated_fraction"] < MOST_SATURATED
        and quality["snr"] >= LEAST_SNR
        and math.isfinite(quality["snr"])
    )
