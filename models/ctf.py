"""The fit of a contrast transfer function to one image, and how far it can be trusted: focus, resolution, confidence.

Focus comes of ``focus_rings``. How good the fit is, is judged as CTFFIND4 does (Rohou & Grigorieff, J. Struct. Biol.
192 (2015) 216): the radial power, averaged along lines of equal phase, is correlated with the fitted sin² in a window
that slides outwards; the fit's resolution is where that correlation falls below one half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.aberrations import NAMES
from instruments.physics import wavelength_nm
from models.focus_rings import phase_contrast, ring_fit

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float

ENOUGH: Ratio = 0.5
"""Correlation down to which the fit is believed."""
_STEP: Ratio = 0.15
"""Of the search, in the change of C10 that moves the rings at half of the highest frequency by one."""
_WINDOW_RINGS = 1.5
"""Periods of sin² under the sliding window."""
_FEWEST = 8
_BINS_PER_TILE = 2


@dataclass(frozen=True, slots=True)
class CtfFit:
    """What the rings of one image say."""

    defocus_nm: float
    """C10; < 0 is underfocus. Without C30 or amplitude contrast its sign is not told by one image."""
    defocus_std_nm: float
    astigmatism_nm: float
    """Length of C12."""
    resolution_nm: float | None
    """Down to which the rings agree with the fit; None where they nowhere do."""
    score: Ratio
    """Mean correlation from the first ring down to the resolution; 0 where they nowhere agree."""
    settled: bool
    """False: the fit is not to be believed; ``reason`` says why."""
    reason: str


def ctf_fit(
    image: npt.ArrayLike,
    pixel_nm: float,
    voltage_kV: float,
    *,
    c30_nm: float = 0.0,
    amplitude_contrast: Ratio = 0.07,
    near_nm: float = 0.0,
    range_nm: float = 1500.0,
    highest_per_nm: float | None = None,
    tile_px: int = 256,
) -> CtfFit:
    """Of one image (H, W) of a wide beam: C10 is looked for within ``range_nm`` of ``near_nm``.

    ``highest_per_nm``: rings further out are left out; None = up to 0.8 of what the pixels can show. Raises ValueError.
    """
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 2 or min(pixels.shape) < 2 * _FEWEST:
        raise ValueError(f"a CTF is fitted to one image (H, W), got an array of shape {pixels.shape}")
    tile = min(tile_px, *pixels.shape)
    highest = highest_per_nm or 0.4 / pixel_nm
    wavelength = wavelength_nm(voltage_kV)
    settings = np.zeros((1, len(NAMES)))
    settings[0, NAMES.index("C10")] = near_nm
    settings[0, NAMES.index("C30")] = c30_nm
    lens = phase_contrast(voltage_kV, amplitude_contrast=amplitude_contrast)
    step = min(_STEP / (wavelength * (highest / 2) ** 2), range_nm / 4)
    asked = {"pixel_nm": pixel_nm, "step_nm": step, "highest_per_nm": highest, "tile_px": tile}
    round_lens = ring_fit(pixels[None], settings, lens, c10_nm=range_nm, c12_nm=0.0, **asked)
    about = settings.copy()
    about[0, NAMES.index("C10")] += round_lens.found_nm[0]
    found = ring_fit(pixels[None], about, lens, c10_nm=3 * step, c12_nm=2 * step, **asked)
    unsure = [each.reason for each in (round_lens, found) if not each.settled]
    near_nm += float(round_lens.found_nm[0])
    c10, c12a, c12b = (float(value) for value in found.found_nm)
    radii, power = _radial(pixels, pixel_nm, tile, highest, c10 + near_nm, (c12a, c12b))
    chi = np.pi * wavelength * radii**2 * (c10 + near_nm) + 0.5 * np.pi * wavelength**3 * radii**4 * c30_nm
    model = np.sin(chi - math.asin(amplitude_contrast)) ** 2
    resolution_nm, score = _agreement(radii, power, model, chi)
    return CtfFit(
        defocus_nm=c10 + near_nm,
        defocus_std_nm=float(found.std_nm[0]),
        astigmatism_nm=math.hypot(c12a, c12b),
        resolution_nm=resolution_nm,
        score=score,
        settled=not unsure,
        reason=unsure[0] if unsure else "settled",
    )


def _radial(
    image: Array, pixel_nm: float, tile: int, highest_per_nm: float, c10_nm: float, c12_nm: tuple[float, float]
) -> tuple[Array, Array]:
    """(R,) frequencies and (R,) log power, averaged over tiles and along lines of equal phase of an astigmatic lens."""
    window = np.outer(np.hanning(tile), np.hanning(tile))
    places = [np.unique(np.linspace(0, size - tile, max(2 * size // tile - 1, 1)).astype(int)) for size in image.shape]
    power = np.zeros((tile, tile // 2 + 1))
    for row in places[0]:
        for column in places[1]:
            part = image[row : row + tile, column : column + tile]
            power += np.abs(np.fft.rfft2((part - part.mean()) * window)) ** 2
    ky, kx = np.fft.fftfreq(tile, pixel_nm)[:, None], np.fft.rfftfreq(tile, pixel_nm)[None]
    radius, angle = np.hypot(ky, kx), np.arctan2(ky, kx)
    local = c10_nm + c12_nm[0] * np.cos(2 * angle) + c12_nm[1] * np.sin(2 * angle)
    ratio = local / c10_nm if abs(c10_nm) > 1e-9 else np.ones_like(angle)
    even = radius * np.sqrt(np.clip(ratio, 0.25, 4.0))
    step = 1.0 / (tile * pixel_nm * _BINS_PER_TILE)
    ring = np.rint(even / step).astype(int)
    last = int(highest_per_nm / step)
    inside = (ring >= 1) & (ring <= last)
    weight = np.bincount(ring[inside], minlength=last + 1)[1:]
    total = np.bincount(ring[inside], power[inside], last + 1)[1:]
    there = weight > 0
    radii = np.asarray(step * np.arange(1, last + 1)[there], dtype=np.float64)
    return radii, np.asarray(np.log(np.maximum(total[there] / weight[there], 1e-300)), dtype=np.float64)


def _agreement(radii: Array, power: Array, model: Array, chi: Array) -> tuple[float | None, Ratio]:
    """The finest period down to which power and model agree, and how well they do."""
    turns = np.abs(np.gradient(chi, radii)) / np.pi  # periods of sin² per frequency
    spacing = float(np.median(np.diff(radii)))
    correlations = np.full(len(radii), np.nan)
    for place in range(len(radii)):
        width = _WINDOW_RINGS / max(float(turns[place]), 1e-9)
        half = int(np.clip(width / spacing / 2, _FEWEST / 2, len(radii) / 4))
        part = slice(max(place - half, 0), place + half + 1)
        seen, told = power[part], model[part]
        if len(seen) < _FEWEST or np.ptp(told) < 0.3:
            continue  # less than a ring lies under the window: it says nothing
        line = np.arange(len(seen)) - (len(seen) - 1) / 2
        flat = seen - seen.mean() - line * (line @ seen) / (line @ line)
        shape = told - told.mean() - line * (line @ told) / (line @ line)
        scale = math.sqrt(float(flat @ flat) * float(shape @ shape))
        correlations[place] = float(flat @ shape) / scale if scale > 0 else 0.0
    judged = np.flatnonzero(np.isfinite(correlations))
    if not len(judged) or correlations[judged[: len(judged) // 4 + 1]].max() < ENOUGH:
        return None, 0.0
    begun = judged[int(np.argmax(correlations[judged] >= ENOUGH))]
    after = judged[judged >= begun]
    fallen = after[correlations[after] < ENOUGH]
    end = int(fallen[0]) if len(fallen) else int(after[-1])
    trusted = correlations[(np.arange(len(radii)) >= begun) & (np.arange(len(radii)) < max(end, begun + 1))]
    return 1.0 / float(radii[end]), float(np.nanmean(trusted))
