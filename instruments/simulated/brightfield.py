"""Bright field of a thin specimen: discs and rings under the probe's cone, where waves interfere.

By reciprocity every point of a detector sees the specimen as a parallel beam would show it (Cowley, Appl. Phys. Lett.
15 (1969) 58), so an image costs one transform per point of the detector instead of one per pixel of the scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import fft

from configs.errors import ConfigError
from instruments.aberrations import Aperture, pupil_on, rows_kept, source_envelope
from instruments.annuli import Annulus, mask
from instruments.physics import wavelength_nm
from instruments.simulated.absorption import filters
from instruments.simulated.coherent import BAND, grating_filter, transmitted
from instruments.simulated.packing import elements, pack
from instruments.simulated.painted import paint_views

if TYPE_CHECKING:
    from instruments.simulated.recipe import Recipe
    from instruments.simulated.renderer import Views

_TINY = 2.0**-60
"""Atoms are drawn this light, and scaled back: the painter then takes no body for thick."""
_SPLAT_TAPS = 2
"""The painter lays an atom on 2 × 2 pixels."""
_POINTS = 64
"""Of a detector, about: its pattern changes slowly from one to the next."""
_ROOM = 1.0 / BAND
"""Sampling beyond the widest angle that is read: products of waves must not fold back onto it."""
_AT_ONCE = 1 << 21
"""Complex numbers worked on in one step."""


def oversampling(pixel_nm: float, voltage_kV: float, widest_mrad: float) -> int:
    """By what odd number a frame's pixels must be divided so that a canvas carries waves up to ``widest_mrad``.

    >>> oversampling(0.02, 200.0, 43.0), oversampling(0.1, 200.0, 43.0)
    (3, 7)
    """
    needed_nm = wavelength_nm(voltage_kV) / (2 * _ROOM * widest_mrad * 1e-3)
    return 2 * math.ceil((pixel_nm / needed_nm - 1) / 2) + 1 if pixel_nm > needed_nm else 1


class Phases:
    """What a recipe's atoms do to the phase of a fast wave, at any place."""

    def __init__(self, recipe: Recipe, voltage_kV: float) -> None:
        self.elements = elements(recipe)
        self.debye_waller_nm2 = 8 * math.pi**2 * recipe.thermal_nm**2
        self._voltage_kV = voltage_kV
        self._packed = pack(recipe, dict(zip(self.elements, np.eye(len(self.elements)) * _TINY, strict=True)))

    def atoms(self, views: Views, shape: tuple[int, int], pixel_nm: float) -> torch.Tensor:
        """(B, E, Y, X) atoms of each element on every pixel of canvases about each view's place."""
        batch = len(views.seeds)
        planes = np.zeros((batch, len(self.elements), *shape), dtype=np.float32)
        paint_views(planes, views, pixel_nm, self._packed, fine=True)
        atoms = torch.from_numpy(planes).mul_(pixel_nm**2 / _TINY)
        if views.thicker is not None:
            atoms *= torch.from_numpy(views.thicker).float()[:, None, None, None]
        return atoms

    def phase(self, atoms: torch.Tensor, pixel_nm: float) -> torch.Tensor:
        """(B, Y, X) rad of such atoms; borders wrap."""
        shape = (int(atoms.shape[-2]), int(atoms.shape[-1]))
        total = torch.zeros(len(atoms), shape[0], shape[1] // 2 + 1, dtype=torch.complex64)
        for n, element in enumerate(self.elements):
            kept = grating_filter(element, shape, pixel_nm, self._voltage_kV, self.debye_waller_nm2, _SPLAT_TAPS)
            total += torch.fft.rfft2(atoms[:, n]) * kept
        found: torch.Tensor = torch.fft.irfft2(total, s=shape)
        return found

    def transmission(self, atoms: torch.Tensor, pixel_nm: float) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, Y, X) rad of such atoms, and the absorption by their thermal motion; borders wrap."""
        shape = (atoms.shape[-2], atoms.shape[-1])
        total = [torch.zeros(len(atoms), shape[0], shape[1] // 2 + 1, dtype=torch.complex64) for _ in range(2)]
        for n, element in enumerate(self.elements):
            spectrum = torch.fft.rfft2(atoms[:, n])
            kept = filters(element, shape, pixel_nm, self._voltage_kV, self.debye_waller_nm2, _SPLAT_TAPS)
            for sum_, each in zip(total, kept, strict=True):
                sum_ += spectrum * each
        phase, absorption = (torch.fft.irfft2(each, s=shape) for each in total)
        return phase, absorption.clamp_(min=0)


@dataclass(frozen=True, slots=True)
class _Lens:
    rows: torch.Tensor
    """(P,) frequencies within the aperture, 0 in the middle."""
    columns: torch.Tensor
    amplitude: torch.Tensor
    basis: torch.Tensor
    """(8, P)"""
    grid: int
    """Side of the smallest grid that holds the probe's intensity."""


@lru_cache(maxsize=16)
def _lens(aperture: Aperture) -> _Lens:
    row, column, lens = pupil_on(
        aperture.shape, (aperture.pixel_nm, aperture.pixel_nm), aperture.voltage_kV, aperture.convergence_mrad
    )
    rows, columns = row - aperture.shape[0] // 2, column - aperture.shape[1] // 2
    widest = 2 * int(max(np.abs(rows).max(), np.abs(columns).max()))  # of the intensity: the pupil's autocorrelation
    return _Lens(
        rows=torch.from_numpy(rows),
        columns=torch.from_numpy(columns),
        amplitude=torch.from_numpy(lens.amplitude).float(),
        basis=torch.from_numpy(lens.basis).float(),
        grid=2 * int(fft.next_fast_len(widest + 1)),
    )


@lru_cache(maxsize=32)
def _points(detector: Annulus, shape: tuple[int, int], step_mrad: tuple[float, float]) -> tuple[torch.Tensor, ...]:
    """Rows and columns (D,) of a detector's points among the frequencies, and how many each stands for."""
    area = math.pi * (detector.outer_mrad**2 - detector.inner_mrad**2) / (step_mrad[0] * step_mrad[1])
    stride = max(1, math.floor(math.sqrt(area / _POINTS)))
    half = [math.ceil(detector.outer_mrad / (stride * step)) + 1 for step in step_mrad]
    size = (2 * half[0] + 1, 2 * half[1] + 1)
    covered = mask(detector, size, (stride * step_mrad[0], stride * step_mrad[1]), (float(half[0]), float(half[1])))
    row, column = np.nonzero(covered)
    rows, columns = (row - half[0]) * stride, (column - half[1]) * stride
    weights = covered[row, column] * stride**2
    return torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(weights).float()


def bright(
    phase_rad: torch.Tensor,
    coefficients_nm: torch.Tensor,
    aperture: Aperture,
    detector: Annulus,
    *,
    source_size_nm: float = 0.0,
    absorption: torch.Tensor | None = None,
    slices: int = 1,
    slice_nm: float = 0.0,
) -> torch.Tensor:
    """(B, Y, X) share of the electrons on a detector with the probe at every pixel of B canvases (B, Y, X).

    ``coefficients_nm``: (B, 8) as ``aberrations.NAMES``, at the middle of the first of ``slices`` planes, ``slice_nm``
    apart, that share the phase. Borders wrap. Raises ConfigError where the canvas does not carry the angles read.
    """
    limit = wavelength_nm(aperture.voltage_kV) / (2 * aperture.pixel_nm) * 1e3
    if detector.outer_mrad + aperture.convergence_mrad > limit:
        raise ConfigError(
            f"a detector out to {detector.outer_mrad:g} mrad under a cone of {aperture.convergence_mrad:g} mrad was "
            f"asked; pixels of {aperture.pixel_nm:.4g} nm carry {limit:.4g} mrad: take smaller pixels"
        )
    shape, lens = aperture.shape, _lens(aperture)
    steps = tuple(wavelength_nm(aperture.voltage_kV) * 1e3 / (n * aperture.pixel_nm) for n in shape)
    rows, columns, weights = _points(detector, shape, (steps[0], steps[1]))
    pupils = torch.polar(lens.amplitude.expand(len(phase_rad), -1), -(coefficients_nm @ lens.basis))
    grid = lens.grid
    where = (lens.rows % grid) * grid + lens.columns % grid
    found = torch.empty_like(phase_rad)
    most = max(1, _AT_ONCE // max(grid**2, shape[0] * shape[1] if slices > 1 else 0))
    for n, pupil in enumerate(pupils):
        intensity = torch.zeros(grid, grid)
        passing = transmitted(phase_rad[n] / slices, None if absorption is None else absorption[n] / slices)
        scattered = torch.fft.fft2(passing) / (shape[0] * shape[1])
        step = _step(aperture, slice_nm)
        for first in range(0, len(rows), most):
            here = slice(first, first + most)
            waves = torch.zeros(len(rows[here]), grid * grid, dtype=torch.complex64)
            if slices == 1:
                waves[:, where] = _shifted(scattered, rows[here], columns[here], lens.rows, lens.columns) * pupil
            else:
                above = _upwards(scattered, passing, step, slices, rows[here], columns[here])
                waves[:, where] = above[:, -lens.rows % shape[0], -lens.columns % shape[1]] * pupil
            seen = torch.view_as_real(torch.fft.fft2(waves.view(-1, grid, grid))).square_().sum(-1)
            intensity += torch.tensordot(weights[here], seen, dims=1)
        found[n] = _spread(intensity, aperture, source_size_nm)
    return found


def _shifted(
    spectrum: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, back: torch.Tensor, across: torch.Tensor
) -> torch.Tensor:
    """(D, P) a spectrum (Y, X) at the differences of D and P frequencies."""
    row, column = (rows[:, None] - back) % spectrum.shape[0], (columns[:, None] - across) % spectrum.shape[1]
    return spectrum.reshape(-1)[row * spectrum.shape[1] + column]


def _upwards(
    scattered: torch.Tensor,
    passing: torch.Tensor,
    step: torch.Tensor,
    slices: int,
    rows: torch.Tensor,
    columns: torch.Tensor,
) -> torch.Tensor:
    """(D, Y, X) spectra above the specimen of plane waves that D points of the detector send back through it."""
    shape = scattered.shape
    every = (torch.arange(shape[0]), torch.arange(shape[1]))
    # below the last slice a plane wave; above it the slice's own spectrum, moved
    row, column = (every[0] + rows[:, None]) % shape[0], (every[1] + columns[:, None]) % shape[1]
    waves = scattered[row[:, :, None], column[:, None, :]]
    for _ in range(slices - 1):
        waves = torch.fft.fft2(torch.fft.ifft2(waves.mul_(step)).mul_(passing))
    return waves


@lru_cache(maxsize=16)
def _step(aperture: Aperture, slice_nm: float) -> torch.Tensor:
    """(Y, X) what a path does to a spectrum; the band limit is applied."""
    wavelength = wavelength_nm(aperture.voltage_kV)
    ky, kx = (np.fft.fftfreq(n, aperture.pixel_nm) for n in aperture.shape)
    k2 = ky[:, None] ** 2 + kx[None, :] ** 2
    inside = k2 <= (BAND / (2 * aperture.pixel_nm)) ** 2
    return torch.from_numpy(inside * np.exp(-1j * math.pi * wavelength * slice_nm * k2)).to(torch.complex64)


def _spread(intensity: torch.Tensor, aperture: Aperture, source_size_nm: float) -> torch.Tensor:
    """An image on the small grid, on the canvas's pixels, blurred by the source."""
    (rows, columns), grid = aperture.shape, len(intensity)
    small = torch.fft.rfft2(intensity) * (rows * columns / grid**2)
    full = torch.zeros(rows, columns // 2 + 1, dtype=torch.complex64)
    low, high, wide = rows_kept((grid, grid), (rows, columns))
    full[:low, :wide] = small[:low, :wide]
    full[rows - high :, :wide] = small[grid - high :, :wide]
    full *= torch.from_numpy(source_envelope(aperture, source_size_nm)).float()
    image: torch.Tensor = torch.fft.irfft2(full, s=(rows, columns))
    return image
