"""X-ray (EDS) spectrum images, as the counts expected in each channel for one electron sent.

In a thin specimen every atom counts alike: spectra are atoms of each element times a table of its lines and its
bremsstrahlung, as the detector sees them. Absorption in the specimen can be added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import xraydb
from scipy.special import ndtr

from configs.errors import ConfigError
from instruments.simulated.energies import SIGMAS_PER_FWHM, EnergyAxis, check_ranges, check_size
from instruments.simulated.inelastic import check_tabulated
from instruments.simulated.ionisation import Line, lines
from instruments.simulated.packing import elements
from instruments.simulated.recipe import Recipe
from instruments.simulated.scattering import REST_KEV, atomic_number

if TYPE_CHECKING:
    from instruments.simulated.composition import Matter

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]

_FANO, _PAIR_EV = 0.115, 3.65
"""Of silicon: Fano factor, and energy of an electron-hole pair (Williams & Carter, Transmission Electron Microscopy,
2nd ed., chapter 32)."""
_ELECTRON_RADIUS_NM = 2.8179403e-6
_FINE_STRUCTURE = 7.2973526e-3
_HC_EV_NM = 1239.84198
_PER_NM3_OF_G_PER_CM3 = 602.21408
_LOWEST_EV = 50.0
"""Under this a detector counts its own noise only, and tables of absorption say little."""
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer before a detector, of one element at its usual density."""

    element: str
    thickness_nm: float


POLYMER_WINDOW = (Layer("C", 190.0), Layer("Al", 30.0), Layer("Si", 50.0))
"""About 300 nm of polymer with its aluminium, before a detector's dead layer (Moxtek AP3.3); the grid that carries it
leaves ``open_share`` 0.77."""
WINDOWLESS = (Layer("Si", 50.0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class XrayDetector:
    """A silicon drift detector. Raises ConfigError where a number is out of range."""

    axis: EnergyAxis
    voltage_kV: float = 200.0
    solid_angle_sr: Ratio = 0.7
    takeoff_deg: float = 18.0
    """Elevation above the specimen's plane, on the gun's side."""
    noise_eV: float = 45.0
    """Full width at half maximum of a line of energy 0."""
    layers: tuple[Layer, ...] = WINDOWLESS
    open_share: Ratio = 1.0
    """What a window's grid leaves open."""
    silicon_nm: float = 450e3
    """Thickness that stops X-rays."""
    absorption: bool = False
    """Whether the specimen absorbs on the way to the detector."""

    def __post_init__(self) -> None:
        ranges = {
            "voltage_kV": (self.voltage_kV, 10.0, 3000.0),
            "solid_angle_sr": (self.solid_angle_sr, 1e-6, 2 * math.pi),
            "takeoff_deg": (self.takeoff_deg, 1.0, 90.0),
            "noise_eV": (self.noise_eV, 1.0, 1000.0),
            "open_share": (self.open_share, 1e-6, 1.0),
            "silicon_nm": (self.silicon_nm, 1e2, 1e7),
            **{f"thickness_nm of {layer.element}": (layer.thickness_nm, 0.0, 1e6) for layer in self.layers},
        }
        check_ranges(ranges)
        check_tabulated(tuple(layer.element for layer in self.layers))
        if self.axis.end_eV <= _LOWEST_EV:
            raise ConfigError(f"the energy axis ends at {self.axis.end_eV:g} eV; let it reach beyond {_LOWEST_EV:g} eV")

    def resolution_eV(self, energy_eV: Array) -> Array:
        """Full width at half maximum of a line: FWHM² = noise² + 8 ln 2 · F ε E."""
        spread = 8 * math.log(2) * _FANO * _PAIR_EV * np.maximum(energy_eV, 0.0)
        return np.asarray(np.sqrt(self.noise_eV**2 + spread))

    def efficiency(self, energy_eV: Array) -> Array:
        """Share of the photons towards the detector that are counted: what passes the layers, times what silicon stops.

        0 below 50 eV.
        """
        depth = sum((layer.thickness_nm * _per_nm(layer.element, energy_eV) for layer in self.layers), start=0.0)
        stopped = -np.expm1(-self.silicon_nm * _per_nm("Si", energy_eV))
        passed = self.open_share * np.exp(-np.asarray(depth)) * stopped
        return np.asarray(np.where(energy_eV < _LOWEST_EV, 0.0, passed))


def absorption_nm2(element: str, energy_eV: Array) -> Array:
    """Cross-section of an atom to absorb a photon, 2 rₑ λ f₂ (Chantler, J. Phys. Chem. Ref. Data 24 (1995) 71)."""
    if not energy_eV.size:
        return np.zeros(0)
    energy = np.maximum(energy_eV, _LOWEST_EV)
    f2 = np.maximum(np.asarray(xraydb.f2_chantler(element, energy)), 0.0)
    return np.asarray(2 * _ELECTRON_RADIUS_NM * _HC_EV_NM / energy * f2)


def _per_nm(element: str, energy_eV: Array) -> Array:
    density = float(xraydb.atomic_density(element)) / float(xraydb.atomic_mass(element)) * _PER_NM3_OF_G_PER_CM3
    return np.asarray(density * absorption_nm2(element, energy_eV))


def bremsstrahlung_nm2_per_eV(element: str, energy_eV: Array, voltage_kV: float, takeoff_deg: float) -> Array:
    """dσ/dk of an atom for a photon of energy k, times 4π over the solid angle, in the detector's direction.

    Kramers' law with Born's Gaunt factor, the Bethe–Heitler formula of slow electrons (Koch & Motz, Rev. Mod. Phys. 31
    (1959) 920, formula 3BN(a)): dσ/dk = 16/3 α rₑ² Z² / (β² k) · ln((√T + √(T − k))² / k). Screening is left out. That
    the radiation goes forwards is taken as for a source that moves with the electron, (1 − β²) / (1 − β cos θ)²; the
    real pattern at 100 kV and more is known to half of it. 0 below 50 eV.
    """
    gamma = 1 + voltage_kV / REST_KEV
    beta = math.sqrt(1 - 1 / gamma**2)
    full_eV = voltage_kV * 1e3
    k = np.clip(energy_eV, _LOWEST_EV, full_eV)
    front = 16 / 3 * _FINE_STRUCTURE * (_ELECTRON_RADIUS_NM * atomic_number(element) / beta) ** 2
    forwards = (1 - beta**2) / (1 + beta * math.sin(math.radians(takeoff_deg))) ** 2
    emitted = front * forwards / k * np.log((math.sqrt(full_eV) + np.sqrt(full_eV - k)) ** 2 / k)
    return np.asarray(np.where((energy_eV < _LOWEST_EV) | (energy_eV > full_eV), 0.0, emitted))


@dataclass(frozen=True, slots=True)
class XraySpectra:
    """Spectra of one recipe's matter on one detector, in float32.

    Lines are Gaussians as wide as the detector makes them; bremsstrahlung is smooth and is not widened. Left out:
    escape and sum peaks, incomplete charge, fluorescence, X-rays of holder, bars and pole piece.
    """

    recipe: Recipe
    detector: XrayDetector
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    lines: tuple[Line, ...] = field(init=False, repr=False)
    """Every line that reaches the axis."""
    tables: torch.Tensor = field(init=False, repr=False)
    """(E, C) counts per electron and atom/nm², lines and bremsstrahlung, without absorption in the specimen."""
    _owners: torch.Tensor = field(init=False, repr=False)
    _profiles: torch.Tensor = field(init=False, repr=False)
    _line_absorption: torch.Tensor = field(init=False, repr=False)
    _background: torch.Tensor = field(init=False, repr=False)
    _absorption: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        made, names = self.detector, elements(self.recipe)
        check_tabulated(names)
        found = tuple(line for name in names for line in lines(name, made.voltage_kV) if line.energy_eV > _LOWEST_EV)
        object.__setattr__(self, "lines", found)
        at_eV = np.array([line.energy_eV for line in found])
        seen = made.solid_angle_sr / (4 * math.pi)
        weights = seen * made.efficiency(at_eV) * np.array([line.cross_section_nm2 for line in found])
        widths = SIGMAS_PER_FWHM * made.resolution_eV(at_eV)[:, None]
        profiles = weights[:, None] * np.diff(ndtr((made.axis.borders_eV() - at_eV[:, None]) / widths), axis=1)
        owners = np.array([names.index(line.element) for line in found], dtype=np.int64)
        channels_eV = made.axis.energies_eV()
        background = np.array(
            [bremsstrahlung_nm2_per_eV(name, channels_eV, made.voltage_kV, made.takeoff_deg) for name in names]
        )
        background *= seen * made.efficiency(channels_eV) * made.axis.step_eV
        tables = background.copy()
        np.add.at(tables, owners, profiles)
        slant = 1 / math.sin(math.radians(made.takeoff_deg))
        arrays = {
            "tables": tables,
            "_profiles": profiles,
            "_background": background,
            "_line_absorption": slant * np.array([absorption_nm2(name, at_eV) for name in names]),
            "_absorption": slant * np.array([absorption_nm2(name, channels_eV) for name in names]),
        }
        for name, values in arrays.items():
            object.__setattr__(self, name, torch.from_numpy(values).float().to(self.device))
        object.__setattr__(self, "_owners", torch.from_numpy(owners).to(self.device))

    def spectra(self, matter: Matter) -> torch.Tensor:
        """(B, H, W, C) counts expected in each channel for one electron sent, on the device.

        Where a grid bar stops the beam nothing is counted: the bar's own X-rays are left out. Raises ConfigError:
        matter of other elements, or more spectra than memory holds.
        """
        if matter.elements != elements(self.recipe):
            raise ConfigError(
                f"matter of {', '.join(matter.elements)} was given; these tables are of "
                f"{', '.join(elements(self.recipe))}: map the same recipe"
            )
        atoms = matter.atoms_per_nm2.to(self.device) * matter.passed.to(self.device)[:, None]
        channels = self.detector.axis.channels
        check_size(atoms[:, 0].numel(), self.detector.axis)
        found = torch.empty(len(atoms), *atoms.shape[2:], channels, device=self.device)
        most = max(1, _CHUNK_VALUES // channels)
        for frame, out in zip(atoms, found, strict=True):  # a frame does not depend on its batch
            flat, spectra = frame.flatten(1).T.contiguous(), out.flatten(0, 1)
            for n in range(0, len(flat), most):
                spectra[n : n + most] = self._some(flat[n : n + most])
        return found

    def _some(self, atoms: torch.Tensor) -> torch.Tensor:
        """(P, C) spectra of (P, E) atoms."""
        if not self.detector.absorption:
            return atoms @ self.tables
        emitted = atoms[:, self._owners] * _escaping(atoms @ self._line_absorption)
        background = (atoms @ self._background) * _escaping(atoms @ self._absorption)
        return torch.addmm(background, emitted, self._profiles)


def _escaping(depth: torch.Tensor) -> torch.Tensor:
    """(1 − exp(−χ)) / χ, what leaves a mixed slab whose whole depth absorbs χ."""
    thin = depth < 1e-3
    return torch.where(thin, 1 - depth / 2, -torch.expm1(-depth) / torch.where(thin, 1.0, depth))
