"""What the beam does to a named specimen: order lost, matter lost, atoms knocked out, carbon deposited."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import ndimage

from instruments.simulated.damage import standing
from instruments.simulated.hashing import Floats
from instruments.simulated.packing import composition
from instruments.simulated.scattering import REST_KEV, atomic_number, atomic_weight, cross_section_nm2

if TYPE_CHECKING:
    from instruments.simulated.recipe import Material, Recipe

CARBON_PER_NM3 = 100.0
"""Atoms in a deposit of amorphous carbon of 2.0 g/cm³."""
_DISORDER_NM = 0.25
"""Standard deviation by which the atoms of a structure that is gone are smeared."""
_SLIGHT, _SLIGHT_NM = 2e-3, 0.02
"""Of what a frame would have done when it is over; half of it shows on average."""
_FINE = 1 / 137.036
_BOHR_NM, _RYDBERG_EV = 0.0529177, 13.6057
_DALTON_EV = 931.494e6


Beside: TypeAlias = tuple[float, float]
"""Voltage in kV, and nm of carbon that a clean place can get."""


@dataclass(frozen=True, slots=True)
class Harm:
    """The state of the specimen under every pixel, (H, W) each."""

    order: Floats
    """1 as grown, 0 all structure gone."""
    matter: Floats
    """Share that is left."""
    carbon_nm: Floats
    """Deposited."""


def harm(
    recipe: Recipe, before_e_per_A2: Floats | None, own_e_per_A2: float, shape: tuple[int, int], about: Beside
) -> Harm | None:
    """What the fluence before a frame (H, W) has done, and that of the frame itself on average while it is taken.

    Structure fades as exp(−fluence ÷ critical fluence) (Egerton, Li & Malac, Micron 35 (2004) 399), matter with it
    down to a rest; knock-on takes atoms at the rate of its cross-section; carbon comes until what adsorbed is used up.
    None for a fresh place that the frame does next to nothing to: under 0.1 % of its structure, and 0.01 nm of carbon.
    """
    voltage_kV, contamination_nm = about
    knocking, coming = 100.0 * _knock_on_nm2(recipe, voltage_kV), 1 / recipe.deposit_e_per_A2
    fading = 1 / recipe.critical_fluence_e_per_A2 + knocking
    if before_e_per_A2 is None:
        if own_e_per_A2 * fading < _SLIGHT and own_e_per_A2 * coming * contamination_nm < _SLIGHT_NM:
            return None
        before_e_per_A2 = np.zeros(shape, dtype=np.float32)
    order, kept, carbon = (standing(before_e_per_A2, own_e_per_A2, rate) for rate in (fading, knocking, coming))
    lost = np.float32(recipe.mass_loss)
    return Harm(
        order=order, matter=(1 - lost) * kept + lost * order, carbon_nm=np.float32(contamination_nm) * (1 - carbon)
    )


def disordered(whole: Floats, order: Floats, pixel_nm: float, *, mode: str) -> Floats:
    """Images (…, H, W) of a structure with ``order`` of it left, the other atoms smeared; ``mode`` at borders."""
    width_px = _DISORDER_NM / pixel_nm
    smooth = ndimage.gaussian_filter(whole, width_px, mode=mode, axes=(-2, -1))
    left: Floats = smooth + order * (whole - smooth)
    return left


def harmed(
    scattered: Floats, found: Harm, angles_mrad: tuple[float, float], voltage_kV: float, pixel_nm: float
) -> Floats:
    """What an annulus gets (H, W) of the electrons once the specimen is as ``found``."""
    if pixel_nm < 2 * _DISORDER_NM:
        scattered = disordered(scattered, found.order, pixel_nm, mode="nearest")
    carbon = CARBON_PER_NM3 * cross_section_nm2("C", *angles_mrad, voltage_kV)
    kept: Floats = 1 - (1 - scattered * found.matter) * np.exp(found.carbon_nm * np.float32(-carbon))
    return kept


def _knock_on_nm2(recipe: Recipe, voltage_kV: float) -> float:
    """Of the mean atom of the material that is soonest displaced, in nm²."""
    return max((_of_material(material, voltage_kV) for material in recipe.materials.values()), default=0.0)


def _of_material(material: Material, voltage_kV: float) -> float:
    if material.displacement_eV is None:
        return 0.0
    atoms = composition(material)
    found = sum(n * displacement_nm2(element, material.displacement_eV, voltage_kV) for element, n in atoms.items())
    return found / sum(atoms.values())


def largest_transfer_eV(element: str, voltage_kV: float) -> float:
    """Energy of a head-on collision with a nucleus at rest: 2E(E + 2mc²) ÷ Mc².

    >>> round(largest_transfer_eV("C", 200.0), 1), round(largest_transfer_eV("Au", 300.0), 1)
    (43.7, 4.3)
    """
    energy = voltage_kV * 1e3
    return 2 * energy * (energy + 2 * REST_KEV * 1e3) / (atomic_weight(element) * _DALTON_EV)


@lru_cache(maxsize=256)
def displacement_nm2(element: str, displacement_eV: float, voltage_kV: float) -> float:
    """Cross-section for a nucleus at rest to be given ``displacement_eV`` or more; 0 below the threshold.

    McKinley & Feshbach, Phys. Rev. 74 (1948) 1759, integrated as by Seitz & Koehler, Solid State Phys. 2 (1956) 305.

    >>> displacement_nm2("C", 22.0, 80.0), round(displacement_nm2("C", 22.0, 200.0) * 1e10, 1)
    (0.0, 13.2)
    """
    highest = largest_transfer_eV(element, voltage_kV)
    if highest <= displacement_eV:
        return 0.0
    ratio, number = highest / displacement_eV, atomic_number(element)
    gamma = 1 + voltage_kV / REST_KEV
    beta2 = 1 - 1 / gamma**2
    coupling = math.pi * number * _FINE * math.sqrt(beta2)
    scale = 4 * math.pi * (number * _BOHR_NM * _RYDBERG_EV / (REST_KEV * 1e3)) ** 2 * (1 - beta2) / beta2**2
    log = math.log(ratio)
    return scale * (ratio - 1 - beta2 * log + coupling * (2 * (math.sqrt(ratio) - 1) - log))
