"""How strongly an atom scatters onto an annulus: the cross-section of an element, by the eikonal approximation."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xraydb
from scipy import optimize, special

from instruments.physics import wavelength_nm

Array: TypeAlias = npt.NDArray[np.float64]

MOTT_BETHE_NM = 0.0023934
"""fₑ [nm] = this · (Z − f₀(s)) / s², s in 1/Å (Reimer & Kohl, Transmission Electron Microscopy, 5th ed., eq. 5.39)."""
REST_KEV = 510.99895
WIDEST_MRAD = 1500.0
"""The widest ring that is reckoned with; next to nothing is scattered beyond."""
_STEPS = 400
_TABLE_PER_A = 6.0
"""The X-ray factors are tabulated up to this s; beyond, the Gaussians that fit them go on."""
_WIDTHS_A2 = np.geomspace(2e-3, 400.0, 48)
"""Of the Gaussians exp(−width · s²) of which an atom's cloud is made."""
_Q_PER_NM = np.geomspace(0.25, 1600.0, 260)
_NEAR_NM, _FAR_NM, _PANEL_NM, _NODES = 1e-7, 1.2, 1.5e-3, 10


@lru_cache(maxsize=4096)
def cross_section_nm2(
    element: str, inner_mrad: float, outer_mrad: float, voltage_kV: float, convergence_mrad: float = 0.0
) -> float:
    """Elastic cross-section of one atom for scattering onto a ring: σ = 2π ∫ |f(θ)|² w(θ) sin θ dθ.

    |f| is ``amplitude_nm``; w is the share of a cone of ``convergence_mrad`` that lands on the ring when deflected by
    θ, for a parallel beam 1. A cone brings more in at the inner edge than it takes out: 14 % on 60–130 mrad from
    21 mrad. A ring that the cone itself reaches is counted as for a parallel beam.

    Good for thin atoms of any weight, except for an electron's spin, which takes (v/c)² sin²(θ/2) away (0.5 % at
    200 mrad and 200 kV). Beyond the table of X-ray factors, 300 mrad at 200 kV, the nearness of the nucleus counts.

    Raises ValueError where the element is unknown or the angles are no annulus.

    >>> [round(cross_section_nm2("Au", 70, 200, 200, cone) * 1e4, 2) for cone in (0.0, 21.4)]
    [1.17, 1.25]
    """
    if not 0 <= inner_mrad < outer_mrad <= WIDEST_MRAD:
        raise ValueError(f"an annulus from {inner_mrad} to {outer_mrad} mrad was asked; give 0 ≤ inner < outer ≤ 1500")
    cone_mrad = convergence_mrad if convergence_mrad <= inner_mrad else 0.0
    first, last = max(inner_mrad - cone_mrad, 0.0), min(outer_mrad + cone_mrad, WIDEST_MRAD)
    angle_mrad = first + (last - first) * np.linspace(1e-3, 1, _STEPS) ** 2  # the closer, the nearer the beam ahead
    angle = angle_mrad * 1e-3
    q_per_nm = 2 * np.sin(angle / 2) / wavelength_nm(voltage_kV)
    landing = np.ones(_STEPS)
    if cone_mrad:
        landing = _within(outer_mrad, angle_mrad, cone_mrad) - _within(inner_mrad, angle_mrad, cone_mrad)
    size_nm = np.abs(amplitude_nm(element, q_per_nm, voltage_kV))
    return float(np.trapezoid(2 * math.pi * np.sin(angle) * size_nm**2 * landing, angle))


def _within(radius_mrad: float, shift_mrad: Array, cone_mrad: float) -> Array:
    """(…) share of a disc, moved by ``shift_mrad``, that lies within a circle about 0 (the lens of two circles)."""
    d, r, a = shift_mrad, radius_mrad, cone_mrad
    to_circle = np.arccos(np.clip((d**2 + r**2 - a**2) / (2 * d * r), -1, 1))
    to_disc = np.arccos(np.clip((d**2 + a**2 - r**2) / (2 * d * a), -1, 1))
    lens = r**2 * (to_circle - np.sin(2 * to_circle) / 2) + a**2 * (to_disc - np.sin(2 * to_disc) / 2)
    return np.asarray(lens / (math.pi * a**2))


def amplitude_nm(element: str, q_per_nm: Array, voltage_kV: float) -> npt.NDArray[np.complex128]:
    """Complex scattering amplitude f of one atom at q = 2 sin(θ/2) / λ (…), for a plane wave.

    f = (2π i / λ) ∫ (1 − exp(iφ(b))) J₀(2π q b) b db (Glauber 1959; Molière, Z. Naturforsch. A 2 (1947) 133), with the
    phase φ = γ λ ∫ fₑ exp(2π i q·b) d²q that the atom's projected potential gives; fₑ follows by the Mott–Bethe formula
    from the X-ray factors of Waasmaier & Kirfel (Acta Cryst. A51 (1995) 416). Up to first order in φ this is Born's
    γ fₑ, towards which |f| goes again at wide angles, as a bare nucleus's does.
    """
    log_q = np.log(np.clip(q_per_nm, _Q_PER_NM[0], _Q_PER_NM[-1]))
    size, turn = _amplitudes(element, voltage_kV)
    found = np.exp(np.interp(log_q, np.log(_Q_PER_NM), size) + 1j * np.interp(log_q, np.log(_Q_PER_NM), turn))
    return np.asarray(found, dtype=np.complex128)


@lru_cache(maxsize=256)
def _amplitudes(element: str, voltage_kV: float) -> tuple[Array, Array]:
    """Ln |f| and arg f at ``_Q_PER_NM``."""
    electrons, wavelength = _cloud(element), wavelength_nm(voltage_kV)
    strength = (1 + voltage_kV / REST_KEV) * MOTT_BETHE_NM * 400  # s in 1/Å is q in 1/nm over 20
    width_nm2 = _WIDTHS_A2 / 400
    born = strength * (-np.expm1(-np.outer(_Q_PER_NM**2, width_nm2)) @ electrons) / _Q_PER_NM**2
    b_nm, weights_nm2, waves = _quadrature()
    # the transform of (1 − exp(−B q²)) / q² is π E₁(π² b² / B): differentiate by B
    phase = wavelength * strength * math.pi * (special.exp1(np.outer((math.pi * b_nm) ** 2, 1 / width_nm2)) @ electrons)
    beyond_first = -np.expm1(1j * phase) + 1j * phase
    amplitude = born + 2j * math.pi / wavelength * (waves @ (weights_nm2 * beyond_first))
    return np.log(np.abs(amplitude)), np.unwrap(np.angle(amplitude))


@lru_cache(maxsize=256)
def _cloud(element: str) -> Array:
    """Electrons in each of the Gaussians that make an atom's cloud: none negative, so that it ends as one should."""
    z = atomic_number(element)
    s = np.geomspace(1e-2, _TABLE_PER_A, 240)
    target = (xray_factor(element, np.zeros(1))[0] - xray_factor(element, s)) / s**2
    parts = -np.expm1(-np.outer(s**2, _WIDTHS_A2)) / s[:, None] ** 2
    rows = np.vstack([parts / target[:, None], np.full(len(_WIDTHS_A2), len(s) / z)])
    electrons, _ = optimize.nnls(rows, np.append(np.ones(len(s)), len(s)))
    return np.asarray(electrons)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Array, Array, Array]:
    """Distances b from the nucleus (N,), weights b db (N,), and J₀(2π q b) (Q, N): Gauss's rule, panel by panel."""
    ends = np.concatenate([np.geomspace(_NEAR_NM, _PANEL_NM, 20)[:-1], np.arange(_PANEL_NM, _FAR_NM, _PANEL_NM)])
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(ends)[:, None] / 2
    b_nm = (ends[:-1, None] + half * (1 + node)).ravel()
    weights = (half * weight).ravel() * b_nm
    return b_nm, weights, special.j0(2 * math.pi * np.outer(_Q_PER_NM, b_nm))


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
