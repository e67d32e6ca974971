"""The classical way to focus: sweep one coefficient at a time and go where the image is sharpest.

Sharpness is the variance of the image over its mean squared, less what counting noise adds (Groen, Young & Ligthart,
Cytometry 6 (1985) 81; the correction is that of Poisson's counts), of the frequencies of a band only. The peak is that
of a parabola through its logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

from instruments.aberrations import NAMES
from models.focus_likelihood import window
from models.focus_optics import Array

Expose: TypeAlias = Callable[[Array], Array]
"""From settings (8,) in nm, added to the probe's own coefficients, to an image (H, W) of counted electrons."""

TAPER = 0.5
"""Part of a frame's width over which its edges are faded out: their jump is no detail."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One coefficient through evenly spaced values about the best so far."""

    name: str
    """Of ``NAMES``."""
    half_width_nm: float
    images: int

    def __post_init__(self) -> None:
        sensible = self.name in NAMES and self.images >= 2 and math.isfinite(self.half_width_nm)
        if not (sensible and self.half_width_nm > 0):
            raise ValueError(f"a sweep needs a name of {NAMES}, 2 images and a width above 0; found {self}")


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a series of sweeps ended with."""

    settings_nm: Array
    """(8,) to be added to the probe's own coefficients for the sharpest image."""
    images: int
    settled: bool
    """False: a sweep peaked at its end, or nothing rose above the noise."""


def sharpness(image: npt.ArrayLike, pixel_nm: float, band_per_nm: tuple[float, float]) -> float:
    """Variance over mean squared of an image (H, W) of counts within a band of frequencies, without that of the noise.

    Near 0, of either sign, where nothing rises above the noise. Raises ValueError where the band holds no frequency.
    """
    counts = np.asarray(image, dtype=np.float64)
    rows, columns = counts.shape
    frequency = np.hypot(np.fft.fftfreq(rows, pixel_nm)[:, None], np.fft.rfftfreq(columns, pixel_nm)[None, :])
    inside = (frequency >= band_per_nm[0]) & (frequency <= band_per_nm[1]) & (frequency > 0)
    if not inside.any():
        raise ValueError(f"no frequency of a frame of {rows} × {columns} pixels lies in {band_per_nm} per nm: widen it")
    cover = window((rows, columns), TAPER)
    mean = float((counts * cover).sum() / cover.sum())
    if mean <= 0:
        return 0.0
    power = np.abs(fft.rfft2((counts - mean) * cover)) ** 2 - float((counts * cover**2).sum())
    twice = np.where((np.arange(power.shape[1]) % (columns / 2) == 0)[None, :], 1.0, 2.0)
    return float((power * twice)[inside].sum() / (counts.size * (cover**2).sum() * mean**2))


def peak_nm(places_nm: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[float, bool]:
    """Where scores (N,) at places (N,) peak, and whether that lies within them.

    A parabola through the logarithm of the best and its two neighbours at either side; scores' noise is even, so a
    logarithm counts by its score. Where none fits, the best place itself.

    >>> found, inside = peak_nm([-20.0, 0.0, 20.0], np.exp([-9.0, -1.0, -1.0]))
    >>> round(found, 6), inside
    (10.0, True)
    """
    order = np.argsort(np.asarray(places_nm, dtype=np.float64))
    places = np.asarray(places_nm, dtype=np.float64)[order]
    values = np.asarray(scores, dtype=np.float64)[order]
    best = int(np.argmax(values))
    near = slice(max(best - 2, 0), best + 3)
    x, y = places[near], values[near]
    x, y = x[y > 0], y[y > 0]
    if len(x) < 3:
        return float(places[best]), False
    span = float(np.ptp(x))
    curve, slope, _ = np.polyfit((x - places[best]) / span, np.log(y), 2, w=y / y.max() + 1e-3)
    if curve >= 0:
        return float(places[best]), False
    found = float(places[best] - span * slope / (2 * curve))
    if not places[0] <= found <= places[-1]:
        return float(places[best]), False
    return found, True


def tune(expose: Expose, sweeps: Sequence[Sweep], pixel_nm: float, band_per_nm: tuple[float, float]) -> Tuned:
    """Sweep after sweep, each about what those before it found. Raises as ``sharpness`` does."""
    settings, taken, settled = np.zeros(len(NAMES)), 0, True
    for sweep in sweeps:
        name = NAMES.index(sweep.name)
        places = settings[name] + np.linspace(-sweep.half_width_nm, sweep.half_width_nm, sweep.images)
        scores = []
        for place in places:
            asked = settings.copy()
            asked[name] = place
            scores.append(sharpness(expose(asked), pixel_nm, band_per_nm))
            taken += 1
        settings[name], inside = peak_nm(places, scores)
        settled = settled and inside
    return Tuned(settings, taken, settled)
