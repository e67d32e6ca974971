"""The patch round a scanned probe that makes one diffraction pattern: its sampling, and the waves that stand on it.

Signs as in ``patterns``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from instruments.aberrations import NAMES, pupil_on
from instruments.annuli import angles
from instruments.physics import wavelength_nm
from instruments.simulated.coherent import BAND, finite
from instruments.simulated.optics import probe_reach_nm


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
    return waves(coefficients_nm, window, shifts_px)


def waves(coefficients_nm: torch.Tensor, window: Window, shifts_px: torch.Tensor) -> torch.Tensor:
    """``probes`` of coefficients that were checked."""
    size = window.size_px
    where, amplitude, basis, turns = _lens(window, coefficients_nm.device)
    phase = -(coefficients_nm @ basis)[:, None] - (shifts_px + size // 2) @ turns
    waves = torch.zeros(*phase.shape[:2], size * size, dtype=torch.complex64, device=phase.device)
    waves[..., where] = torch.polar(amplitude.expand_as(phase), phase)
    made: torch.Tensor = torch.fft.ifft2(waves.view(*phase.shape[:2], size, size), norm="ortho")
    return made


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
