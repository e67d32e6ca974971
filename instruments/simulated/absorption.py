"""What an atom that trembles does to a fast wave: its phase, and what phonons scatter out of the wave's mean."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from instruments.physics import wavelength_nm
from instruments.simulated.coherent import BAND
from instruments.simulated.scattering import amplitude_nm

if TYPE_CHECKING:
    from instruments.simulated.scattering import Array

Waves: TypeAlias = npt.NDArray[np.complex128]

_Q_STEP_PER_NM, _Q_END_PER_NM = 0.04, 90.0
"""An atom that trembles by 5 pm or more has next to nothing beyond."""
_R_STEP_NM, _R_END_NM = 2.5e-4, 1.0


@lru_cache(maxsize=64)
def transmission(element: str, voltage_kV: float, debye_waller_nm2: float) -> tuple[Array, Waves]:
    """Radii (R,) in nm, and there (R,) the mean transmission, complex, of an atom that trembles.

    ⟨exp(iφ)⟩ = 1 + iλ ∫ f(q) exp(−B q²/4) exp(2π i q·r) d²q with the eikonal amplitude f: exact, as the mean over an
    atom's places is a convolution. Its square is less than 1, by what phonons scatter (Hall & Hirsch, Proc. R. Soc. A
    286 (1965) 158): a phase object of the mean potential lacks that. ``debye_waller_nm2``: B = 8π² ⟨u²⟩.

    >>> radii_nm, passing = transmission("Sr", 200.0, 8 * math.pi**2 * 0.0085**2)
    >>> [round(float(abs(passing[radii_nm.searchsorted(at)])) ** 2, 2) for at in (0.0, 0.02, 0.1)]
    [0.87, 0.96, 1.0]
    """
    q_per_nm = np.arange(_Q_STEP_PER_NM / 2, _Q_END_PER_NM, _Q_STEP_PER_NM)
    spectrum = amplitude_nm(element, q_per_nm, voltage_kV) * np.exp(-debye_waller_nm2 * q_per_nm**2 / 4)
    radii_nm = np.arange(_R_STEP_NM / 2, _R_END_NM, _R_STEP_NM)
    return radii_nm, 1 + 1j * wavelength_nm(voltage_kV) * _hankel(spectrum, q_per_nm, radii_nm)


def _hankel(values: Waves, at: Array, asked: Array) -> Waves:
    """Transform of a round function of two dimensions, given at the middles of rings of one width."""
    weighted = 2 * math.pi * at * values * (at[1] - at[0])
    return np.asarray([special.j0(2 * math.pi * each * at) @ weighted for each in asked])


@lru_cache(maxsize=64)
def _spectrum(element: str, voltage_kV: float, debye_waller_nm2: float) -> tuple[Array, Waves]:
    """Frequencies (Q,) and the transform (Q,) of −i ln ⟨exp(iφ)⟩: the phase and, imaginary, half the absorption."""
    radii_nm, passing = transmission(element, voltage_kV, debye_waller_nm2)
    turned = -1j * np.log(passing)
    q_per_nm = np.linspace(0.0, _Q_END_PER_NM, 900)
    return q_per_nm, _hankel(turned - turned[-1], radii_nm, q_per_nm)


def absorbed_nm2(element: str, voltage_kV: float, debye_waller_nm2: float) -> float:
    """Area of an atom that phonons keep out of the mean wave: its absorption over all places."""
    _, made = _spectrum(element, voltage_kV, debye_waller_nm2)
    return float(2 * made[0].imag)


@lru_cache(maxsize=256)
def filters(
    element: str, shape: tuple[int, int], pixel_nm: float, voltage_kV: float, debye_waller_nm2: float, taps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Y, X // 2 + 1) each: phase in rad, and absorption (−ln of the intensity that passes), per atom and pixel.

    For atoms laid on ``taps`` × ``taps`` pixels by a B-spline, which is divided out. Frequencies beyond ``BAND`` of the
    Nyquist limit are left out.
    """
    q_per_nm, made = _spectrum(element, voltage_kV, debye_waller_nm2)
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    q_px = np.hypot(ky, kx)
    kept = (q_px <= BAND / 2) / ((np.sinc(ky) * np.sinc(kx)) ** taps * pixel_nm**2)
    phase, absorption = (
        torch.from_numpy(np.interp(q_px / pixel_nm, q_per_nm, part) * kept).float()
        for part in (made.real, 2 * made.imag)
    )
    return phase, absorption
