"""Diffraction patterns of a scanned probe (4D-STEM), in tensor operations: what detectors under the specimen get.

A wave is exp(+2πi k·r): where the phase grows along +x, electrons go to +x. The lens multiplies it by exp(−iχ), a path
z through vacuum by exp(−iπλz k²) (Kirkland, Advanced Computing in Electron Microscopy, 2nd ed. 2010, chapter 6).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from instruments.annuli import angles, mask
from instruments.simulated.coherent import BAND, PhaseObject
from instruments.simulated.fourier import plan, smooth
from instruments.simulated.lanes import LANES
from instruments.simulated.patches import Window, band, probes, propagator, waves
from instruments.simulated.scanned import TOGETHER, detect_compiled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from instruments.annuli import Annulus

_AT_ONCE_BYTES = 1 << 20
"""Complex waves worked on in one step: they stay in a core's cache."""
_PARTS = 1024
"""Positions are taken to 1 / this of a pixel, so that a regular scan has few kinds of probe."""
_FEW = 32
"""Kinds of probe that are made once a world; more are made when their turn comes, and never stored."""


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
    first = math.floor(size / 2 - BAND * size / 2)  # what lies beyond the band limit is not read
    inner = slice(first, size - first + 1)
    weights = (masks.view(size, size, -1) * band(window, masks.device)[..., None])[inner]
    found = torch.empty(len(specimen.phase_rad), len(positions_px), masks.shape[1], device=specimen.phase_rad.device)
    if found.device.type == "cpu" and specimen.phase_rad.ndim == 3 and smooth(size):
        return _detect_compiled(specimen, positions_px, coefficients_nm, window, weights[:, inner], first, found)
    # real and imaginary parts lie side by side in memory: to weigh both is faster than to add them
    flat = weights.repeat_interleave(2, dim=1).flatten(0, 1).T.contiguous()
    for world, where, squares in _scan(specimen, positions_px, coefficients_nm, window):
        found[world, where] = torch.nn.functional.linear(squares[:, inner].flatten(1), flat)
    return found


def _detect_compiled(
    specimen: PhaseObject,
    positions_px: torch.Tensor,
    coefficients_nm: torch.Tensor,
    window: Window,
    weights: torch.Tensor,
    first: int,
    found: torch.Tensor,
) -> torch.Tensor:
    """``detect`` behind one slice, on a CPU."""
    corner, shifts, kind = _places(specimen, positions_px, window)
    lenses = probes(coefficients_nm, window, shifts[:_FEW], worlds=len(specimen.phase_rad)) / window.size_px
    blocks, detectors = -(-weights.shape[0] // LANES), -(-weights.shape[2] // TOGETHER) * TOGETHER
    padded = torch.zeros(detectors, weights.shape[1], blocks * LANES)
    padded[: weights.shape[2], :, : weights.shape[0]] = weights.permute(2, 1, 0)
    shares = padded.view(detectors, -1, blocks, LANES).transpose(1, 2).contiguous().numpy()
    made, corners = plan(window.size_px), corner.numpy()
    for world in range(len(found)):
        canvas = _parts(_extended(specimen.transmission(world), window, specimen.periodic)[0])
        if len(shifts) <= _FEW:
            lens, out = _parts(lenses[world]), found[world].numpy()
            detect_compiled(*canvas, corners, kind.numpy(), *lens, first, made, shares, out)
            continue
        for where in _chunks(len(corner), window):
            lens = _parts(waves(coefficients_nm[world, None], window, shifts[kind[where]])[0] / window.size_px)
            here, out = corners[where], found[world, where].numpy()
            detect_compiled(*canvas, here, np.arange(len(here)), *lens, first, made, shares, out)
    return found


def _parts(wave: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary parts, in memory that goes on for LANES."""
    flat = torch.zeros(2, wave.numel() + LANES)
    flat[:, : wave.numel()] = torch.view_as_real(wave).view(-1, 2).T
    return flat[0, : wave.numel()].view(wave.shape).numpy(), flat[1, : wave.numel()].view(wave.shape).numpy()


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
                wave *= waves(coefficients_nm[world, None], window, shifts[kind[where]])[0] * share
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
    return _extended(canvas, window, periodic).unfold(1, size, 1).unfold(2, size, 1)


def _extended(canvas: torch.Tensor, window: Window, periodic: bool) -> torch.Tensor:
    """A periodic canvas (S, Y, X) with half a patch more on all sides; another as it is."""
    size = window.size_px
    for dim in (1, 2) if periodic else ():
        n = canvas.shape[dim]
        canvas = canvas.index_select(dim, torch.arange(-(size // 2), n + size // 2, device=canvas.device) % n)
    return canvas


def _chunks(count: int, window: Window) -> Iterator[slice]:
    many = max(_AT_ONCE_BYTES // (8 * window.size_px**2), 1)
    return (slice(first, min(first + many, count)) for first in range(0, count, many))
