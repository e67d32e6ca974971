"""Diffraction patterns of a scanned probe (4D-STEM), in tensor operations: what detectors under the specimen get.

A wave is exp(+2πi k·r): where the phase grows along +x, electrons go to +x. The lens multiplies it by exp(−iχ), a path
z through vacuum by exp(−iπλz k²) (Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. 2010, chapter 6).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.aberrations import NAMES, pupil_on
from instruments.annuli import angles, mask
from instruments.physics import wavelength_nm
from instruments.simulated.coherent import BAND, PhaseObject, finite
from instruments.simulated.optics import probe_reach_nm

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from instruments.annuli import Annulus

_AT_ONCE_BYTES = 1 << 20
"""Complex waves worked on in one step: they stay in a core's cache."""
_PARTS = 1024
"""Positions are taken to 1 / this of a pixel, so that a regular scan has few kinds of probe."""
_FEW = 32
"""Kinds of probe that are made once a world; more are made when their turn comes, and never stored."""


@dataclass(frozen=True, slots=True)
class Window:
    """The square patch round the probe that makes a pattern, and so the pattern's sampling."""

    size_px: int
    pixel_nm: float
    voltage_kV: float
    convergence_mrad: float

    def __post_init__(self) -> None:
        """Raise ValueError where the pattern cannot hold the probe's disc or shows it in too few pixels."""
        if self.size_px < 8 or self.size_px % 2:
            raise ValueError(f"a patch of {self.size_px} pixels was asked; give an even number from 8 on")
        numbers = (self.pixel_nm, self.voltage_kV, self.convergence_mrad)
        if not all(0 < number < math.inf for number in numbers):
            raise ValueError(f"pixel_nm, voltage_kV and convergence_mrad were {numbers}: give positive numbers")
        if not 2 * self.mrad_per_px <= self.convergence_mrad <= self.limit_mrad:
            raise ValueError(
                f"a disc of {self.convergence_mrad:g} mrad was asked; a patch of {self.size_px} pixels of "
                f"{self.pixel_nm:.4g} nm holds discs from {2 * self.mrad_per_px:.3g} to {self.limit_mrad:.3g} mrad: "
                "take more pixels for a smaller disc, smaller pixels for a larger one"
            )

    @property
    def mrad_per_px(self) -> float:
        return wavelength_nm(self.voltage_kV) / (self.size_px * self.pixel_nm) * 1e3

    @property
    def limit_mrad(self) -> float:
        """Electrons that leave beyond this angle are in no pattern."""
        return BAND * wavelength_nm(self.voltage_kV) / (2 * self.pixel_nm) * 1e3

    @property
    def frame(self) -> tuple[tuple[int, int], tuple[float, float], tuple[float, float]]:
        """A pattern's shape, mrad per pixel and centre, as ``annuli`` takes them."""
        size, scale, middle = self.size_px, self.mrad_per_px, float(self.size_px // 2)
        return (size, size), (scale, scale), (middle, middle)


def patterns(
    specimen: PhaseObject, positions_px: torch.Tensor, coefficients_nm: torch.Tensor, window: Window
) -> torch.Tensor:
    """(B, K, k, k) shares of the electrons sent, angle 0 at pixel (k // 2, k // 2).

    ``positions_px``: (K, 2) row and column of the probe, fractions allowed, the same in all worlds.
    ``coefficients_nm``: (B, 8) as ``aberrations.NAMES``; C10 = 0 is focus on the first slice. A pattern's sum is 1
    less what is absorbed or leaves beyond ``window.limit_mrad``. Raises ValueError for what does not fit or is NaN.
    """
    size = window.size_px
    device = specimen.phase_rad.device
    kept = band(window, device)
    found = torch.empty(len(specimen.phase_rad), len(positions_px), size, size, device=device)
    for world, where, squares in _scan(specimen, positions_px, coefficients_nm, window):
        torch.add(squares[..., 0], squares[..., 1], out=found[world, where]).mul_(kept)
    return found


def detect(
    specimen: PhaseObject,
    positions_px: torch.Tensor,
    coefficients_nm: torch.Tensor,
    window: Window,
    masks: torch.Tensor,
) -> torch.Tensor:
    """(B, K, D) what detectors get of ``patterns``, which are never stored; ``masks`` (k · k, D) as of ``masks_of``."""
    size = window.size_px
    if masks.ndim != 2 or len(masks) != size**2:
        raise ValueError(f"masks of shape {tuple(masks.shape)} were given; take those of masks_of(window, …)")
    first = math.floor(size / 2 - BAND * size / 2)  # rows beyond the band limit are not read
    rows = slice(first, size - first + 1)
    # real and imaginary parts lie side by side in memory: to weigh both is faster than to add them
    weights = (masks.view(size, size, -1) * band(window, masks.device)[..., None])[rows]
    weights = weights.repeat_interleave(2, dim=1).flatten(0, 1).T.contiguous()
    device = specimen.phase_rad.device
    found = torch.empty(len(specimen.phase_rad), len(positions_px), masks.shape[1], device=device)
    for world, where, squares in _scan(specimen, positions_px, coefficients_nm, window):
        found[world, where] = torch.nn.functional.linear(squares[:, rows].flatten(1), weights)
    return found


def masks_of(window: Window, detectors: Sequence[Annulus], device: torch.device | None = None) -> torch.Tensor:
    """(k · k, D) shares of each pixel that detectors cover, for ``detect``.

    Raises ValueError where one reaches beyond ``window.limit_mrad``: what it gets there is not computed.
    """
    for detector in detectors:
        if detector.outer_mrad > window.limit_mrad:
            raise ValueError(
                f"a detector out to {detector.outer_mrad:g} mrad was asked; pixels of {window.pixel_nm:.4g} nm carry "
                f"{window.limit_mrad:.4g} mrad: take smaller pixels"
            )
    columns = [torch.from_numpy(mask(one, *window.frame)).float().flatten() for one in detectors]
    return torch.stack(columns, dim=1).to(device)


def moments_of(window: Window, device: torch.device | None = None) -> torch.Tensor:
    """(k · k, 3) weights for ``detect``: mrad along rows, along columns, and 1.

    The first two results over the third are the pattern's centre of mass: λ / 2π times the slope of the phase.
    """
    both = torch.from_numpy(angles(*window.frame)).float()
    return torch.cat([both, torch.ones_like(both[:1])]).flatten(1).T.contiguous().to(device)


def incoherent(
    share: torch.Tensor,
    positions_px: torch.Tensor,
    coefficients_nm: torch.Tensor,
    window: Window,
    *,
    periodic: bool = False,
) -> torch.Tensor:
    """(B, K) mean under the probe of a map of small scattering probabilities (B, Y, X): atoms per nm² times nm².

    For thermal diffuse scattering to high angles, which a phase object lacks: add it to what ``detect`` gives there.
    The probe is that of the entrance face. Raises ValueError as ``patterns`` does, and for a negative share.
    """
    specimen = PhaseObject(share, periodic=periodic)
    if bool((share < 0).any()):
        raise ValueError(f"a scattering probability of {float(share.min()):.3g} was given; it must be 0 or more")
    corner, shifts, kind = _places(specimen, positions_px, window)
    spots = torch.view_as_real(probes(coefficients_nm, window, shifts, worlds=len(share))).square().sum(-1)
    found = torch.empty(len(share), len(corner), device=share.device)
    for world in range(len(share)):
        views = _patches(share[world, None], window, periodic)[0]
        for where in _chunks(len(corner), window):
            row, column = corner[where].T
            found[world, where] = (views[row, column] * spots[world, kind[where]]).sum((-2, -1))
    return found


def probes(
    coefficients_nm: torch.Tensor, window: Window, shifts_px: torch.Tensor, *, worlds: int | None = None
) -> torch.Tensor:
    """(B, U, k, k) waves of unit intensity about pixel (k // 2, k // 2), each moved by a (row, column) of (U, 2).

    Each carries a factor (−1)^(row + column), which puts angle 0 into the middle of its transform.
    Raises ValueError where a probe's rays reach beyond the patch, or there are not ``worlds`` sets of coefficients.
    """
    size = window.size_px
    if coefficients_nm.shape != (worlds or len(coefficients_nm), len(NAMES)):
        raise ValueError(
            f"coefficients of shape {tuple(coefficients_nm.shape)} were given for {worlds} worlds: give each one row "
            f"of {', '.join(NAMES)}"
        )
    finite("coefficients_nm", coefficients_nm)
    reach_nm = float(probe_reach_nm(coefficients_nm, window.convergence_mrad).max())
    held_nm = size * window.pixel_nm / 2
    if reach_nm > held_nm:
        raise ValueError(
            f"the probe's rays reach {reach_nm:.3g} nm from its middle; a patch of {size} pixels of "
            f"{window.pixel_nm:.4g} nm holds {held_nm:.3g} nm: take more pixels or less defocus"
        )
    return _waves(coefficients_nm, window, shifts_px)


def _waves(coefficients_nm: torch.Tensor, window: Window, shifts_px: torch.Tensor) -> torch.Tensor:
    size = window.size_px
    where, amplitude, basis, turns = _lens(window, coefficients_nm.device)
    phase = -(coefficients_nm @ basis)[:, None] - (shifts_px + size // 2) @ turns
    waves = torch.zeros(*phase.shape[:2], size * size, dtype=torch.complex64, device=phase.device)
    waves[..., where] = torch.polar(amplitude.expand_as(phase), phase)
    made: torch.Tensor = torch.fft.ifft2(waves.view(*phase.shape[:2], size, size), norm="ortho")
    return made


def _scan(
    specimen: PhaseObject, positions_px: torch.Tensor, coefficients_nm: torch.Tensor, window: Window
) -> Iterator[tuple[int, slice, torch.Tensor]]:
    """World, positions, and the squared parts (n, k, k, 2) of their waves at the detector: valid until the next."""
    corner, shifts, kind = _places(specimen, positions_px, window)
    # to scale the lens is cheaper than to ask for orthonormal transforms of every wave
    share = 1 / window.size_px
    lenses = probes(coefficients_nm, window, shifts[:_FEW], worlds=len(specimen.phase_rad)) * share
    step = propagator(window, specimen.slice_nm, lenses.device)
    row, column = corner.T.contiguous()
    for world in range(len(lenses)):
        first, *others = _patches(specimen.transmission(world), window, specimen.periodic)
        for where in _chunks(len(corner), window):
            places = row[where], column[where]
            wave = first[places]
            if len(shifts) == 1:
                wave *= lenses[world, 0]
            elif len(shifts) <= _FEW:
                wave *= lenses[world, kind[where]]
            else:
                wave *= _waves(coefficients_nm[world, None], window, shifts[kind[where]])[0] * share
            for below in others:
                wave = torch.fft.ifft2(torch.fft.fft2(wave).mul_(step)).mul_(below[places])
            yield world, where, torch.view_as_real(torch.fft.fft2(wave)).square_()


def _places(
    specimen: PhaseObject, positions_px: torch.Tensor, window: Window
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Corners (K, 2) of the patches, the U different rests (U, 2) of a pixel and which of them each position has."""
    if positions_px.ndim != 2 or positions_px.shape[1] != 2 or not len(positions_px):
        raise ValueError(f"positions of shape {tuple(positions_px.shape)} were given; they must be (K, 2), K > 0")
    if not bool(torch.isfinite(positions_px).all()):
        raise ValueError("positions_px hold NaN or infinity: check what made them")
    size, canvas = window.size_px, specimen.phase_rad.shape[-2:]
    if size > min(canvas):
        raise ValueError(f"a patch of {size} pixels does not fit a canvas of {tuple(canvas)}: make the canvas larger")
    parts = torch.round(positions_px.double() * _PARTS).long()
    whole = torch.div(parts + _PARTS // 2, _PARTS, rounding_mode="floor")
    margin = 0 if specimen.periodic else size // 2
    low, high = whole.amin(0).tolist(), whole.amax(0).tolist()
    if any(a < margin or b > n - margin for a, b, n in zip(low, high, canvas, strict=True)):
        raise ValueError(
            f"positions from {low} to {high} were asked on a canvas of {tuple(canvas)} pixels: keep {margin} pixels "
            "from its borders, or say that it is periodic"
        )
    row, column = (parts - whole * _PARTS + _PARTS // 2).T
    pairs, kind = torch.unique(row * _PARTS + column, return_inverse=True)  # of pairs, unique is ten times slower
    rests = torch.stack([torch.div(pairs, _PARTS, rounding_mode="floor"), pairs % _PARTS], dim=1) - _PARTS // 2
    return whole - margin, rests.float() / _PARTS, kind


def _patches(canvas: torch.Tensor, window: Window, periodic: bool) -> torch.Tensor:
    """(S, …, …, k, k) a view of the patch at every corner of a canvas (S, Y, X)."""
    size = window.size_px
    for dim in (1, 2) if periodic else ():
        n = canvas.shape[dim]
        canvas = canvas.index_select(dim, torch.arange(-(size // 2), n + size // 2, device=canvas.device) % n)
    return canvas.unfold(1, size, 1).unfold(2, size, 1)


def _chunks(count: int, window: Window) -> Iterator[slice]:
    many = max(_AT_ONCE_BYTES // (8 * window.size_px**2), 1)
    return (slice(first, min(first + many, count)) for first in range(0, count, many))


@lru_cache(maxsize=64)
def propagator(window: Window, slice_nm: float, device: torch.device) -> torch.Tensor:
    """(k, k) what a path of ``slice_nm`` does to a spectrum with angle 0 in the middle; the band limit is applied."""
    turn = angles(*window.frame) * 1e-3
    phase = torch.from_numpy((turn**2).sum(0) * (-math.pi * slice_nm / wavelength_nm(window.voltage_kV))).float()
    return torch.polar(band(window, torch.device("cpu")), phase).to(device)


@lru_cache(maxsize=64)
def _lens(window: Window, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Flat indices (P,), amplitudes (P,), rad per nm (8, P) and rad per pixel of shift (2, P) within the aperture."""
    size, pixel = window.size_px, window.pixel_nm
    row, column, lens = pupil_on((size, size), (pixel, pixel), window.voltage_kV, window.convergence_mrad)
    turns = (torch.from_numpy(np.stack([row, column])) - size // 2) * (2 * math.pi / size)
    return (
        torch.from_numpy(lens.inside).to(device),
        torch.from_numpy(lens.amplitude).float().to(device),
        torch.from_numpy(lens.basis).float().to(device),
        turns.float().to(device),
    )


@lru_cache(maxsize=64)
def band(window: Window, device: torch.device) -> torch.Tensor:
    """(k, k) 1 within the band limit, 0 beyond, angle 0 in the middle."""
    inside: torch.Tensor = torch.from_numpy((angles(*window.frame) ** 2).sum(0)) <= window.limit_mrad**2
    return inside.float().to(device)
