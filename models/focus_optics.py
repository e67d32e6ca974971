"""Transfer functions of a probe and their slopes, at chosen frequencies only: what the focus likelihood fits.

Two models of one thing: wave optics on the pupil's grid, and ray optics for frames too wide for that grid, where the
frequencies seen are far below the aperture's limit and a closed form will do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, special

from instruments.aberrations import NAMES, Aperture, pupil
from instruments.physics import wavelength_nm

Array: TypeAlias = npt.NDArray[np.float64]
Complex: TypeAlias = npt.NDArray[np.complex128]
Whole: TypeAlias = npt.NDArray[np.int64]

WIDEST_GRID = 256
"""Pupil grids of more points a side go to ray optics: a single evaluation would take a tenth of a second."""

RAY_LIMIT = 0.35
"""Ray optics is used up to this fraction of the aperture's cut-off 2α/λ: measured with 5 nm of astigmatism, its error
is 0.034 at focus, 0.021 at 8 nm of defocus, 0.009 at 20 nm."""


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
        model = _rays if is_wide(self.aperture) else _waves
        value = np.zeros((len(coefficients_nm), len(self.at.row)), dtype=np.complex128)
        slope = np.zeros((len(free), *value.shape), dtype=np.complex128)
        for depth in self.depths_nm:
            shifted = coefficients_nm.copy()
            shifted[:, 0] += depth
            one, its = model(shifted, free, self.aperture, self.at)
            value += one
            slope += its
        k2 = self.at.ky_per_nm**2 + self.at.kx_per_nm**2
        scale = np.exp(-2 * math.pi**2 * self.source_size_nm**2 * k2) / len(self.depths_nm)
        return value * scale, slope * scale


def _waves(coefficients: Array, free: tuple[int, ...], aperture: Aperture, at: Frequencies) -> tuple[Complex, Complex]:
    """The pupil's autocorrelation, and that of the pupil with its derivative, by FFT."""
    lens = pupil(aperture)
    high, wide = lens.shape
    pick = at.row % high * (wide // 2 + 1) + at.column
    value = np.empty((len(coefficients), len(at.row)), dtype=np.complex128)
    slope = np.empty((len(free), *value.shape), dtype=np.complex128)
    wave = np.zeros((1 + len(free), high * wide), dtype=np.complex128)
    for k, vector in enumerate(coefficients):
        inside = lens.amplitude * np.exp(-1j * (vector @ lens.basis))
        wave[0, lens.inside] = inside
        for f, name in enumerate(free, start=1):
            wave[f, lens.inside] = -1j * lens.basis[name] * inside
        psi = fft.ifft2(wave.reshape(-1, high, wide))
        density = np.real(psi[0].conj() * psi)
        density[1:] *= 2
        spectra = fft.rfft2(density).reshape(1 + len(free), -1)[:, pick] * (high * wide)
        value[k], slope[:, k] = spectra[0], spectra[1:]
    return value, slope


def _rays(coefficients: Array, free: tuple[int, ...], aperture: Aperture, at: Frequencies) -> tuple[Complex, Complex]:
    """Ray optics of defocus and twofold astigmatism with the aperture's loss at small frequencies.

    T(s) · 2 J1(u) / u with u = 2π (α − λk/2) |M k|, M the matrix ((C10 + C12a, C12b), (C12b, C10 − C12a)), T the
    aberration-free transfer function and s = kλ / 2α (Hopkins, Proc. R. Soc. A 231 (1955) 91; Stokseth, JOSA 59 (1969)
    1314).
    """
    if wrong := [NAMES[name] for name in free if name > 2]:
        raise ValueError(f"a wide frame cannot find {', '.join(wrong)}: leave them to frames of finer pixels")
    wavelength, alpha = wavelength_nm(aperture.voltage_kV), aperture.convergence_mrad * 1e-3
    ky, kx = at.ky_per_nm, at.kx_per_nm
    k = np.hypot(ky, kx)
    s = np.minimum(k * wavelength / (2 * alpha), 1.0)
    flat = 2 / math.pi * (np.arccos(s) - s * np.sqrt(1 - s * s))
    reach = 2 * math.pi * (alpha - wavelength * k / 2)
    # Rays at angle r meet a defocus of C30 r²; the mean of its square root over the disc's rays is near 2/3 C30 α².
    c10 = coefficients[:, :1] + coefficients[:, 7:8] * alpha**2 * 2 / 3
    c12a, c12b = coefficients[:, 1:2], coefficients[:, 2:3]
    mx, my = (c10 + c12a) * kx + c12b * ky, c12b * kx + (c10 - c12a) * ky
    u = reach * np.hypot(mx, my)
    safe = np.maximum(u, 1e-9)
    value = flat * np.where(u > 1e-6, 2 * special.j1(safe) / safe, 1.0)
    # d(2 J1(u)/u)/du = −2 J2(u)/u with J2 = 2 J1/u − J0, and du/dc = reach² (M k · ∂M k) / u; J2/u² is 1/8 at u = 0.
    second = np.where(u > 1e-3, (2 * special.j1(safe) / safe - special.j0(safe)) / safe**2, 0.125)
    bend = flat * -2 * second * reach**2
    turns = (mx * kx + my * ky, mx * kx - my * ky, mx * ky + my * kx)
    slope = np.stack([bend * turns[name] for name in free]) if free else np.zeros((0, *value.shape))
    return value.astype(np.complex128), slope.astype(np.complex128)
