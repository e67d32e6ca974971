"""One atom alone in the beam, as a wave sees it: what it changes on rings under a probe, and in a wide beam's image.

The whole specimen is never drawn: a frame of the simulator, with all its atoms, slices and absorption, checks this.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from instruments.physics import wavelength_nm
from instruments.simulated.coherent import atom_potential_spectrum, interaction_constant

Array: TypeAlias = npt.NDArray[np.float64]
Ring: TypeAlias = tuple[float, float]

_SIZE_PX, _PIXEL_NM = 192, 0.0125
"""Of the square round the atom: 2.4 nm wide, and it carries waves to 67 mrad at 200 kV within 2/3 of its limit."""
_BAND = 2 / 3
_NODES = 5
"""Of the quadrature over a CTEM's focal spread."""


@lru_cache(maxsize=16)
def _frequencies() -> tuple[Array, Array]:
    k = np.fft.fftfreq(_SIZE_PX, _PIXEL_NM)
    return np.meshgrid(k, k)


@lru_cache(maxsize=32)
def _transmission(element: str, voltage_kV: float, displacement_nm: float) -> npt.NDArray[np.complex128]:
    """(Y, X) exp(iφ) of an atom in the middle, thermally smeared."""
    q = np.hypot(*_frequencies())
    spectrum = atom_potential_spectrum(element, q, debye_waller_nm2=8 * math.pi**2 * displacement_nm**2)
    spectrum = spectrum * (q <= _BAND / (2 * _PIXEL_NM))
    phase = np.fft.ifft2(spectrum).real * interaction_constant(voltage_kV) / _PIXEL_NM**2
    return np.asarray(np.exp(1j * phase))


def peak_phase_rad(element: str, voltage_kV: float, displacement_nm: float, per_column: float) -> float:
    """Largest phase of a column of so many atoms: beyond about 1 rad it is no weak phase object."""
    return float(np.abs(np.angle(_transmission(element, voltage_kV, displacement_nm))).max()) * per_column


@lru_cache(maxsize=256)
def ring_changes(
    element: str,
    rings_mrad: tuple[Ring, ...],
    voltage_kV: float,
    convergence_mrad: float,
    defocus_nm: float,
    radii_nm: tuple[float, ...],
) -> Array:
    """(S, R) by how much an atom so far from the probe changes the share of electrons on S rings."""
    kx, ky = _frequencies()
    wavelength = wavelength_nm(voltage_kV)
    mrad = np.hypot(kx, ky) * wavelength * 1e3
    step = wavelength * 1e3 / (_SIZE_PX * _PIXEL_NM)
    lens = _disc(convergence_mrad, mrad, step)
    chi = math.pi * wavelength * defocus_nm * (kx**2 + ky**2)
    lens = lens / np.linalg.norm(lens) * np.exp(-1j * chi) * _SIZE_PX
    masks = np.array([_disc(outer, mrad, step) - _disc(inner, mrad, step) for inner, outer in rings_mrad])
    through = _transmission(element, voltage_kV, 0.0)
    vacuum = np.tensordot(masks, np.abs(lens / _SIZE_PX) ** 2, axes=([1, 2], [0, 1]))
    found = []
    for radius in radii_nm:
        probe = np.fft.ifft2(lens * np.exp(-2j * math.pi * kx * radius))
        seen = np.abs(np.fft.fft2(probe * through)) ** 2 / _SIZE_PX**2
        found.append(np.tensordot(masks, seen, axes=([1, 2], [0, 1])) - vacuum)
    return np.array(found).T


def _disc(radius_mrad: float, mrad: Array, step_mrad: float) -> Array:
    """Share of every pixel within a disc, its edge softened over one; of no radius none."""
    return np.clip((radius_mrad - mrad) / step_mrad + 0.5, 0.0, 1.0) if radius_mrad > 0 else np.zeros(mrad.shape)


def ctem_change(
    element: str,
    voltage_kV: float,
    defocus_nm: float,
    objective_mrad: float,
    focal_spread_nm: float,
) -> tuple[Array, float]:
    """(Y, X) image of an atom less that of nothing, and its pixel size in nm; the atom at pixel (Y // 2, X // 2)."""
    kx, ky = _frequencies()
    k2, wavelength = kx**2 + ky**2, wavelength_nm(voltage_kV)
    passed = np.sqrt(k2) * wavelength * 1e3 <= objective_mrad
    wave = np.fft.fft2(_transmission(element, voltage_kV, 0.0))
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    image = np.zeros(k2.shape)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        chi = math.pi * wavelength * (defocus_nm + node * focal_spread_nm) * k2
        image += weight * np.abs(np.fft.ifft2(wave * passed * np.exp(-1j * chi))) ** 2
    return np.fft.fftshift(image) - 1, _PIXEL_NM
