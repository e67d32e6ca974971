"""Formulas of electron optics. Pure, in the units of their names."""

from __future__ import annotations

import math

_PLANCK_J_S = 6.62607015e-34
_ELECTRON_MASS_KG = 9.1093837139e-31
_CHARGE_C = 1.602176634e-19
_LIGHT_M_PER_S = 299792458.0


def wavelength_nm(voltage_kV: float) -> float:
    """Relativistic wavelength of an electron (Williams & Carter, Transmission Electron Microscopy, eq. 1.6).

    >>> round(wavelength_nm(200.0) * 1e3, 4), round(wavelength_nm(300.0) * 1e3, 4)
    (2.5079, 1.9687)
    """
    energy_J = voltage_kV * 1e3 * _CHARGE_C
    rest_J = _ELECTRON_MASS_KG * _LIGHT_M_PER_S**2
    momentum = math.sqrt(2 * _ELECTRON_MASS_KG * energy_J * (1 + energy_J / (2 * rest_J)))
    return _PLANCK_J_S / momentum * 1e9


def diffraction_limit_nm(voltage_kV: float, convergence_mrad: float) -> float:
    """Radius of the probe's first dark ring, 0.61 λ / α (Rayleigh).

    >>> round(diffraction_limit_nm(300.0, 20.0), 3)
    0.06
    """
    return 0.61 * wavelength_nm(voltage_kV) / (convergence_mrad * 1e-3)
