"""Phase objects of atoms, and their images in a wide parallel beam (CTEM), in tensor operations.

Signs as in ``patterns``: a fast electron gains phase where the potential is positive, the lens multiplies by exp(−iχ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.aberrations import NAMES, Array, basis
from instruments.physics import wavelength_nm
from instruments.simulated.scattering import MOTT_BETHE_NM, REST_KEV, xray_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

_VOLT_NM2 = 0.478776
"""h² / (2π m₀ e): projected potential in V nm, times nm², of a scattering factor in nm (Kirkland 2010, eq. 5.9)."""
_SMALLEST_S_PER_A = 1e-3
BAND = 2 / 3
"""Share of the Nyquist limit that is kept: beyond, products of two waves fold back (Kirkland 2010, section 6.8)."""
_TAPS = 4
"""Points a side on which an atom is laid: a cubic B-spline, whose own spectrum is divided out again."""


@dataclass(frozen=True, slots=True, eq=False)
class PhaseObject:
    """B worlds' specimens, on a canvas that probes stand on."""

    phase_rad: torch.Tensor
    """(B, Y, X), or (B, S, Y, X) from the entrance face down."""
    absorption: torch.Tensor | None = None
    """As the phase: exp(−absorption) of the intensity passes. None = all."""
    slice_nm: float = 0.0
    """From one slice to the next."""
    periodic: bool = False
    """Patches may cross the borders; otherwise the canvas needs a margin of half a patch."""

    def __post_init__(self) -> None:
        """Raise ValueError for shapes that differ, NaN, or negative absorption or distance."""
        if self.phase_rad.ndim not in (3, 4):
            raise ValueError(f"a phase of shape {tuple(self.phase_rad.shape)} was given; it must be (B, [S,] Y, X)")
        finite("phase_rad", self.phase_rad)
        if self.absorption is not None:
            if self.absorption.shape != self.phase_rad.shape:
                raise ValueError(
                    f"absorption {tuple(self.absorption.shape)} must have the phase's shape "
                    f"{tuple(self.phase_rad.shape)}"
                )
            finite("absorption", self.absorption)
            if bool((self.absorption < 0).any()):
                raise ValueError(f"absorption goes down to {float(self.absorption.min()):.3g}; it must be 0 or more")
        if not 0 <= self.slice_nm < math.inf:
            raise ValueError(f"slices {self.slice_nm} nm apart were given; the distance must be 0 or more")

    def transmission(self, world: int) -> torch.Tensor:
        """(S, Y, X) of one world."""
        absorption = None if self.absorption is None else self.absorption[world]
        return transmitted(self.phase_rad[world], absorption).view(-1, *self.phase_rad.shape[-2:])


@dataclass(frozen=True, slots=True)
class Grid:
    """A periodic frame of square pixels."""

    shape: tuple[int, int]
    pixel_nm: float

    def __post_init__(self) -> None:
        """Raise ValueError where it is no frame."""
        if min(self.shape) < _TAPS or not 0 < self.pixel_nm < math.inf:
            raise ValueError(f"a frame of {self.shape} pixels of {self.pixel_nm} nm was asked; give both sides > 3")


@dataclass(frozen=True, slots=True)
class Illumination:
    """The beam of a CTEM and what limits its images."""

    voltage_kV: float
    focal_spread_nm: float = 0.0
    """Standard deviation of the defocus, from energy spread and unsteady lenses."""
    illumination_semi_angle_mrad: float = 0.0
    """Where the angular distribution, a Gaussian, falls to 1/e."""
    objective_mrad: float | None = None
    """Semi-angle of the objective aperture; None = it is out."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range."""
        parts = (self.focal_spread_nm, self.illumination_semi_angle_mrad)
        if not 0 < self.voltage_kV < math.inf or not all(0 <= part < math.inf for part in parts):
            raise ValueError(f"{self} was asked: give a positive voltage and spreads of 0 or more")
        if self.objective_mrad is not None and not 0 < self.objective_mrad < math.inf:
            raise ValueError(
                f"an objective aperture of {self.objective_mrad} mrad was asked; give > 0, or None for out"
            )


def transmitted(phase_rad: torch.Tensor, absorption: torch.Tensor | None) -> torch.Tensor:
    """What a phase object (…) makes of a wave of 1; of the intensity exp(−absorption) passes."""
    size = torch.ones_like(phase_rad) if absorption is None else torch.exp(-absorption / 2)
    return torch.polar(size, phase_rad)


def finite(name: str, tensor: torch.Tensor) -> None:
    """Raise ValueError where a tensor is not of float32, or holds NaN or infinity."""
    if tensor.dtype != torch.float32:
        raise ValueError(f"{name} has type {tensor.dtype}; give float32")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds NaN or infinity: check what made it")


def interaction_constant(voltage_kV: float) -> float:
    """σ in rad / (V nm): phase of a fast electron per projected potential (Kirkland 2010, eq. 5.6).

    >>> round(interaction_constant(100.0), 6), round(interaction_constant(200.0), 6)
    (0.009244, 0.007288)
    """
    total = (REST_KEV + voltage_kV) / (2 * REST_KEV + voltage_kV)
    return 2 * math.pi * total / (wavelength_nm(voltage_kV) * voltage_kV * 1e3)


def electron_factor_nm(element: str, s_per_A: Array) -> Array:
    """Scattering factor fₑ in nm (first Born, rest mass) at s = sin θ / λ = q / 2, of a neutral atom.

    Mott–Bethe from the X-ray factors of Waasmaier & Kirfel (1995). Their fit at s = 0 stands for Z, so that forward
    scattering stays finite; it differs from Z by less than 0.1 %.
    """
    s = np.maximum(np.asarray(s_per_A, dtype=np.float64), _SMALLEST_S_PER_A)
    bound = xray_factor(element, np.zeros(1))[0]
    return np.asarray(MOTT_BETHE_NM * (bound - xray_factor(element, s)) / s**2)


def atom_potential_spectrum(element: str, q_per_nm: Array, *, debye_waller_nm2: float = 0.0) -> Array:
    """Transform of an atom's projected potential, in V nm³, at spatial frequencies q = 1/d (…).

    ``debye_waller_nm2``: B = 8π² ⟨u²⟩ of one direction, 0.01 times its value in Å². The value at 0 over the area of a
    cell is the mean inner potential times the thickness.
    """
    if not 0 <= debye_waller_nm2 < math.inf:
        raise ValueError(f"a Debye-Waller factor of {debye_waller_nm2} nm² was asked; give 0 or more")
    s_per_nm = np.asarray(q_per_nm) / 2
    factor = electron_factor_nm(element, s_per_nm / 10)
    return np.asarray(_VOLT_NM2 * factor * np.exp(-debye_waller_nm2 * s_per_nm**2))


def phase_grating(
    atoms: Mapping[str, torch.Tensor],
    grid: Grid,
    voltage_kV: float,
    *,
    worlds: int = 1,
    debye_waller_nm2: Mapping[str, float] | None = None,
) -> torch.Tensor:
    """(B, Y, X) phase in rad of the atoms of each element, (N, 3): world, row, column in pixels, fractions allowed.

    The frame is periodic. Frequencies beyond 2/3 of the Nyquist limit are left out. Raises ValueError for an atom
    that is no number or of no world.
    """
    factors = dict(debye_waller_nm2 or {})
    if unknown := factors.keys() - atoms.keys():
        raise ValueError(f"Debye-Waller factors of {sorted(unknown)} were given; the atoms are of {sorted(atoms)}")
    total: torch.Tensor | None = None
    for element, places in atoms.items():
        spectrum = torch.fft.rfft2(_lay(element, places, grid.shape, worlds))
        made = grating_filter(element, grid.shape, grid.pixel_nm, voltage_kV, factors.get(element, 0.0))
        spectrum *= made.to(places.device)
        total = spectrum if total is None else total.add_(spectrum)
    if total is None:
        raise ValueError("no element was given: name one, with no atoms (0, 3) for an empty frame")
    phase: torch.Tensor = torch.fft.irfft2(total, s=grid.shape)
    return phase


def ctem(
    phase_rad: torch.Tensor,
    coefficients_nm: torch.Tensor,
    pixel_nm: float,
    illumination: Illumination,
    *,
    absorption: torch.Tensor | None = None,
    focal_nodes: int = 1,
    slices: int = 1,
    slice_nm: float = 0.0,
) -> torch.Tensor:
    """(B, Y, X) images of B phase objects under B sets of aberrations (B, 8), 1 where there is no specimen.

    The exit wave goes through the lens as a wave, so that images of strong objects are not linear in the phase. The
    beam's spread of angles, and with one node its focal spread, damps the wave by their envelopes (Frank, Optik 38
    (1973) 519): right for what interferes with the unscattered beam. With more nodes the focal spread is an average
    of images (Gauss–Hermite quadrature), right for all of it; only that keeps the electrons' number.
    ``absorption``: (B, Y, X), intensity exp(−absorption) passes. ``slices`` planes, ``slice_nm`` apart, may share phase
    and absorption; aberrations are those at the last. Borders wrap. Raises ValueError for NaN or bad shapes.
    """
    _check(phase_rad, coefficients_nm, absorption, focal_nodes)
    optics = _optics(Grid((phase_rad.shape[1], phase_rad.shape[2]), pixel_nm), illumination, phase_rad.device)
    passing = transmitted(phase_rad / slices, None if absorption is None else absorption / slices)
    wave = torch.fft.fft2(passing)
    for _ in range(slices - 1):
        wave = torch.fft.fft2(torch.fft.ifft2(wave * torch.polar(optics.band, -slice_nm * optics.chi[0])) * passing)
    tilt = torch.einsum("bn,ngyx->bgyx", coefficients_nm, optics.gradient)
    angle_rad = illumination.illumination_semi_angle_mrad * 1e-3
    damped = optics.passed * torch.exp(tilt.square().sum(1) * (-(angle_rad**2) / 4))
    spread = illumination.focal_spread_nm
    if focal_nodes == 1:
        damped = damped * torch.exp(optics.chi[0].square() * (-(spread**2) / 2))
    chi = torch.einsum("bn,nyx->byx", coefficients_nm, optics.chi)
    nodes, weights = np.polynomial.hermite_e.hermegauss(focal_nodes)
    image = torch.zeros_like(phase_rad)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        at_focus = chi + float(node) * spread * optics.chi[0]
        seen = torch.view_as_real(torch.fft.ifft2(wave * torch.polar(damped, -at_focus)))
        image.add_(seen.square().sum(-1), alpha=float(weight))
    return image


def _lay(element: str, places: torch.Tensor, shape: tuple[int, int], worlds: int) -> torch.Tensor:
    """(B, Y, X) atoms per pixel, each spread over a cubic B-spline."""
    if places.ndim != 2 or places.shape[1] != 3 or not bool(torch.isfinite(places).all()):
        raise ValueError(f"atoms of {element}, {tuple(places.shape)}, must be (N, 3) numbers: world, row, column")
    world = places[:, 0].long()
    if len(world) and not (0 <= int(world.min()) and int(world.max()) < worlds):
        raise ValueError(f"atoms of {element} lie in worlds {int(world.min())} … {int(world.max())} of {worlds}")
    first = torch.floor(places[:, 1:])
    weights = _spline(places[:, 1:] - first)  # (N, 2, 4)
    index = first.long()[:, :, None] + torch.arange(-1, _TAPS - 1, device=places.device)
    row, column = index[:, 0] % shape[0], index[:, 1] % shape[1]
    flat = (world[:, None, None] * shape[0] + row[:, :, None]) * shape[1] + column[:, None, :]
    laid = torch.zeros(worlds * shape[0] * shape[1], device=places.device)
    laid.index_add_(0, flat.flatten(), (weights[:, 0, :, None] * weights[:, 1, None, :]).flatten().float())
    return laid.view(worlds, *shape)


def _spline(rest: torch.Tensor) -> torch.Tensor:
    """(…, 4) weights of the cubic B-spline on the points −1, 0, 1, 2 about a place 0 ≤ rest < 1 (…)."""
    u, v = rest, 1 - rest
    return torch.stack([v**3, 4 - 6 * u**2 + 3 * u**3, 4 - 6 * v**2 + 3 * v**3, u**3], dim=-1) / 6


@lru_cache(maxsize=256)
def grating_filter(
    element: str, shape: tuple[int, int], pixel_nm: float, voltage_kV: float, debye_waller_nm2: float, taps: int = _TAPS
) -> torch.Tensor:
    """(Y, X // 2 + 1) phase in rad per atom and pixel, with the B-spline over ``taps`` pixels a side divided out."""
    ky, kx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    q_px = np.hypot(ky, kx)
    spectrum = atom_potential_spectrum(element, q_px / pixel_nm, debye_waller_nm2=debye_waller_nm2)
    spectrum = spectrum / (np.sinc(ky) * np.sinc(kx)) ** taps * (q_px <= BAND / 2)
    return torch.from_numpy(spectrum * interaction_constant(voltage_kV) / pixel_nm**2).float()


@dataclass(frozen=True, slots=True)
class _Objective:
    chi: torch.Tensor
    """(8, Y, X) rad per nm of each coefficient."""
    gradient: torch.Tensor
    """(8, 2, Y, X) its slope, per rad of angle."""
    band: torch.Tensor
    """(Y, X) 1 within the band limit."""
    passed: torch.Tensor
    """(Y, X) 1 within the band limit and the aperture."""


@lru_cache(maxsize=16)
def _optics(grid: Grid, illumination: Illumination, device: torch.device) -> _Objective:
    voltage_kV = illumination.voltage_kV
    wavelength = wavelength_nm(voltage_kV)
    ky, kx = (np.fft.fftfreq(n, grid.pixel_nm) * wavelength for n in grid.shape)
    x, y = np.meshgrid(kx, ky)
    chi = basis(x, y, voltage_kV)
    h = 1e-5  # rad: the forms are polynomials of degree 4, so that differences err by h² only
    slopes = [basis(x + h, y, voltage_kV) - basis(x - h, y, voltage_kV)]
    slopes += [basis(x, y + h, voltage_kV) - basis(x, y - h, voltage_kV)]
    angle, limit = np.hypot(x, y), BAND * wavelength / (2 * grid.pixel_nm)
    opening = math.inf if illumination.objective_mrad is None else illumination.objective_mrad * 1e-3
    tensors = chi, np.stack(slopes, axis=1) / (2 * h), angle <= limit, angle <= min(limit, opening)
    return _Objective(*(torch.from_numpy(tensor).float().to(device) for tensor in tensors))


def _check(phase: torch.Tensor, coefficients: torch.Tensor, absorption: torch.Tensor | None, focal_nodes: int) -> None:
    if phase.ndim != 3 or coefficients.shape != (len(phase), len(NAMES)):
        raise ValueError(
            f"phases {tuple(phase.shape)} and coefficients {tuple(coefficients.shape)} were given: they must be "
            f"(B, Y, X) and (B, {len(NAMES)})"
        )
    if absorption is not None and (absorption.shape != phase.shape or float(absorption.min()) < 0):
        raise ValueError(f"absorption {tuple(absorption.shape)} must be 0 or more, of shape {tuple(phase.shape)}")
    for name, tensor in (("phase", phase), ("coefficients", coefficients), ("absorption", absorption)):
        if tensor is not None:
            finite(name, tensor)
    if not 1 <= focal_nodes <= 64:
        raise ValueError(f"{focal_nodes} focal nodes were asked; give 1 to 64")
