"""How strongly an atom scatters onto an annulus: the single-scattering cross-section of an element."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import xraydb

from instruments.physics import wavelength_nm

MOTT_BETHE_NM = 0.0023934
"""fₑ [nm] = this · (Z − f₀(s)) / s², s in 1/Å (Reimer & Kohl, Transmission Electron Microscopy, 5th ed., eq. 5.39)."""
REST_KEV = 510.99895
_STEPS = 400


@lru_cache(maxsize=4096)
def cross_section_nm2(element: str, inner_mrad: float, outer_mrad: float, voltage_kV: float) -> float:
    """Elastic cross-section for scattering between two angles: σ = 2π ∫ γ² fₑ(θ)² sin θ dθ (first Born approximation).

    fₑ follows from the X-ray scattering factors of Waasmaier & Kirfel (Acta Cryst. A51 (1995) 416) by the Mott–Bethe
    formula. Heavy atoms and angles under about 20 mrad are outside Born's reach: there it is an estimate.

    Raises ValueError where the element is unknown or the angles are no annulus.

    >>> round(cross_section_nm2("Au", 70, 200, 200) * 100, 3)
    0.016
    """
    if not 0 <= inner_mrad < outer_mrad <= 1500:
        raise ValueError(f"an annulus from {inner_mrad} to {outer_mrad} mrad was asked; give 0 ≤ inner < outer ≤ 1500")
    angle = np.linspace(max(inner_mrad, 0.05) * 1e-3, outer_mrad * 1e-3, _STEPS)
    s_per_A = np.sin(angle / 2) / (wavelength_nm(voltage_kV) * 10)
    amplitude_nm = MOTT_BETHE_NM * (atomic_number(element) - xray_factor(element, s_per_A)) / s_per_A**2
    gamma = 1 + voltage_kV / REST_KEV
    return float(np.trapezoid(2 * math.pi * np.sin(angle) * (gamma * amplitude_nm) ** 2, angle))


def xray_factor(element: str, s_per_A: np.ndarray) -> np.ndarray:
    """X-ray scattering factor f₀ of a neutral atom at s = sin θ / λ (…), in electrons."""
    return np.asarray(xraydb.f0(element, s_per_A), dtype=np.float64)


@lru_cache(maxsize=128)
def atomic_number(element: str) -> int:
    """Of a chemical symbol. Raises ValueError where there is no such element."""
    try:
        return int(xraydb.atomic_number(element))
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{element!r} is no chemical element that is tabulated: give its symbol, such as 'Au'"
        ) from error


def atomic_weight(element: str) -> float:
    """In daltons. Raises ValueError where there is no such element."""
    atomic_number(element)
    return float(xraydb.atomic_mass(element))
