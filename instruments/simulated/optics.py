"""What the lenses make of a batch of objects, in tensor operations: one transfer function a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from instruments.aberrations import NAMES, Aperture, pupil, pupil_on, rows_kept, source_envelope
from instruments.physics import wavelength_nm

_WAVE_PX_NM = 0.05
"""Wave optics for pixels up to this; for larger ones the probe's rays are enough."""
_ASTIGMATIC = slice(1, 3)
_TAIL_NM, _WINDOW_STEP_NM = 1.2, 0.4
"""A probe is made in a window this much wider than its rays: beyond lies a per cent of it."""


@dataclass(frozen=True, slots=True)
class _Lens:
    """A pupil on a device, as the (m, m) block round it: where it lies among the frequencies changes no intensity."""

    window: tuple[int, int]
    """The grid on which the probe is made, in real space a window just wider than the probe."""
    shape: tuple[int, int]
    """The grid with the frequencies of the frame: pixels as wide as the window's."""
    block: tuple[int, int]
    amplitude: torch.Tensor
    """(m · m,)"""
    basis: torch.Tensor
    """(8, m · m)"""
    low: int
    high: int
    wide: int
    envelope: torch.Tensor


@lru_cache(maxsize=64)
def _lens(aperture: Aperture, window_nm: float, blur_nm: float, device: torch.device) -> _Lens:
    whole = pupil(aperture)
    steps = tuple(n * aperture.pixel_nm / m for n, m in zip(aperture.shape, whole.shape, strict=True))
    rows, columns = (min(m, 16 * math.ceil(window_nm / step / 16)) for m, step in zip(whole.shape, steps, strict=True))
    row, column, lens = pupil_on((rows, columns), (steps[0], steps[1]), aperture.voltage_kV, aperture.convergence_mrad)
    first_row, first_column = int(row.min()), int(column.min())
    block = int(row.max()) - first_row + 1, int(column.max()) - first_column + 1
    flat = (row - first_row) * block[1] + column - first_column
    amplitude = np.zeros(block[0] * block[1], dtype=np.float32)
    basis = np.zeros((len(NAMES), block[0] * block[1]), dtype=np.float32)
    amplitude[flat], basis[:, flat] = lens.amplitude, lens.basis
    low, high, wide = rows_kept(whole.shape, aperture.shape)
    full = source_envelope(aperture, blur_nm)[:, :wide]
    envelope = rows * columns * np.concatenate([full[:low], full[len(full) - high :]])
    return _Lens(
        window=(rows, columns),
        shape=whole.shape,
        block=block,
        amplitude=torch.from_numpy(amplitude).to(device),
        basis=torch.from_numpy(basis).to(device),
        low=low,
        high=high,
        wide=wide,
        envelope=torch.from_numpy(envelope).float().to(device),
    )


def probe_reach_nm(coefficients_nm: torch.Tensor, convergence_mrad: float, depth_nm: float = 0.0) -> torch.Tensor:
    """(B,) how far from its middle each of B probes (B, 8) throws a ray, at most ``depth_nm`` below the surface."""
    alpha = convergence_mrad * 1e-3
    size = coefficients_nm.abs()
    reach = alpha * (size[:, 0] + depth_nm + torch.hypot(size[:, 1], size[:, 2])) + alpha**3 * size[:, 7]
    reach += alpha**2 * (torch.hypot(size[:, 3], size[:, 4]) + torch.hypot(size[:, 5], size[:, 6]))
    return reach


def probe_window_nm(reach_nm: torch.Tensor) -> torch.Tensor:
    """(B,) widths of the squares that hold probes, rounded up in steps, so that few are prepared."""
    return torch.ceil((2 * reach_nm + _TAIL_NM) / _WINDOW_STEP_NM) * _WINDOW_STEP_NM


def image(
    objects: torch.Tensor,
    coefficients_nm: torch.Tensor,
    aperture: Aperture,
    *,
    blur_nm: float,
    depths_nm: tuple[float, ...],
    window_nm: float | None = None,
) -> torch.Tensor:
    """Incoherent images of B objects (B, S, H, W) by B probes with coefficients (B, 8): the same shape and device.

    ``blur_nm``: standard deviation of the source's image and the atoms' thermal motion together. The probe is averaged
    over ``depths_nm`` below the entrance face, where it has C10 = 0. ``window_nm``: the square in which the probes are
    made; None is as wide as the widest needs. Borders wrap: leave a margin.
    """
    spectrum = torch.fft.rfft2(objects)
    if aperture.pixel_nm > _WAVE_PX_NM:
        spectrum *= _rays(coefficients_nm, aperture, blur_nm, depths_nm)[:, None]
        blurred: torch.Tensor = torch.fft.irfft2(spectrum, s=aperture.shape)
        return blurred
    if window_nm is None:
        reach_nm = probe_reach_nm(coefficients_nm, aperture.convergence_mrad, max(depths_nm))
        window_nm = float(probe_window_nm(reach_nm).max())
    lens = _lens(aperture, window_nm, blur_nm, objects.device)
    transfer = _waves(coefficients_nm, lens, depths_nm)[:, None]
    low, high, wide = lens.low, lens.high, lens.wide
    spectrum[..., :low, :wide] *= transfer[:, :, :low, :wide]
    spectrum[..., spectrum.shape[-2] - high :, :wide] *= transfer[:, :, transfer.shape[-2] - high :, :wide]
    spectrum[..., low : spectrum.shape[-2] - high, :] = 0  # beyond the probe's limit
    spectrum[..., wide:] = 0
    images: torch.Tensor = torch.fft.irfft2(spectrum, s=aperture.shape)
    return images


def _waves(coefficients_nm: torch.Tensor, lens: _Lens, depths_nm: tuple[float, ...]) -> torch.Tensor:
    """(B, h, w // 2 + 1) transfer functions on the pupil's grid, from the probes' intensities."""
    batch, nodes = len(coefficients_nm), len(depths_nm)
    phase = torch.addmm(torch.zeros(1, device=lens.basis.device), coefficients_nm, lens.basis, alpha=-1)
    if nodes > 1 or depths_nm[0]:
        depths = torch.tensor(depths_nm, dtype=torch.float32, device=phase.device)
        phase = (phase[:, None] - depths[None, :, None] * lens.basis[NAMES.index("C10")]).view(batch * nodes, -1)
    wave = torch.zeros(batch * nodes, *lens.window, dtype=torch.complex64, device=phase.device)
    block = wave[:, : lens.block[0], : lens.block[1]]
    block.real.copy_(torch.cos(phase).mul_(lens.amplitude).view(-1, *lens.block))
    block.imag.copy_(torch.sin(phase).mul_(lens.amplitude).view(-1, *lens.block))
    torch.fft.ifft2(wave, out=wave)
    probe = wave.real.square()
    probe += wave.imag.square()
    if nodes > 1:
        probe = probe.view(batch, nodes, *lens.window).mean(1)
    spectrum: torch.Tensor = torch.fft.rfft2(_framed(probe, lens.shape))
    spectrum[:, : lens.low, : lens.wide] *= lens.envelope[: lens.low]
    spectrum[:, spectrum.shape[1] - lens.high :, : lens.wide] *= lens.envelope[lens.low :]
    return spectrum


def _framed(probe: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Probes (B, h, w) about the corner of their grid, about that of a larger one."""
    if tuple(probe.shape[1:]) == shape:
        return probe
    rows, columns = probe.shape[1] // 2, probe.shape[2] // 2
    framed = torch.zeros(len(probe), *shape, device=probe.device)
    framed[:, :rows, :columns] = probe[:, :rows, :columns]
    framed[:, :rows, -columns:] = probe[:, :rows, -columns:]
    framed[:, -rows:, :columns] = probe[:, -rows:, :columns]
    framed[:, -rows:, -columns:] = probe[:, -rows:, -columns:]
    return framed


def _rays(
    coefficients_nm: torch.Tensor, aperture: Aperture, blur_nm: float, depths_nm: tuple[float, ...]
) -> torch.Tensor:
    """(B, H, W // 2 + 1) transfer functions of geometric optics: a uniform cone of rays, 2 J₁(u) / u.

    A ray at angle θ lands at M θ with M = [[C10 + C12a, C12b], [C12b, C10 − C12a]]; of the others only their
    mean blur counts at such pixels (the variance of the ray positions that they add).
    """
    device = coefficients_nm.device
    alpha = aperture.convergence_mrad * 1e-3
    ky = torch.fft.fftfreq(aperture.shape[0], aperture.pixel_nm, device=device)[None, :, None]
    kx = torch.fft.rfftfreq(aperture.shape[1], aperture.pixel_nm, device=device)[None, None, :]
    a, b = coefficients_nm[:, _ASTIGMATIC].T[:, :, None, None]
    squares = coefficients_nm.square()
    others = (squares[:, 3:5].sum(1) / 27 + squares[:, 5:7].sum(1) / 6) * alpha**4 + squares[:, 7] * alpha**6 / 8
    variance = (others + blur_nm**2 + (0.21 * wavelength_nm(aperture.voltage_kV) / alpha) ** 2)[:, None, None]
    total = torch.zeros(())
    for depth in depths_nm:
        c = coefficients_nm[:, :1, None] + depth
        u = 2 * math.pi * alpha * torch.hypot((c + a) * kx + b * ky, b * kx + (c - a) * ky)
        total = total + torch.where(u < 1e-3, 1.0, 2 * torch.special.bessel_j1(u) / u.clamp(min=1e-3))
    return total / len(depths_nm) * torch.exp(-2 * math.pi**2 * variance * (kx**2 + ky**2))
