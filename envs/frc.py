"""What two frames of one place say of one another: signal over noise, and the resolution that both confirm.

Noise differs between the frames and structure does not. Nothing is assumed of either but that the noise of the two is
independent: of the two halves of a burst, or of one frame of counted electrons split by chance (``split_dose``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from envs.drift import shift_px

Array: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.generic]
Ratio: TypeAlias = float

SEVENTH: Ratio = 1 / 7
"""The usual threshold of the ring correlation (Nieuwenhuizen et al., Nature Methods 10 (2013) 557)."""
SMALLEST_PX = 32
_SMOOTHED = 3
"""Rings on each side over which the curve is averaged before its crossing is read."""
_LASTING = 8
"""Rings on each side of a later one, over which the curve must be below too."""
_HANN_SHARE: Ratio = 4 / 9
"""Of a ring's numbers that are independent under a Hann window: 2/3 along each axis (equivalent noise bandwidth)."""


@dataclass(frozen=True, slots=True)
class TwoFrames:
    """Signal over noise of one of two frames."""

    snr: Ratio
    """Standard deviation of the structure over that of the noise of one frame."""
    snr_std: Ratio
    """Of ``snr``, from the noise alone."""
    shift_px: tuple[float, float] | None
    """Rows and columns by which the second lies off the first; None where that is not sure."""


@dataclass(frozen=True, slots=True)
class RingCorrelation:
    """The Fourier ring correlation of two frames."""

    cycles_per_px: Array
    """(R,) middles of the rings."""
    correlation: Array
    """(R,)"""
    numbers: Array
    """(R,) independent numbers in each ring."""
    pixel_nm: float

    def crossing_per_px(self, threshold: Ratio = SEVENTH) -> float | None:
        """Cycles per pixel at which the smoothed curve falls below and stays there on average; None where it does not.

        Rings at low frequencies hold few numbers: one that dips by chance, with agreement beyond it, is no end.
        """
        curve = smoothed(self.correlation, self.numbers)
        beyond = smoothed(curve, self.numbers, _LASTING)
        for place in map(int, np.flatnonzero(curve < threshold)):
            if beyond[min(place + _LASTING, len(curve) - 1)] >= threshold and place + _LASTING < len(curve):
                continue
            if place == 0:
                return float(self.cycles_per_px[0])
            high, low = float(curve[place - 1]), float(curve[place])
            share = min(max((high - threshold) / max(high - low, 1e-12), 0.0), 1.0)
            before, at = self.cycles_per_px[place - 1 : place + 1]
            return float(before + share * (at - before))
        return None

    def resolution_nm(self, threshold: Ratio = SEVENTH) -> float:
        """The period at the crossing; two pixels, all that they can show, where the curve never falls."""
        at = self.crossing_per_px(threshold)
        return self.pixel_nm / (0.5 if at is None else at)

    def resolution_std_nm(self, threshold: Ratio = SEVENTH) -> float | None:
        """Of the resolution, from the scatter of the curve about its crossing; None where it has none."""
        at = self.crossing_per_px(threshold)
        if at is None or len(self.cycles_per_px) < 3:
            return None
        place = int(np.argmin(np.abs(self.cycles_per_px - at)))
        around = slice(max(place - 2 * _SMOOTHED, 0), place + 2 * _SMOOTHED + 1)
        if len(self.correlation[around]) < 3:
            return None
        slope = float(np.polyfit(self.cycles_per_px[around], self.correlation[around], 1)[0])
        count = float(self.numbers[max(place - _SMOOTHED, 0) : place + _SMOOTHED + 1].sum())
        scatter = (1 - threshold**2) / math.sqrt(max(count, 1.0))
        return self.pixel_nm / at**2 * scatter / max(abs(slope), 1e-9)


def two_frame_snr(first: Image, second: Image) -> TwoFrames:
    """Of two frames (H, W) with the same structure and independent noise of equal strength.

    SNR² is the covariance of the frames over half the variance of their difference (Frank & Al-Ali, Nature 256 (1975)
    376, in amplitudes). The second is brought over the first by whole pixels where their shift is sure; what is left
    of a drift counts as noise. Raises ValueError for frames of different or too small shapes.
    """
    one, two = _pair(first, second)
    found = shift_px(one.astype(np.float32), two.astype(np.float32))
    if found is not None:
        one, two = _overlap(one, two, (round(found[0]), round(found[1])))
    noise = float(np.var(one - two)) / 2
    structure = float(np.mean((one - one.mean()) * (two - two.mean())))
    count = one.size
    if noise <= 0:
        return TwoFrames(math.inf if structure > 0 else 0.0, 0.0, found)
    square = max(structure, 0.0) / noise
    # conditional on the structure: Var cov = (2SN + N²) / n, Var N = 2N² / n
    square_std = math.sqrt((2 * square + 1 + 2 * square**2) / count)
    snr = math.sqrt(square)
    std = square_std / (2 * snr) if square > square_std else math.sqrt(square_std) / 2
    return TwoFrames(snr, std, found)


def ring_correlation(first: Image, second: Image, pixel_nm: float) -> RingCorrelation:
    """Fourier ring correlation (Saxton & Baumeister, J. Microsc. 127 (1982) 127) of two frames (H, W), Hann window.

    The second is brought over the first by its shift, to parts of a pixel. Raises ValueError.
    """
    one, two = _pair(first, second)
    found = shift_px(one.astype(np.float32), two.astype(np.float32))
    height, width = one.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    spectra = [np.fft.rfft2((image - image.mean()) * window) for image in (one, two)]
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    if found is not None:
        spectra[1] = spectra[1] * np.exp(2j * np.pi * (rows * found[0] + columns * found[1]))
    radius = np.hypot(rows, columns)
    weight = np.broadcast_to(np.where((columns == 0) | (columns == 0.5), 1.0, 2.0), radius.shape)
    step = 1.0 / min(height, width)
    ring = np.rint(radius / step).astype(int)
    last = int(0.5 / step)
    inside = (ring >= 1) & (ring <= last)

    def over(values: Array) -> Array:
        return np.asarray(np.bincount(ring[inside], (values * weight)[inside], last + 1)[1:], dtype=np.float64)

    cross = over((spectra[0] * np.conj(spectra[1])).real)
    power = np.sqrt(over(np.abs(spectra[0]) ** 2) * over(np.abs(spectra[1]) ** 2))
    return RingCorrelation(
        cycles_per_px=step * np.arange(1, last + 1),
        correlation=cross / np.maximum(power, 1e-300),
        numbers=over(np.ones(radius.shape)) / 2 * _HANN_SHARE,
        pixel_nm=pixel_nm,
    )


def split_dose(counts: Image, generator: np.random.Generator) -> tuple[Array, Array]:
    """One frame of counted electrons as two of half its dose, each electron to the one or the other by chance.

    Both are Poisson distributed where the frame was, and independent. Raises ValueError for what is no count: a signal
    with a gain or a read-out noise cannot be split so.
    """
    whole = np.asarray(counts)
    numbers = np.rint(whole.astype(np.float64))
    if not np.array_equal(numbers, whole) or (numbers < 0).any():
        raise ValueError("only counted electrons can be split, whole numbers of at least 0: this frame is not counted")
    half = generator.binomial(numbers.astype(np.int64), 0.5).astype(np.float64)
    return half, numbers - half


def halves(burst: npt.NDArray[np.generic]) -> tuple[Array, Array]:
    """The mean of the even and of the odd frames of a burst (T, H, W), T ≥ 2, so many of each."""
    frames = np.asarray(burst, dtype=np.float64)
    if frames.ndim != 3 or len(frames) < 2:
        raise ValueError(f"a burst has two frames or more, got an array of shape {frames.shape}")
    pairs = len(frames) // 2
    return frames[0 : 2 * pairs : 2].mean(axis=0), frames[1 : 2 * pairs : 2].mean(axis=0)


def smoothed(curve: Array, numbers: Array, rings: int = _SMOOTHED) -> Array:
    """(R,) mean over so many rings on each side, weighed by how many numbers each holds."""
    kernel = np.ones(2 * rings + 1)
    total = np.convolve(numbers, kernel, "same")
    return np.asarray(np.convolve(curve * numbers, kernel, "same") / np.maximum(total, 1e-300))


def expected_correlation(structure_power: npt.ArrayLike, noise_power: npt.ArrayLike) -> Array:
    """(R,) what the ring correlation is on average: power of the structure over structure and noise of one frame."""
    signal, noise = np.asarray(structure_power, np.float64), np.asarray(noise_power, np.float64)
    return np.asarray(signal / np.maximum(signal + noise, 1e-300))


def _pair(first: Image, second: Image) -> tuple[Array, Array]:
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 2 or one.shape != two.shape or min(one.shape) < SMALLEST_PX:
        raise ValueError(
            f"two frames of one shape, {SMALLEST_PX} pixels or more, are compared: got {one.shape}, {two.shape}"
        )
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("a frame holds values that are not finite")
    return one, two


def _overlap(one: Array, two: Array, by_px: tuple[int, int]) -> tuple[Array, Array]:
    """What both show, where the second shows the same further down and right by so many pixels."""

    def cut(shift: int, size: int) -> tuple[slice, slice]:
        return slice(max(-shift, 0), size - max(shift, 0)), slice(max(shift, 0), size - max(-shift, 0))

    (r1, r2), (c1, c2) = cut(by_px[0], one.shape[0]), cut(by_px[1], one.shape[1])
    shared_one, shared_two = one[r1, c1], two[r2, c2]
    return (shared_one, shared_two) if min(shared_one.shape) >= SMALLEST_PX else (one, two)
