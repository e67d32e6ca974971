"""Patterns that a camera under the specimen gets, probe position by probe position (4D-STEM)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.aberrations import rotated
from instruments.annuli import angles
from instruments.errors import LimitError
from instruments.physics import wavelength_nm
from instruments.simulated.absorption import absorbed_nm2
from instruments.simulated.coherent import BAND, electron_factor_nm, transmitted
from instruments.simulated.harm import disordered
from instruments.simulated.optics import probe_reach_nm
from instruments.simulated.patches import Window, band, probes, propagator
from instruments.simulated.scattering import REST_KEV
from instruments.simulated.thin import slices_of

if TYPE_CHECKING:
    from instruments.simulated.brightfield import Phases
    from instruments.simulated.detector_settings import CameraSettings
    from instruments.simulated.harm import Harm
    from instruments.simulated.hashing import Floats
    from instruments.simulated.renderer import Camera, Views

_AT_ONCE = 64
"""Probe positions drawn in one step."""
_TAIL_NM = 0.2
_TILTED_SLICE_NM, _MOST_TILTED = 0.4, 256
_MOST_PARTS = 8
_LEAST = 1e-12
_RINGS = 1.6
"""Radius kept of a probe, in λ / α: its first rings of Airy."""


def window_of(
    settings: CameraSettings, voltage_kV: float, convergence_mrad: float, reach_nm: float
) -> tuple[Window, int]:
    """The patch that makes a pattern out to the camera's reach, and by what number its pixels are finer than those.

    Raises LimitError where the probe is too wide for a patch of reasonable size, or its disc for the camera.
    """
    pixel_nm = BAND * wavelength_nm(voltage_kV) / (2 * settings.reach_mrad * 1e-3)
    whole = 2 * math.ceil(settings.pixels / BAND / 2)
    ring_nm = _RINGS * wavelength_nm(voltage_kV) / (convergence_mrad * 1e-3)  # what diffraction at the aperture adds
    parts = max(1, math.ceil(2 * (reach_nm + max(_TAIL_NM, ring_nm)) / (whole * pixel_nm)))
    if parts > _MOST_PARTS:
        raise LimitError(
            f"a probe whose rays reach {reach_nm:.3g} nm was to make patterns; a patch for it is {parts} times wider "
            f"than the camera's pixels say, {_MOST_PARTS} at most are possible: focus first, or raise camera.pixels"
        )
    try:
        return Window(whole * parts, pixel_nm, voltage_kV, convergence_mrad), parts
    except ValueError as error:
        raise LimitError(f"the camera cannot show this probe's disc: {error}") from error


def patterns_at(
    specimen: Phases,
    views: Views,
    camera: Camera,
    settings: CameraSettings,
    *,
    thickness_nm: float,
    tilts_rad: tuple[float, float] = (0.0, 0.0),
    done: Harm | None = None,
    moved_px: Floats | None = None,
) -> Floats:
    """(H, W, Ky, Kx) shares of the electrons on the camera's pixels, for every pixel of one view's frame.

    Elastic scattering by phase objects, one below the other over ``thickness_nm``, all alike; thermal diffuse
    scattering by independent atoms (Einstein's model: Hall & Hirsch, Proc. R. Soc. A 286 (1965) 158). The camera's axes
    are those of the column, whatever the scan's rotation: columns and rows are those of a frame that is not rotated;
    angle 0 lies at pixel (K // 2, K // 2). ``tilts_rad``: of the zone axis along columns and rows; the slices are then
    staggered, each by the tilt times its depth, which excites reflections near a circle about the tilt (Laue's).
    ``moved_px``: (H, W) how far right of its pixel the beam really stands.
    """
    reach_nm = float(probe_reach_nm(views.coefficients_nm, camera.convergence_mrad).max())
    window, parts = window_of(settings, camera.voltage_kV, camera.convergence_mrad, reach_nm)
    size, pixel_nm = window.size_px, window.pixel_nm
    turn = 0.0 if views.rotations_rad is None else float(views.rotations_rad[0])
    slices, slice_nm = slices_of(thickness_nm) if tilts_rad == (0.0, 0.0) else _staggered(thickness_nm)
    along = rotated(views.coefficients_nm[:1].numpy(), -turn)
    along[:, 0] += slice_nm / 2  # the middle of the first slice
    probe = probes(torch.from_numpy(along).float(), window, torch.zeros(1, 2))[0, 0]
    spot = torch.view_as_real(probe).square().sum(-1) / pixel_nm**2
    diffuse = torch.stack([_diffuse(element, window, specimen.debye_waller_nm2) for element in specimen.elements])
    areas = torch.tensor(
        [absorbed_nm2(name, camera.voltage_kV, specimen.debye_waller_nm2) for name in specimen.elements]
    )
    inside = band(window, torch.device("cpu"))
    step = propagator(window, slice_nm, torch.device("cpu")) * _stagger(window, slice_nm, tilts_rad)
    places = places_of(views, camera, moved_px) + pixel_nm / 2  # the probe stands on pixel size // 2
    found = np.empty((len(places), settings.pixels, settings.pixels), dtype=np.float32)
    for first in range(0, len(places), _AT_ONCE):
        here = places[first : first + _AT_ONCE]
        there = replace(
            views.part(np.zeros(len(here), dtype=np.int64)), places_nm=here, rotations_rad=None, row_drifts_nm=None
        )
        atoms = specimen.atoms(there, (size, size), pixel_nm)
        phase, lost = specimen.transmission(atoms, pixel_nm)
        if done is not None:
            now = slice(first, first + len(here))
            phase, lost = _faded(phase, done, now, pixel_nm), _faded(lost, done, now, pixel_nm)
        passing, stopped = transmitted(phase / slices, lost / slices), -torch.expm1(-lost / slices)
        taken = (torch.view_as_real(probe).square().sum(-1) * stopped).sum((-2, -1))
        wave = passing * probe
        for _ in range(slices - 1):
            wave = torch.fft.ifft2(torch.fft.fft2(wave).mul_(step))
            taken += (torch.view_as_real(wave).square().sum(-1) * stopped).sum((-2, -1))
            wave *= passing
        wave = torch.fft.fft2(wave, norm="ortho")
        met = (atoms * spot).sum((-2, -1))  # (b, E) atoms per nm² under the probe
        thermal = torch.tensordot(met, diffuse, dims=1)
        # as much as the wave lost: channelled, it meets atoms more or less often than ``met`` says
        thermal *= (taken / (met @ areas).clamp(min=_LEAST))[:, None, None]
        elastic = torch.view_as_real(wave).square().sum(-1)
        found[first : first + len(here)] = _binned((elastic + thermal).mul_(inside).numpy(), settings.pixels, parts)
    return found.reshape(*camera.shape, settings.pixels, settings.pixels)


def _staggered(thickness_nm: float) -> tuple[int, float]:
    """Slices so thin that no reflection is excited by their distance alone."""
    slices = min(max(1, math.ceil(thickness_nm / _TILTED_SLICE_NM)), _MOST_TILTED)
    return slices, thickness_nm / slices


def _stagger(window: Window, slice_nm: float, tilts_rad: tuple[float, float]) -> torch.Tensor:
    """(k, k) what the next slice's being moved by the tilt does to a spectrum with angle 0 in the middle."""
    along_rows, along_columns = angles(*window.frame) * (1e-3 / wavelength_nm(window.voltage_kV))
    turns = 2 * math.pi * slice_nm * (along_columns * tilts_rad[0] + along_rows * tilts_rad[1])
    phase = torch.from_numpy(turns).float()
    return torch.polar(torch.ones_like(phase), phase)


def _diffuse(element: str, window: Window, debye_waller_nm2: float) -> torch.Tensor:
    """(k, k) nm²: cross-section of one atom for thermal diffuse scattering onto each pixel of a pattern."""
    mrad = np.hypot(*angles(*window.frame))
    wavelength = wavelength_nm(window.voltage_kV)
    s_per_nm = mrad * 1e-3 / (2 * wavelength)
    amplitude = (1 + window.voltage_kV / REST_KEV) * electron_factor_nm(element, s_per_nm / 10)
    section = amplitude**2 * (1 - np.exp(-2 * debye_waller_nm2 * s_per_nm**2)) * (window.mrad_per_px * 1e-3) ** 2
    return torch.from_numpy(section).float()


def places_of(views: Views, camera: Camera, moved_px: Floats | None = None) -> np.ndarray:
    """(H · W, 2) place under every pixel of the first view; ``moved_px`` as above."""
    turn = 0.0 if views.rotations_rad is None else float(views.rotations_rad[0])
    drift = np.zeros(2) if views.row_drifts_nm is None else views.row_drifts_nm[0]
    rows, columns = camera.shape
    row, column = (
        grid.ravel() - (n - 1) / 2 for grid, n in zip(np.indices(camera.shape), (rows, columns), strict=True)
    )
    if moved_px is not None:
        column = column + moved_px.ravel()
    cos, sin = math.cos(turn) * camera.pixel_nm, math.sin(turn) * camera.pixel_nm
    along_x, along_y = (1.0, 1.0) if views.stretch is None else views.stretch[0]
    x = views.places_nm[0, 0] - along_x * (cos * column - sin * row) + drift[0] * row
    y = views.places_nm[0, 1] - along_y * (sin * column + cos * row) + drift[1] * row
    return np.column_stack([x, y])


def _faded(phase: torch.Tensor, done: Harm, here: slice, pixel_nm: float) -> torch.Tensor:
    """Phases (B, Y, X) with the harm at each probe position."""
    order, matter = (part.ravel()[here, None, None] for part in (done.order, done.matter))
    return torch.from_numpy(disordered(phase.numpy(), order, pixel_nm, mode="wrap") * matter)


def _binned(seen: Floats, pixels: int, parts: int) -> Floats:
    """(B, K, K) the middle of patterns, ``parts`` × ``parts`` of their pixels in one; angle 0 at (K // 2, K // 2)."""
    first = seen.shape[-1] // 2 - pixels // 2 * parts - (parts - 1) // 2
    wide = pixels * parts
    padded = np.pad(seen, ((0, 0), *((max(0, -first), max(0, first + wide - seen.shape[-1])),) * 2))
    start = max(first, 0)
    cut = padded[:, start : start + wide, start : start + wide]
    return np.asarray(cut.reshape(len(cut), pixels, parts, pixels, parts).sum((2, 4)))
