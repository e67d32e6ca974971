"""How fast electrons lose energy: in plasmons by the free-electron picture, in core shells by optical absorption.

What light absorbs at an energy says how often a fast electron, scattered by small angles, loses that energy. Left out:
fine structure and white lines near an edge (free atoms have none), retardation, the convergence of the probe.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import xraydb

from configs.errors import ConfigError
from instruments.simulated.scattering import REST_KEV, atomic_number

if TYPE_CHECKING:
    from collections.abc import Mapping

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

RYDBERG_EV = 13.605693
BOHR_NM = 0.0529177211
_PLASMON_EV = 1.174241
"""ħ √(e² n / (ε₀ m)) in eV for n = 1 electron per nm³."""
_PER_NM3_OF_G_PER_CM3 = 602.21408
_THETA_C_MRAD = 20.0
_SHALLOW_EV = 12.0
"""An electron bound less is one of the valence band."""
_WINDOW = 1.6
"""The slope before an edge is taken over energies within this ratio."""
_MOST_EV = 60e3
_LAST_Z = 92
_THIN_PER_NM3 = 0.01
"""Matter with fewer atoms is a void."""


def slowness_eV(voltage_kV: float) -> float:
    """T = m₀ v² / 2, which stands for the energy of a fast electron in Bethe's theory.

    >>> round(slowness_eV(200.0)), round(slowness_eV(100.0))
    (123524, 76789)
    """
    gamma = 1 + voltage_kV / REST_KEV
    return REST_KEV * 1e3 * (1 - 1 / gamma**2) / 2


def loss_angle_mrad(loss_eV: Array, voltage_kV: float) -> Array:
    """θ_E = E / (γ m₀ v²), to which a loss of E spreads the electrons."""
    gamma = 1 + voltage_kV / REST_KEV
    return np.asarray(loss_eV / (2 * gamma * slowness_eV(voltage_kV)) * 1e3)


def collected(loss_eV: Array, voltage_kV: float, collection_mrad: float) -> Array:
    """ln(1 + β² / θ_E²), what an aperture of semi-angle β takes in of a dipole's Lorentzian.

    Beyond the Bethe ridge, at about √(2 θ_E), the oscillator strength vanishes: the angle ends there.
    """
    theta = loss_angle_mrad(loss_eV, voltage_kV) * 1e-3
    beta = np.minimum(collection_mrad * 1e-3, np.sqrt(2 * theta))
    return np.log1p((beta / theta) ** 2)


def loss_nm2_per_eV(strength_per_eV: Array, loss_eV: Array, voltage_kV: float, collection_mrad: float) -> Array:
    """dσ/dE of an atom with oscillator strength df/dE, in the dipole approximation.

    d²σ/dΩdE = 4 a₀² R² / (T E) · df/dE / (θ² + θ_E²), with the Rydberg energy R (Egerton, Electron Energy-Loss
    Spectroscopy in the Electron Microscope, 3rd ed. 2011, eq. 3.26), over angles up to β.
    """
    front = 4 * math.pi * (BOHR_NM * RYDBERG_EV) ** 2 / slowness_eV(voltage_kV)
    return front / loss_eV * strength_per_eV * collected(loss_eV, voltage_kV, collection_mrad)


@lru_cache(maxsize=128)
def valence_electrons(element: str) -> int:
    """Electrons that take part in the plasmon: those outside closed shells, with the d electrons of a metal.

    >>> [valence_electrons(e) for e in ("C", "O", "Sr", "Ti", "Cu", "Ga", "Ce", "Hf", "Au")]
    [4, 6, 2, 4, 11, 3, 3, 4, 11]
    """
    z = atomic_number(element)
    core = max(n for n in (0, 2, 10, 18, 36, 54, 86) if n < z)
    outer = z - core
    if core >= 54:
        outer = outer if outer < 3 else 3 if outer <= 17 else outer - 14  # f shells stay with the atom
    return outer if core < 18 or outer <= 12 else outer - 10


@lru_cache(maxsize=128)
def core_onset_eV(element: str) -> float | None:
    """Tabulated binding energy of the outermost core shell; None where there is none (H, He).

    The shells of the last period are the valence band, as are d and f shells bound by less than 12 eV. Energies:
    Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121.
    """
    z = atomic_number(element)
    period = 1 + sum(z > closed for closed in (2, 10, 18, 36, 54, 86))
    shells = "KLMNOPQ"[: period - 1]
    bound = [edge.energy for name, edge in xraydb.xray_edges(element).items() if name[0] in shells]
    return min((float(energy) for energy in bound if energy >= _SHALLOW_EV), default=None)


def edges_eV(element: str) -> dict[str, float]:
    """Tabulated binding energies by shell (Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121)."""
    return {name: float(edge.energy) for name, edge in xraydb.xray_edges(element).items()}


@lru_cache(maxsize=128)
def core_strength(element: str) -> tuple[Array, Array]:
    """Energies in eV and oscillator strength df/dE per eV of an atom's core shells, (N,) each.

    df/dE = 2 f₂ / (π E), from the absorptive scattering factor f₂ of Chantler (J. Phys. Chem. Ref. Data 24 (1995) 71),
    less the tail of the valence band: a power law from before the outermost edge.
    """
    onset = core_onset_eV(element)
    if onset is None:
        return np.array([1.0, _MOST_EV]), np.zeros(2)
    nodes = np.unique(np.asarray(xraydb.chantler_energies(element, emin=5.0, emax=_MOST_EV), dtype=np.float64))
    f2 = np.maximum(np.asarray(xraydb.f2_chantler(element, nodes)), 0.0)
    first = _before_edge(nodes, f2, onset)
    earlier = float(np.interp(nodes[first] / _WINDOW, nodes, f2))
    slope = math.log(earlier / f2[first]) / math.log(_WINDOW) if earlier > 0 and f2[first] > 0 else 2.0
    # free electrons absorb as E⁻¹ near resonance, hydrogenic ones as E⁻²·⁵ far from it
    tail = f2[first] * (nodes[first:] / nodes[first]) ** -min(max(slope, 1.0), 2.5)
    return nodes[first:], 2 / math.pi * np.maximum(f2[first:] - tail, 0.0) / nodes[first:]


def _before_edge(nodes: Array, f2: Array, onset_eV: float) -> int:
    """The tabulated energy from which absorption rises steepest near an edge; the two tables differ by up to 3 %."""
    near = np.flatnonzero((nodes > 0.95 * onset_eV) & (nodes < 1.03 * onset_eV))
    rises = np.diff(f2[near], prepend=f2[near[0]])
    steepest = int(near[np.argmax(rises)])
    before = near[near <= steepest]
    return int(before[np.argmin(f2[before])])


def core_nm2(element: str, voltage_kV: float, collection_mrad: float) -> float:
    """Cross-section of an atom for a loss in any core shell."""
    nodes, strength = core_strength(element)
    return float(np.trapezoid(loss_nm2_per_eV(strength, nodes, voltage_kV, collection_mrad), nodes))


def check_tabulated(elements: tuple[str, ...]) -> None:
    """Raise ConfigError where an element is none, or beyond uranium, where the tables of absorption end."""
    for element in elements:
        try:
            known = atomic_number(element) <= _LAST_Z
        except ValueError:
            known = False
        if not known:
            raise ConfigError(f"{element!r} was asked; spectra are known of H to U: name another element")


def is_void(atoms_per_nm3: Mapping[str, float]) -> bool:
    """Whether so little is there that it has no band."""
    return sum(atoms_per_nm3.values()) < _THIN_PER_NM3


def plasmon_eV(atoms_per_nm3: Mapping[str, float]) -> float:
    """Energy of the plasmon of free valence electrons, ħ √(n e² / (ε₀ m)) (Egerton 2011, section 3.3.1).

    >>> round(plasmon_eV({"Al": 60.2}), 1), round(plasmon_eV({"Si": 50.0}), 1)
    (15.8, 16.6)
    """
    return _PLASMON_EV * math.sqrt(sum(n * valence_electrons(element) for element, n in atoms_per_nm3.items()))


def plasmon_per_eV(loss_eV: Array, peak_eV: float, damping: Ratio, voltage_kV: float, collection_mrad: float) -> Array:
    """Spectrum of one plasmon loss, not normalised: Drude's energy-loss function times what the aperture collects.

    Im(−1/ε) = E Γ E_p² / ((E² − E_p²)² + (E Γ)²) (Egerton 2011, section 3.3.1), with Γ = ``damping`` · E_p.
    """
    gamma = damping * peak_eV
    lossy = loss_eV * gamma * peak_eV**2 / ((loss_eV**2 - peak_eV**2) ** 2 + (loss_eV * gamma) ** 2)
    return lossy * collected(loss_eV, voltage_kV, collection_mrad)


def mean_free_path_nm(
    atoms_per_nm3: Mapping[str, float], voltage_kV: float, collection_mrad: float, convergence_mrad: float = 0.0
) -> float:
    """λ for all inelastic scattering, by density ρ alone: Iakoubovskii et al., Microsc. Res. Tech. 71 (2008) 626.

    1/λ = 11 ρ^0.3 / (200 F E₀) · ln((α² + β² + 2θ_E² + |α² − β²|) / (α² + β² + 2θ_C² + |α² − β²|) · θ_C² / θ_E²), with
    F = (1 + E₀/1022) / (1 + E₀/511)², θ_E = 5.5 ρ^0.3 / (F E₀), θ_C = 20 mrad. Silicon measured 150 nm at 200 kV and
    179 nm at 300 kV with large apertures; the formula of Malis, Cheng & Egerton (1988) gives 15 % less (Potapov 2014,
    doi 10.1016/j.ultramic.2014.05.010).

    >>> silicon = {"Si": 49.94}
    >>> round(mean_free_path_nm(silicon, 200.0, 100.0)), round(mean_free_path_nm(silicon, 300.0, 100.0))
    (149, 179)
    """
    masses = (n * float(xraydb.atomic_mass(element)) for element, n in atoms_per_nm3.items())
    power = (sum(masses) / _PER_NM3_OF_G_PER_CM3) ** 0.3
    slowed_keV = voltage_kV * (1 + voltage_kV / 1022) / (1 + voltage_kV / 511) ** 2
    theta_e, theta_c = (5.5 * power / slowed_keV) ** 2, _THETA_C_MRAD**2
    angles = convergence_mrad**2 + collection_mrad**2 + abs(convergence_mrad**2 - collection_mrad**2)
    log = math.log((angles + 2 * theta_e) / (angles + 2 * theta_c) * theta_c / theta_e)
    return float(200 * slowed_keV / (11 * power * log))
