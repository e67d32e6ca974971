"""Geometric aberrations and what they do to a probe: the wave optics that simulator and estimators share.

Coefficients are Krivanek's (Krivanek, Dellby & Lupini, Ultramicroscopy 78 (1999) 1) in Cartesian form, all in nm:
χ(x, y) = 2π/λ · [C10 r²/2 + C12a (x² − y²)/2 + C12b xy + r² (C21a x + C21b y)/3
+ C23a (x³ − 3xy²)/3 + C23b (3x²y − y³)/3 + C30 r⁴/4], with x, y the angles in rad along columns and rows of the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

from instruments.physics import wavelength_nm

Array: TypeAlias = npt.NDArray[np.float64]

NAMES = ("C10", "C12a", "C12b", "C21a", "C21b", "C23a", "C23b", "C30")
"""Order of the coefficients in every vector of them."""


def basis(x_rad: Array, y_rad: Array, voltage_kV: float) -> Array:
    """Phase in rad per nm of each coefficient of ``NAMES`` at angles (…): (8, …)."""
    x, y = x_rad, y_rad
    r2 = x * x + y * y
    forms = (
        r2 / 2,
        (x * x - y * y) / 2,
        x * y,
        r2 * x / 3,
        r2 * y / 3,
        (x**3 - 3 * x * y * y) / 3,
        (3 * x * x * y - y**3) / 3,
        r2 * r2 / 4,
    )
    return np.stack(forms) * (2 * math.pi / wavelength_nm(voltage_kV))


_ACROSS = 101
"""Samples across an aperture."""
_FOLD = ((1, 2, 2), (3, 4, 1), (5, 6, 3))
"""Pairs of coefficients with the number of times that they repeat around the axis."""


def rotated(coefficients_nm: npt.ArrayLike, angle_rad: float) -> Array:
    """Coefficients (…, 8) along axes that are turned by an angle from +x towards +y.

    >>> rotated([0, 5, 0, 0, 0, 0, 0, 0], math.pi / 2).round(6).tolist()[1]
    -5.0
    """
    turned = np.array(coefficients_nm, dtype=np.float64)
    for a, b, fold in _FOLD:
        cos, sin = math.cos(fold * angle_rad), math.sin(fold * angle_rad)
        along, across = turned[..., a].copy(), turned[..., b].copy()
        turned[..., a], turned[..., b] = cos * along + sin * across, cos * across - sin * along
    return turned


@dataclass(frozen=True, slots=True)
class Aperture:
    """A convergent probe's aperture, sampled for a frame of (rows, columns) pixels: equal keys share one sampling."""

    shape: tuple[int, int]
    pixel_nm: float
    voltage_kV: float
    convergence_mrad: float


@dataclass(frozen=True, slots=True)
class Pupil:
    """What ``Aperture`` amounts to on the smallest grid that holds the aperture's autocorrelation.

    The grid's frequencies are the frame's own, 1 / (rows · pixel) apart; it may be larger than the frame's where the
    pixels are coarse, and then frequencies beyond the frame's Nyquist limit are left out of a transfer function.
    """

    shape: tuple[int, int]
    inside: npt.NDArray[np.int64]
    """(P,) flat indices of the grid's points within the aperture."""
    amplitude: Array
    """(P,) with unit sum of squares; the edge is softened over one grid step."""
    basis: Array
    """(8, P) rad per nm."""


@lru_cache(maxsize=64)
def pupil(aperture: Aperture) -> Pupil:
    """The sampled pupil; remembered.

    Raises ValueError where the aperture spans less than two grid steps: the frame is then too narrow in real space to
    hold the probe, and geometric optics is the model to use.
    """
    wavelength = wavelength_nm(aperture.voltage_kV)
    rows, columns = aperture.shape
    steps = wavelength / (rows * aperture.pixel_nm), wavelength / (columns * aperture.pixel_nm)
    alpha = aperture.convergence_mrad * 1e-3
    if alpha < 2 * max(steps):
        raise ValueError(
            f"a frame of {rows} × {columns} pixels of {aperture.pixel_nm:.4g} nm cannot sample an aperture of "
            f"{aperture.convergence_mrad:g} mrad: give it a larger field of view"
        )
    shape = _even(math.ceil(4 * alpha / steps[0]) + 1), _even(math.ceil(4 * alpha / steps[1]) + 1)
    pixels = wavelength / steps[0] / shape[0], wavelength / steps[1] / shape[1]
    row, column, lens = pupil_on(shape, pixels, aperture.voltage_kV, aperture.convergence_mrad)
    inside = (row - shape[0] // 2) % shape[0] * shape[1] + (column - shape[1] // 2) % shape[1]
    return Pupil(shape=shape, inside=inside, amplitude=lens.amplitude, basis=lens.basis)


def pupil_on(
    shape: tuple[int, int], pixels_nm: tuple[float, float], voltage_kV: float, convergence_mrad: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Pupil]:
    """A pupil on the frequencies of a grid of (rows, columns) pixels.

    Returns: the row and column of each of its P points, with frequency 0 in the middle (n // 2), and the pupil, whose
    ``inside`` follows that order.
    """
    wavelength, alpha = wavelength_nm(voltage_kV), convergence_mrad * 1e-3
    steps = tuple(wavelength / (n * pixel) for n, pixel in zip(shape, pixels_nm, strict=True))
    y, x = (np.asarray((np.arange(n) - n // 2) * step, dtype=np.float64) for n, step in zip(shape, steps, strict=True))
    soft = np.clip((alpha - np.hypot(y[:, None], x[None, :])) / math.sqrt(steps[0] * steps[1]) + 0.5, 0.0, 1.0)
    row, column = np.nonzero(soft)
    amplitude = soft[row, column]
    lens = Pupil(
        shape=shape,
        inside=row * shape[1] + column,
        amplitude=amplitude / np.linalg.norm(amplitude),
        basis=basis(x[column], y[row], voltage_kV),
    )
    return row, column, lens


def _even(least: int) -> int:
    """An even length that transforms fast."""
    return 2 * int(fft.next_fast_len(math.ceil(least / 2)))


def transfer(
    coefficients_nm: npt.ArrayLike,
    aperture: Aperture,
    *,
    source_size_nm: float = 0.0,
    depths_nm: tuple[float, ...] = (0.0,),
) -> npt.NDArray[np.complex128]:
    """Transfer functions of incoherent imaging for B probes: (B, rows, columns // 2 + 1), as ``rfft2`` orders them.

    ``coefficients_nm``: (B, 8) in the order of ``NAMES``. An image is irfft2(rfft2(object) · transfer); the value at
    frequency 0 is 1. ``source_size_nm`` is the standard deviation of the source's image. ``depths_nm`` are depths below
    the entrance face over which the probe is averaged with equal weight (a slab scatters all along its thickness):
    C10 = 0 is focus at the entrance face. Raises ValueError as ``pupil`` does.
    """
    coefficients = np.atleast_2d(np.asarray(coefficients_nm, dtype=np.float64))
    lens = pupil(aperture)
    intensity = np.zeros((len(coefficients), *lens.shape))
    for depth in depths_nm:
        shifted = coefficients.copy()
        shifted[:, 0] += depth
        wave = np.zeros((len(coefficients), lens.shape[0] * lens.shape[1]), dtype=np.complex128)
        wave[:, lens.inside] = lens.amplitude * np.exp(-1j * (shifted @ lens.basis))
        intensity += np.abs(fft.ifft2(wave.reshape(-1, *lens.shape))) ** 2
    spectrum = fft.rfft2(intensity) * (lens.shape[0] * lens.shape[1] / len(depths_nm))
    full = paste(spectrum, lens.shape, aperture.shape)
    return full * source_envelope(aperture, source_size_nm)


def paste(
    spectrum: npt.NDArray[np.complex128], small: tuple[int, int], shape: tuple[int, int]
) -> npt.NDArray[np.complex128]:
    """Half spectra (B, h, w // 2 + 1) of a grid ``small`` on the half spectra of ``shape``: what it lacks is zero."""
    full = np.zeros((len(spectrum), shape[0], shape[1] // 2 + 1), dtype=spectrum.dtype)
    low, high, wide = rows_kept(small, shape)
    full[:, :low, :wide] = spectrum[:, :low, :wide]
    if high:
        full[:, -high:, :wide] = spectrum[:, -high:, :wide]
    return full


def rows_kept(small: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int]:
    """How many rows of frequency ≥ 0, rows of frequency < 0 and columns two half spectra share."""
    height = min(small[0], shape[0])
    low = (height + 1) // 2
    return low, height - low if height % 2 else height - low - 1, min((small[1] + 1) // 2, shape[1] // 2 + 1)


def source_envelope(aperture: Aperture, source_size_nm: float) -> Array:
    """(rows, columns // 2 + 1) exp(−2π² s² k²) of a Gaussian source image of standard deviation s."""
    ky = np.fft.fftfreq(aperture.shape[0], aperture.pixel_nm)[:, None]
    kx = np.fft.rfftfreq(aperture.shape[1], aperture.pixel_nm)[None, :]
    return np.asarray(np.exp(-2 * math.pi**2 * source_size_nm**2 * (kx**2 + ky**2)))


def residual_rad(coefficients_nm: npt.ArrayLike, convergence_mrad: float, voltage_kV: float) -> float:
    """Root mean square of the aberrations' phase over the aperture, in rad, without what only shifts the probe.

    >>> round(residual_rad([2.0, 0, 0, 0, 0, 0, 0, 0], 21.4, 200.0), 3)
    0.331
    """
    phase = np.asarray(coefficients_nm, dtype=np.float64) @ blurring_phases(convergence_mrad, voltage_kV)
    return float(np.sqrt(np.mean(phase**2)))


@lru_cache(maxsize=16)
def blurring_phases(convergence_mrad: float, voltage_kV: float) -> Array:
    """(8, P) phase in rad per nm of each coefficient at points of the aperture, without constant and tilt.

    Neither changes the probe's shape: the tilt that coma holds moves the image, no more.
    """
    alpha = convergence_mrad * 1e-3
    x, y = np.meshgrid(*[np.linspace(-1.0, 1.0, _ACROSS)] * 2)
    inside = np.hypot(x, y) <= 1
    x, y = x[inside], y[inside]
    phases = basis(alpha * x, alpha * y, voltage_kV).T
    shift = np.stack([np.ones_like(x), x, y], axis=1)
    return np.asarray((phases - shift @ np.linalg.lstsq(shift, phases, rcond=None)[0]).T)


def overlap(s: Array) -> tuple[Array, Array, Array]:
    """Of two unit discs 2 s apart (…), 0 ≤ s ≤ 1: the common share of a disc, its variances along and across.

    The share is the transfer function without aberrations; with a quadratic phase the transfer function is the Fourier
    transform of the common part (Hopkins, Proc. R. Soc. A 231 (1955) 91).
    """
    angle = np.arccos(s)
    rise = np.sin(angle)
    area = np.maximum(angle - rise * s, 1e-300)
    # twice a circular segment, whose moments are elementary
    across = 1 / 4 - rise**3 * s / (6 * area)
    along = 1 / 4 + s * s + rise**3 * s / (2 * area) - 4 * s * rise**3 / (3 * area)
    return np.asarray(2 / math.pi * area), np.maximum(along, 0.0), np.asarray(across)
