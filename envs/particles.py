"""Particles of a frame that changes: how many, how large, how much of them, each with what it may be off.

Numbers and volumes are told as logarithms above a floor, as theories of them are compared (``models.kinetics``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

Floats: TypeAlias = npt.NDArray[np.float32]
Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

DESCRIPTORS = ("number", "radius", "spread", "volume", "fraction")
_OUTSTANDING = 4.5
"""Noise deviations above the surroundings from which a smoothed pixel belongs to a particle."""
_SMOOTH_px = 1.0
_GAUSS_NOISE: Ratio = 0.2821
"""What a Gaussian of one pixel leaves of white noise: 1 / (2 √π)."""
_FEWEST_PX = 5
_HALF_HEIGHT: Ratio = 0.80
"""Radius at half of a particle's peak over its radius: √3/2 of a sphere without noise; as noise lifts the peak less,
calibrated on simulated frames."""
_BLUR_px2 = 0.5
"""By how much smoothing widens the square of that radius, calibrated likewise."""
_APART_px = 2
_FEWEST_SIZES = 3
_COUNTING: Ratio = 0.5
_SIZING: Ratio = 0.1
_SIZING_px = 0.3
_SCATTER_px = 0.28
"""By how much the radius of one particle scatters for its pixels."""
_SPREADING: Ratio = 0.12
_SURE_OF_VOLUME: Ratio = 0.03
_SURE_OF_SIZE: Ratio = 0.02
_SURE_OF_SPREAD: Ratio = 0.02
SURE_OF_MERGING: Ratio = 0.25
_CLEAR: Ratio = 0.25
_UNSURE_COUNT: Ratio = 0.4
_UNSURE_SIZE: Ratio = 0.12
_COARSE: Ratio = 0.45
"""Pixels of more than this part of the radius tell nothing of how sizes scatter."""
MOST_MERGED: Ratio = 0.7
"""ln of the factor at which what is told apart says little of what is there."""
_MAD: Ratio = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """What particles do to a detector's image."""

    per_nm: float
    """Change of the share of the electrons that arrive, for one nm of the material; below 0 where they are dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """How one look shows particles that are known, measured on standards (``envs.track_standards``)."""

    merging_nm: float = 0.0
    """Two whose middles are closer than their diameter and this are counted as one."""
    smallest: Ratio = 1.0
    """The radius from which on they are seen, over what counting noise lets expect."""
    size_offset_nm: float = 0.0
    size_slope: Ratio = 1.0
    """True radius = offset + slope × measured one."""


AS_IS = Response()


@dataclass(frozen=True, slots=True)
class Measured:
    """What one exposure has told of a place; nan: nothing of it."""

    values: Array
    """(descriptors,)"""
    sds: Array
    """(descriptors,)"""
    count: int
    """Of the particles that were seen one by one."""
    smallest_nm: float
    """Radius from which on they are."""
    volume_floor_nm: float


@lru_cache(maxsize=256)
def smallest_radius_nm(
    pixel_nm: float, electrons_per_px: float, contrast: Contrast, background: Ratio, response: Response = AS_IS
) -> float:
    """The radius of a sphere that stands out of counting noise in such a frame, and covers pixels enough.

    ``background``: share of the electrons that arrive beside the particles.
    """
    noise = _OUTSTANDING * _GAUSS_NOISE / _SMOOTH_px * math.sqrt(max(background, 1e-6) / electrons_per_px)
    # a sphere that the smoothing just spreads over: 2 r |c| (1 − exp(−r²/(2 s²))) is close to what stands in its middle
    low, high = 0.05 * pixel_nm, 100 * pixel_nm
    for _ in range(40):
        r = math.sqrt(low * high)
        stands = 4 / 3 * r * abs(contrast.per_nm) * -math.expm1(-((r / (_SMOOTH_px * pixel_nm)) ** 2) / 2)
        low, high = (r, high) if stands < noise else (low, r)
    return response.smallest * max(high, math.sqrt(_FEWEST_PX / math.pi) * pixel_nm)


def describe_particles(
    shares: Floats, electrons_per_px: float, pixel_nm: float, contrast: Contrast, response: Response = AS_IS
) -> Measured:
    """Descriptors of an image (H, W) in shares of the electrons sent.

    Particles are counted by the rule of Gundersen (J. Microsc. 111, 219 (1977)): those that touch the upper or left
    border count, those at the lower or right do not; sizes are of those that touch none.
    """
    area_nm2 = shares.size * pixel_nm**2
    sign = math.copysign(1.0, contrast.per_nm)
    smooth = sign * ndimage.gaussian_filter(shares, _SMOOTH_px)
    middle = _background(smooth)
    noise = _MAD * float(np.median(np.abs(smooth[smooth <= middle] - middle)))
    found, raw_nm = _sizes(*_separate(smooth - middle, _OUTSTANDING * max(noise, 1e-12)), pixel_nm)
    radii_nm = np.maximum(response.size_offset_nm + response.size_slope * raw_nm, 0.25 * pixel_nm)
    count = unmerged(found, float(radii_nm.mean()) if len(radii_nm) else 0.0, area_nm2, response)
    volume_nm = max(float(sign * shares.mean(dtype=np.float64)) - middle, 0.0) / abs(contrast.per_nm)
    floor_nm = volume_floor_nm(electrons_per_px * shares.size, contrast, abs(middle))
    values = np.full(5, np.nan)
    values[0] = math.log((count + 0.5) / (area_nm2 * 1e-6))
    values[3] = math.log(volume_nm + floor_nm)
    if len(radii_nm):
        values[1] = math.log(float(radii_nm.mean()))
    if len(radii_nm) > _FEWEST_SIZES:
        own = (float(radii_nm.std()) / float(radii_nm.mean())) ** 2 - (_SCATTER_px * pixel_nm / radii_nm.mean()) ** 2
        values[2] = math.sqrt(max(float(own), 0.0))
    told_nm = float(radii_nm.mean()) if len(radii_nm) else 0.0
    smallest = smallest_radius_nm(pixel_nm, electrons_per_px, contrast, abs(middle), response)
    sds = image_sds(count, len(radii_nm), told_nm, volume_nm, pixel_nm, floor_nm, smallest)
    values[np.isnan(sds)] = np.nan
    sds[0] = math.hypot(sds[0], SURE_OF_MERGING * math.log(max(count, 1) / max(found, 1)))
    return Measured(values, sds, found, smallest, floor_nm)


def unmerged(found: Ratio, radius_nm: float, area_nm2: float, response: Response) -> Ratio:
    """How many particles there are where so many were told apart.

    Of n per area n exp(−n π d² ÷ 2) are, where two closer than d are one: randomly placed discs, to the first order.
    """
    pair_nm2 = math.pi * (2 * radius_nm + response.merging_nm) ** 2 / 2 / area_nm2
    count = float(found)
    for _ in range(30):
        count = found * math.exp(min(count * pair_nm2, MOST_MERGED))
    return count


def volume_floor_nm(electrons: float, contrast: Contrast, background: Ratio) -> float:
    """Standard deviation of a frame's mean volume per area, from counting."""
    return 1.5 * math.sqrt(max(background, 1e-9) / electrons) / abs(contrast.per_nm)


def image_sds(
    count: Array | Ratio,
    whole: Array | Ratio,
    radius_nm: Array | float,
    volume_nm: Array | float,
    pixel_nm: float,
    floor_nm: float,
    smallest_nm: float,
) -> Array:
    """(…, descriptors) standard deviations of what images tell; nan: nothing.

    By the number of particles in view and of those that lie ``whole`` in it, their mean radius and their volume (…,).
    Held against rendered frames by ``python -m benchmarks.tracking --only calibration``.
    """
    count, whole, radius_nm, volume_nm = (np.asarray(x, dtype=np.float64) for x in (count, whole, radius_nm, volume_nm))
    sds = np.full((*count.shape, len(DESCRIPTORS)), np.nan)
    # where most particles are hardly seen, it is not known well which are
    unsure = np.where(radius_nm > 0, np.exp(-np.maximum(radius_nm / smallest_nm - 1, 0.0) / _CLEAR), 0.0)
    sds[..., 0] = np.hypot(_COUNTING / np.sqrt(count + 0.5), _UNSURE_COUNT * unsure)
    sds[..., 3] = np.hypot(floor_nm / (volume_nm + floor_nm), _SURE_OF_VOLUME)
    some = np.sqrt(np.maximum(whole, 1.0))
    each = np.hypot(_SIZING, _SIZING_px * pixel_nm / np.where(whole >= 1, radius_nm, 1.0))
    off = np.hypot(np.hypot(each / some, _SURE_OF_SIZE), _UNSURE_SIZE * unsure)
    sds[..., 1] = np.where(whole >= 1, off, np.nan)
    told = (whole > _FEWEST_SIZES) & (pixel_nm < _COARSE * radius_nm)
    sds[..., 2] = np.where(told, np.hypot(_SPREADING / some, _SURE_OF_SPREAD), np.nan)
    return sds


def _background(smooth: Floats) -> float:
    """The level beside the particles: the mean of what does not stand out, found in rounds."""
    kept = smooth.ravel()
    for _ in range(3):
        middle = float(np.median(kept))
        spread = _MAD * float(np.median(np.abs(kept - middle)))
        kept = kept[np.abs(kept - middle) < 2.5 * spread + 1e-12]
    return float(np.mean(kept, dtype=np.float64))


def _separate(above: Floats, threshold: float) -> tuple[npt.NDArray[np.int32], Floats]:
    """Labels (H, W) of particles, parted where they touch and are narrowest; and what they were found in."""
    mask = above > threshold
    depth = ndimage.distance_transform_edt(mask)
    smooth = ndimage.gaussian_filter(depth, 1.0)
    peaks = (smooth == ndimage.maximum_filter(smooth, 2 * _APART_px + 1)) & mask
    markers, _ = ndimage.label(peaks, structure=np.ones((3, 3)))
    return watershed(-smooth, markers, mask=mask), above


def _sizes(labels: npt.NDArray[np.int32], above: Floats, pixel_nm: float) -> tuple[int, Array]:
    """How many labels count, and the radii of those that touch no border."""
    highest = int(labels.max())
    if highest == 0:
        return 0, np.zeros(0)
    which = labels.ravel()
    real = np.bincount(which, minlength=highest + 1) >= _FEWEST_PX
    real[0] = False
    last, first = np.zeros(highest + 1, dtype=bool), np.zeros(highest + 1, dtype=bool)
    last[labels[-1]] = last[labels[:, -1]] = True
    first[labels[0]] = first[labels[:, 0]] = True
    peak = np.asarray(ndimage.maximum(above, labels, np.arange(highest + 1)))
    high = above.ravel() > peak[which] / 2
    half = np.bincount(which[high], minlength=highest + 1)
    wide_px = np.sqrt(half[real & ~last & ~first] / math.pi)
    radii_px = np.sqrt(np.maximum(wide_px**2 - _BLUR_px2, 0.25 * wide_px**2)) / _HALF_HEIGHT
    return int((real & ~last).sum()), radii_px * pixel_nm
