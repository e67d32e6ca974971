"""Ionisation of inner shells by fast electrons, and the X-ray lines that follow it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import xraydb

from instruments.simulated.inelastic import BOHR_NM, RYDBERG_EV
from instruments.simulated.scattering import REST_KEV, atomic_number

_OCCUPANCY = {"K": 2, "L1": 2, "L2": 2, "L3": 4, "M1": 2, "M2": 2, "M3": 4, "M4": 4, "M5": 6}
_FAMILIES = (("K",), ("L1", "L2", "L3"), ("M1", "M2", "M3", "M4", "M5"))
_FULL_D_SHELL = 30
"""From zinc on, M4 and M5 are full; before, they belong to the valence band."""


@dataclass(frozen=True, slots=True)
class Line:
    """One X-ray line of an element."""

    element: str
    name: str
    """Siegbahn's, as Ka1."""
    shell: str
    """Where the vacancy is, as K or L3."""
    energy_eV: float
    cross_section_nm2: float
    """For one photon of this line, in any direction, per atom and electron."""


def casnati_nm2(electrons: int, binding_eV: float, voltage_kV: float) -> float:
    """Cross-section for the ionisation of a shell with so many electrons.

    Casnati, Tartari & Baraldi, J. Phys. B 15 (1982) 155, in the form of Powell, Ultramicroscopy 28 (1989) 24:
    σ = n (a₀ R / I)² F ψ φ ln(U) / U, with U = E₀ / I. It fits measured K shells of Z = 6 … 79 within 10 % for U ≤ 20.
    At 200 kV it lies above the distorted-wave numbers of Bote & Salvat (Phys. Rev. A 77 (2008) 042701): by 9 … 14 % for
    K shells from oxygen on, 23 % for carbon; by 10 % for L shells of palladium, 30 % for those of V … Cu.

    Raises ValueError where a number is not above 0.

    >>> round(casnati_nm2(2, 1839.0, 200.0) * 1e7, 2)  # silicon K; Bote & Salvat have 1.73
    1.93
    """
    if not (electrons > 0 and binding_eV > 0 and voltage_kV > 0):
        raise ValueError(f"{electrons} electrons bound by {binding_eV} eV at {voltage_kV} kV were asked; give above 0")
    overvoltage = voltage_kV * 1e3 / binding_eV
    if overvoltage <= 1:
        return 0.0
    j, t = binding_eV / (REST_KEV * 1e3), voltage_kV / REST_KEV
    phi = 10.57 * math.exp(-1.736 / overvoltage + 0.317 / overvoltage**2)
    psi = (binding_eV / RYDBERG_EV) ** (-0.0318 + 0.3160 / overvoltage - 0.1135 / overvoltage**2)
    inner = (j + t) * (2 + t) * (1 + j) ** 2 / (t * (2 + t) * (1 + j) ** 2 + j * (2 + j))
    relativistic = (2 + j) / (2 + t) * ((1 + t) / (1 + j)) ** 2 * inner**1.5
    scale = (BOHR_NM * RYDBERG_EV / binding_eV) ** 2
    return float(electrons * scale * relativistic * psi * phi * math.log(overvoltage) / overvoltage)


@lru_cache(maxsize=4096)
def vacancies_nm2(element: str, voltage_kV: float) -> dict[str, float]:
    """Cross-section for each shell to be left with a vacancy, after the Coster–Kronig moves within K, L and M.

    Shells without tabulated binding are left out. Moves between families (an L vacancy that a K line leaves) are not
    counted. Data of Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121.
    """
    edges = xraydb.xray_edges(element)
    full = atomic_number(element) >= _FULL_D_SHELL
    found: dict[str, float] = {}
    for family in _FAMILIES:
        known = [shell for shell in family if shell in edges and (full or shell not in ("M4", "M5"))]
        made = {shell: casnati_nm2(_OCCUPANCY[shell], float(edges[shell].energy), voltage_kV) for shell in known}
        for shell in known:
            # a vacancy moves outwards by one or several steps: xraydb's total probabilities hold all ways
            found[shell] = made[shell] + sum(
                float(xraydb.ck_probability(element, inner, shell, total=True)) * made[inner]
                for inner in known[: known.index(shell)]
            )
    return found


@lru_cache(maxsize=4096)
def lines(element: str, voltage_kV: float) -> tuple[Line, ...]:
    """Every tabulated line of an element, in the order of their energies.

    Vacancies times the shell's fluorescence yield times the line's share of its photons (Elam et al. 2002).
    """
    edges, found = xraydb.xray_edges(element), []
    for shell, made_nm2 in vacancies_nm2(element, voltage_kV).items():
        for name, line in xraydb.xray_lines(element, shell).items():
            section = made_nm2 * float(edges[shell].fyield) * float(line.intensity)
            if section > 0:
                found.append(Line(element, name, shell, float(line.energy), section))
    return tuple(sorted(found, key=lambda line: line.energy_eV))
