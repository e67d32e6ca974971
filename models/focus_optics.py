"""Transfer functions of a probe and their slopes, at chosen frequencies only: what the focus likelihood fits.

Two models of one thing: wave optics on the pupil's grid, and ray optics for frames too wide for that grid, where the
frequencies seen are far below the aperture's limit and a closed form will do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, special

from instruments.aberrations import NAMES, Aperture, overlap, pupil
from instruments.physics import wavelength_nm

Array: TypeAlias = npt.NDArray[np.float64]
Complex: TypeAlias = npt.NDArray[np.complex128]
Slopes: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
"""In single precision where only directions are asked."""
Whole: TypeAlias = npt.NDArray[np.int64]

WIDEST_GRID = 256
"""Pupil grids of more points a side go to ray optics: a single evaluation would take a tenth of a second."""

RAY_LIMIT = 0.35
"""The closed form is used up to this fraction of the aperture's cut-off 2α/λ: measured with 5 nm of astigmatism, its
error is below 0.013 there and below 0.009 up to 0.14 of the cut-off."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """J frequencies of a frame's half spectrum."""

    row: Whole
    """(J,) signed, in steps of 1 / (rows · pixel)."""
    column: Whole
    """(J,) ≥ 0, in steps of 1 / (columns · pixel)."""
    twice: Array
    """(J,) how many frequencies of the full spectrum each stands for: 1 or 2."""
    ky_per_nm: Array
    kx_per_nm: Array


def frequencies(aperture: Aperture, *, lowest: float) -> Frequencies:
    """The frame's frequencies that the aperture passes, below its Nyquist limit and above ``lowest`` steps.

    Wide frames keep what ray optics describes. Raises ValueError where none is left.
    """
    rows, columns = aperture.shape
    row, column = (
        part.ravel()
        for part in np.meshgrid(
            np.fft.fftfreq(rows, 1 / rows).round().astype(np.int64), np.arange(columns // 2 + 1), indexing="ij"
        )
    )
    ky, kx = row / (rows * aperture.pixel_nm), column / (columns * aperture.pixel_nm)
    cutoff = 2 * aperture.convergence_mrad * 1e-3 / wavelength_nm(aperture.voltage_kV)
    highest = min(0.98 * cutoff, 0.95 * 0.5 / aperture.pixel_nm)
    if is_wide(aperture):
        highest = min(highest, RAY_LIMIT * cutoff)
    along = np.hypot(row, column * rows / columns)
    # In column 0 the rows of frequency < 0 repeat those > 0.
    keep = (np.hypot(ky, kx) <= highest) & (along >= lowest) & ((column > 0) | (row > 0))
    if not keep.any():
        raise ValueError(
            f"no frequency of a frame of {rows} × {columns} pixels of {aperture.pixel_nm:g} nm lies between {lowest:g} "
            f"steps and {highest:.3g} per nm: use a larger frame"
        )
    return Frequencies(
        row=row[keep],
        column=column[keep],
        twice=np.full(int(keep.sum()), 2.0),
        ky_per_nm=ky[keep],
        kx_per_nm=kx[keep],
    )


def is_wide(aperture: Aperture) -> bool:
    """Whether the frame spans so much that the pupil's grid would be too large for wave optics."""
    wavelength, alpha = wavelength_nm(aperture.voltage_kV), aperture.convergence_mrad * 1e-3
    return 4 * alpha * max(aperture.shape) * aperture.pixel_nm / wavelength > WIDEST_GRID


def depth_of_focus_nm(aperture: Aperture) -> float:
    """λ/α²: by so much the phase at the aperture's edge turns by π."""
    return wavelength_nm(aperture.voltage_kV) / (aperture.convergence_mrad * 1e-3) ** 2


@dataclass(frozen=True, slots=True)
class Probe:
    """The probe's transfer function at J frequencies of a frame."""

    aperture: Aperture
    at: Frequencies
    source_size_nm: float
    depths_nm: tuple[float, ...]

    def transfer(self, coefficients_nm: Array) -> Complex:
        """(K, J) for K probes of coefficients (K, 8)."""
        return self.slopes(coefficients_nm, ())[0]

    def slopes(self, coefficients_nm: Array, free: tuple[int, ...]) -> tuple[Complex, Complex]:
        """(K, J) transfer functions and (F, K, J) their derivatives by the F free coefficients, per nm."""
        if is_wide(self.aperture):
            value, slope = np.zeros((), dtype=np.complex128), np.zeros((), dtype=np.complex128)
            for depth in self.depths_nm:
                one, its = _rays(_deeper(coefficients_nm, depth), free, self.aperture, self.at)
                value, slope = value + one, slope + its
        else:
            value, slope = _waves(coefficients_nm, self.depths_nm, free, self.aperture, self.at)
        k2 = self.at.ky_per_nm**2 + self.at.kx_per_nm**2
        scale = np.exp(-2 * math.pi**2 * self.source_size_nm**2 * k2) / len(self.depths_nm)
        return value * scale, slope * scale


def _deeper(coefficients_nm: Array, depth_nm: float) -> Array:
    """(…, 8) as a plane at this depth meets the probe."""
    shifted = coefficients_nm.copy()
    shifted[..., 0] += depth_nm
    return shifted


def _waves(
    coefficients: Array, depths_nm: tuple[float, ...], free: tuple[int, ...], aperture: Aperture, at: Frequencies
) -> tuple[Complex, Complex]:
    """The pupil's autocorrelation, and that of the pupil with its derivative, by FFT, summed over the depths.

    In single precision, 1e-6 of the value at frequency 0: counting noise is larger for fewer than 10¹² electrons.
    """
    lens = pupil(aperture)
    high, wide, points = _smallest(aperture, int(np.abs(at.row).max()), int(at.column.max()))
    pick = at.row % high * (wide // 2 + 1) + at.column
    value = np.empty((len(coefficients), len(at.row)), dtype=np.complex128)
    slope = np.empty((len(free), *value.shape), dtype=np.complex128)
    # Half of the rows lie outside the aperture: they are not transformed.
    rows, compact = np.unique(points // wide, return_inverse=True)
    inside = compact * wide + points % wide
    some = np.zeros((1 + len(free), len(rows) * wide), dtype=np.complex64)
    wave = np.zeros((1 + len(free), high, wide), dtype=np.complex64)
    bases = -1j * lens.basis[list(free)]
    for k, vector in enumerate(coefficients):
        density = np.zeros((1 + len(free), high, wide), dtype=np.float32)
        for depth in depths_nm:
            seen = lens.amplitude * np.exp(-1j * (_deeper(vector, depth) @ lens.basis))
            some[0, inside], some[1:, inside] = seen, bases * seen
            wave[:, rows] = fft.ifft(some.reshape(-1, len(rows), wide), axis=2)
            psi = fft.ifft(wave, axis=1)
            density += np.real(psi[0].conj() * psi)
        density[1:] *= 2
        spectra = fft.rfft2(density).reshape(1 + len(free), -1)[:, pick] * (high * wide)
        value[k], slope[:, k] = spectra[0], spectra[1:]
    return value, slope


@lru_cache(maxsize=64)
def _smallest(aperture: Aperture, row: int, column: int) -> tuple[int, int, Whole]:
    """Rows and columns of the smallest grid whose autocorrelation is right up to a frequency, and the pupil's points.

    Frequencies a grid's width apart fall together there: those beyond must only reach others that are not asked for.
    """
    lens = pupil(aperture)
    shape, found = [], []
    for size, at, most in zip(lens.shape, np.divmod(lens.inside, lens.shape[1]), (row, column), strict=True):
        signed = (at + size // 2) % size - size // 2
        shape.append(min(size, int(fft.next_fast_len(int(np.ptp(signed)) + most + 1))))
        found.append(signed % shape[-1])
    return shape[0], shape[1], found[0] * shape[1] + found[1]


def _rays(coefficients: Array, free: tuple[int, ...], aperture: Aperture, at: Frequencies) -> tuple[Complex, Complex]:
    """Defocus and twofold astigmatism in closed form, at frequencies k well below the aperture's cut-off 2α/λ.

    Their phase is quadratic, so the transfer function is the Fourier transform, at M k, of the lens in which two
    apertures λk apart overlap (Hopkins, Proc. R. Soc. A 231 (1955) 91), with M the matrix
    ((C10 + C12a, C12b), (C12b, C10 − C12a)). The lens is taken for the ellipse of its area and second moments:
    T(s) · 2 J1(u) / u with u² = 16π² α² (Vx (M k along k)² + Vy (M k across k)²), s = kλ / 2α, T the lens's share of
    the aperture (the aberration-free transfer function) and Vx, Vy its variances along and across k.
    """
    if wrong := [NAMES[name] for name in free if name > 2]:
        raise ValueError(f"a wide frame cannot find {', '.join(wrong)}: leave them to frames of finer pixels")
    wavelength, alpha = wavelength_nm(aperture.voltage_kV), aperture.convergence_mrad * 1e-3
    ky, kx = at.ky_per_nm, at.kx_per_nm
    k = np.maximum(np.hypot(ky, kx), 1e-12)
    share, along, across = overlap(np.minimum(k * wavelength / (2 * alpha), 1.0))
    # Rays at angle r meet a defocus of C30 r²; the mean of its square root over the disc's rays is near 2/3 C30 α².
    c10 = coefficients[:, :1] + coefficients[:, 7:8] * alpha**2 * 2 / 3
    # (3, J): the parts of M k along and across k that each coefficient gives per nm.
    ahead = np.stack([k, (kx * kx - ky * ky) / k, 2 * kx * ky / k])
    aside = np.stack([0 * k, -ahead[2], ahead[1]])
    shifts = np.concatenate([c10, coefficients[:, 1:3]], axis=1)
    mean_ahead, mean_aside = shifts @ ahead, shifts @ aside
    reach = 4 * math.pi * alpha
    u = reach * np.sqrt(along * mean_ahead**2 + across * mean_aside**2)
    safe = np.maximum(u, 1e-9)
    value = share * np.where(u > 1e-6, 2 * special.j1(safe) / safe, 1.0)
    # d(2 J1(u)/u)/du = −2 J2(u)/u with J2 = 2 J1/u − J0; J2/u² is 1/8 at u = 0.
    second = np.where(u > 1e-3, (2 * special.j1(safe) / safe - special.j0(safe)) / safe**2, 0.125)
    bend = share * -2 * second * reach**2
    slope = np.zeros((len(free), *value.shape))
    for f, name in enumerate(free):
        slope[f] = bend * (along * mean_ahead * ahead[name] + across * mean_aside * aside[name])
    return value.astype(np.complex128), slope.astype(np.complex128)


def reach_nm(coefficients_nm: Array, aperture: Aperture, depths_nm: tuple[float, ...] = (0.0,)) -> Array:
    """(K,) how far at most K probes of coefficients (K, 8) throw a ray, over the depths."""
    alpha = aperture.convergence_mrad * 1e-3
    size = np.abs(coefficients_nm)
    focus = np.max([np.abs(coefficients_nm[:, 0] + depth) for depth in depths_nm], axis=0)
    reach = alpha * (focus + np.hypot(size[:, 1], size[:, 2])) + alpha**3 * size[:, 7]
    reach += alpha**2 * (np.hypot(size[:, 3], size[:, 4]) + np.hypot(size[:, 5], size[:, 6]))
    return np.asarray(reach)
