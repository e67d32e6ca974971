"""What the lenses make of a batch of objects: one transfer function a frame, compiled or in tensor operations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import fft

from instruments.aberrations import NAMES, Aperture, overlap, pupil, pupil_on
from instruments.physics import wavelength_nm
from instruments.simulated.blurring import blocks, blur
from instruments.simulated.fourier import Plan, plan, smooth
from instruments.simulated.incoherence import WHOLE, Detail, at_frequencies
from instruments.simulated.lanes import LANES
from instruments.simulated.rays import rays
from instruments.simulated.wavefront import probes_transfer

Reals: TypeAlias = npt.NDArray[np.float32]

_WAVE_PX_NM = 0.05
"""Wave optics for pixels up to this; for larger ones the probe's rays are enough."""
_FAINT = 1e-5
"""What a probe passes less of is left out of images of waves."""
_TAIL_NM, _WINDOW_STEP_NM = 1.2, 0.4
"""A probe is made in a window this much wider than its rays: beyond lies a per cent of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """What B probes have in common: B images differ by their coefficients only."""

    aperture: Aperture
    blur_nm: float
    """Standard deviation of the source's image and the atoms' thermal motion together."""
    depths_nm: tuple[float, ...]
    """Below the entrance face, where the probe has C10 = 0: it is averaged over these."""
    details: tuple[Detail, ...] = (WHOLE,)
    """What each signal's detector leaves of fine detail: one for all, or S."""
    window_nm: float = 0.0
    """The square in which probes are made (waves only)."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A pupil on a device, as the block round it: where that lies among the frequencies changes no intensity.

    Transfer functions have X frequencies along rows (from 0 up, then the last ``below`` under 0) and K along columns,
    from 0 up: those under 0 follow from them.
    """

    window: tuple[int, int]
    """Rows and columns of the grid on which the probe is made, in real space a window just wider than the probe."""
    grid: tuple[int, int]
    """Rows and columns of the grid with the frequencies of the frame: pixels as wide as the window's."""
    amplitude: torch.Tensor
    """(w, h), columns first; signs alternate, which puts the probe into the middle of its window."""
    basis: torch.Tensor
    """(8, w, h) rad per nm of coefficient."""
    below: int
    envelope: torch.Tensor
    """(S or 1, X, K) complex: what blur leaves, and the way back from a window's middle to its corner."""


@lru_cache(maxsize=64)
def _sampled(lens: Lens, device: torch.device) -> _Sampled:
    aperture = lens.aperture
    least, pixel_nm = pupil(aperture).shape, aperture.pixel_nm
    grid = tuple(_fast(n, 2) for n in least)
    steps = tuple(n * pixel_nm / m for n, m in zip(aperture.shape, grid, strict=True))
    rows, columns = (min(m, _fast(lens.window_nm / step, LANES)) for m, step in zip(grid, steps, strict=True))
    row, column, made = pupil_on((rows, columns), (steps[0], steps[1]), aperture.voltage_kV, aperture.convergence_mrad)
    row, column = row - row.min(), column - column.min()
    block = int(column.max()) + 1, LANES * math.ceil((int(row.max()) + 1) / LANES)
    amplitude, basis = np.zeros(block, dtype=np.float32), np.zeros((len(NAMES), *block), dtype=np.float32)
    amplitude[column, row], basis[:, column, row] = made.amplitude * (1 - 2 * ((row + column) % 2)), made.basis
    down, across = (math.floor(_passed_per_nm(lens) * n * pixel_nm) + 1 for n in aperture.shape)
    above = min(least[1] // 2, aperture.shape[1] // 2 + 1, across)
    below, kept = min(above - 1, aperture.shape[1] - above), min(least[0] // 2, aperture.shape[0] // 2 + 1, down)
    columns_k, rows_k = np.concatenate([np.arange(above), np.arange(-below, 0)])[:, None], np.arange(kept)[None, :]
    k = np.hypot(columns_k / (aperture.shape[1] * pixel_nm), rows_k / (aperture.shape[0] * pixel_nm))
    left = np.exp(-2 * math.pi**2 * lens.blur_nm**2 * k**2) * at_frequencies(lens.details, k)
    back = np.exp(2j * math.pi * (columns_k * (columns // 2 / grid[1]) + rows_k * (rows // 2 / grid[0])))
    return _Sampled(
        window=(rows, columns),
        grid=(grid[0], grid[1]),
        amplitude=torch.from_numpy(amplitude).to(device),
        basis=torch.from_numpy(basis).to(device),
        below=below,
        envelope=torch.from_numpy((left * back).astype(np.complex64)).to(device),
    )


def _passed_per_nm(lens: Lens) -> float:
    """The highest spatial frequency of which the sharpest probe passes more than _FAINT: no aberration raises it."""
    aperture = lens.aperture
    s = np.linspace(0.0, 1.0, 2049)
    k = s * 2e-3 * aperture.convergence_mrad / wavelength_nm(aperture.voltage_kV)
    passed = overlap(s)[0] * np.exp(-2 * math.pi**2 * lens.blur_nm**2 * k**2)
    return float(k[passed >= _FAINT][-1])


@lru_cache(maxsize=64)
def _in_blocks(lens: Lens) -> tuple[Reals, Reals, tuple[Plan, Plan], Reals, int, Plan, Plan]:
    """``_sampled`` as compiled code takes it: amplitude to plans."""
    made = _sampled(lens, torch.device("cpu"))
    wide, high = made.amplitude.shape
    amplitude, basis = (
        np.moveaxis(part.numpy().reshape(-1, wide, high // LANES, LANES), 2, 1).copy()
        for part in (made.amplitude, made.basis)
    )
    envelope, kept = made.envelope.numpy(), made.envelope.shape[2]
    padded = np.zeros((2, *envelope.shape[:2], blocks(kept) * LANES), dtype=np.float32)
    padded[0, ..., :kept], padded[1, ..., :kept] = envelope.real, envelope.imag
    windows = plan(made.window[0]), plan(made.window[1])
    return amplitude[0], basis, windows, padded, made.below, plan(made.grid[0]), plan(made.grid[1])


def _fast(least: float, step: int) -> int:
    """A multiple of a step that transforms fast."""
    return step * int(fft.next_fast_len(math.ceil(least / step), real=True))


def probe_reach_nm(coefficients_nm: torch.Tensor, convergence_mrad: float, depth_nm: float = 0.0) -> torch.Tensor:
    """(B,) how far from its middle each of B probes (B, 8) throws a ray, at most ``depth_nm`` below the surface."""
    reach = reach_nm(coefficients_nm.detach().cpu().numpy(), convergence_mrad, depth_nm)
    return torch.from_numpy(reach).to(coefficients_nm.device)


def reach_nm(coefficients_nm: Reals, convergence_mrad: float, depth_nm: float = 0.0) -> Reals:
    """``probe_reach_nm`` of an array: its calls are the shorter ones."""
    alpha = convergence_mrad * 1e-3
    size, pairs = np.abs(coefficients_nm), coefficients_nm[:, 1:7]
    astigmatism, coma, three_fold = np.hypot(pairs[:, 0::2], pairs[:, 1::2]).T
    reach = alpha * (size[:, 0] + depth_nm + astigmatism) + alpha**3 * size[:, 7] + alpha**2 * (coma + three_fold)
    return np.asarray(reach, dtype=np.float32)


def probe_window_nm(reach: Reals, pixel_nm: float) -> Reals:
    """(B,) widths of the squares that hold probes of a reach in nm, in steps, so that few are prepared; 0: rays do."""
    if pixel_nm > _WAVE_PX_NM:
        return np.zeros_like(reach)
    return np.asarray(np.ceil((2 * reach + _TAIL_NM) / _WINDOW_STEP_NM) * _WINDOW_STEP_NM, dtype=np.float32)


def image(
    objects: torch.Tensor,
    coefficients_nm: torch.Tensor,
    aperture: Aperture,
    *,
    blur_nm: float,
    depths_nm: tuple[float, ...],
    details: tuple[Detail, ...] = (WHOLE,),
    window_nm: float | None = None,
    shape: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Incoherent images of B objects (B, S, H, W) by B probes with coefficients (B, 8): (B, S, *shape), same device.

    Of the others see ``Lens``. ``window_nm``: None is as wide as the widest probe needs. ``shape``: of the middle part
    that is returned; None is all of it. Borders wrap: leave a margin.

    On a CPU compiled code does it where neither side of the objects has a prime factor above 5 and widths are even;
    elsewhere tensors do. A test keeps them equal.
    """
    if window_nm is None:
        reach = reach_nm(coefficients_nm.cpu().numpy(), aperture.convergence_mrad, max(depths_nm))
        window_nm = float(probe_window_nm(reach, aperture.pixel_nm).max())
    lens = Lens(aperture=aperture, blur_nm=blur_nm, depths_nm=depths_nm, details=details, window_nm=window_nm)
    return develop(objects, coefficients_nm, lens, shape or aperture.shape)


def develop(objects: torch.Tensor, coefficients_nm: torch.Tensor, lens: Lens, part: tuple[int, int]) -> torch.Tensor:
    """``image`` through a lens with its window: (B, S, *part)."""
    rows, columns = lens.aperture.shape
    if (
        objects.device.type == "cpu"
        and smooth(rows)
        and smooth(columns)
        and columns % 2 == part[1] % 2 == 0
        and rows >= LANES
    ):
        return torch.from_numpy(image_compiled(objects.numpy(), coefficients_nm.numpy(), lens, part))
    return image_tensors(objects, coefficients_nm, lens, part)


def image_compiled(objects: Reals, coefficients_nm: Reals, lens: Lens, shape: tuple[int, int]) -> Reals:
    """``image`` on a CPU."""
    rows, columns = lens.aperture.shape
    if lens.aperture.pixel_nm > _WAVE_PX_NM:
        below, seen = (columns - 1) // 2, _rays(torch.from_numpy(coefficients_nm), lens).numpy()
        real = np.zeros((*seen.shape[:3], blocks(seen.shape[3]) * LANES), dtype=np.float32)
        real[..., : seen.shape[3]] = seen
        imaginary = np.empty((0, *real.shape[1:]), dtype=np.float32)
    else:
        optics = _in_blocks(lens)
        envelope, below = optics[3:5]
        real, imaginary = (np.empty((len(objects), *envelope.shape[1:]), dtype=np.float32) for _ in range(2))
        probes_transfer(coefficients_nm, np.array(lens.depths_nm, dtype=np.float32), *optics, real, imaginary)
    images = np.empty((*objects.shape[:2], *shape), dtype=np.float32)
    top, left = (rows - shape[0]) // 2, (columns - shape[1]) // 2
    blur(objects, real, imaginary, below, plan(rows), plan(columns), top, left, images)
    return images


def image_tensors(
    objects: torch.Tensor, coefficients_nm: torch.Tensor, lens: Lens, shape: tuple[int, int]
) -> torch.Tensor:
    """``image`` on any device."""
    rows, columns = lens.aperture.shape
    half = torch.fft.rfft(objects.mT)
    if lens.aperture.pixel_nm > _WAVE_PX_NM:
        spectrum = torch.fft.fft(half, dim=-2)
        spectrum *= _rays(coefficients_nm, lens)
    else:
        made = _sampled(lens, objects.device)
        passed = _transfer(coefficients_nm, lens.depths_nm, made)
        above, kept = passed.shape[2] - made.below, passed.shape[3]
        spectrum = torch.fft.fft(half[..., :kept], dim=-2)
        spectrum[..., :above, :] *= passed[..., :above, :]
        spectrum[..., above : columns - made.below, :] = 0  # beyond the probe's limit
        spectrum[..., columns - made.below :, :] *= passed[..., above:, :]
    top, left = (rows - shape[0]) // 2, (columns - shape[1]) // 2
    part = torch.fft.ifft(spectrum, dim=-2)[..., left : left + shape[1], :]
    images: torch.Tensor = torch.fft.irfft(part, n=rows)[..., top : top + shape[0]].mT.contiguous()
    return images


def _rays(coefficients_nm: torch.Tensor, lens: Lens) -> torch.Tensor:
    """(B, S or 1, W, H // 2 + 1) transfer functions of rays."""
    passed = rays(coefficients_nm, lens.aperture, lens.blur_nm, lens.depths_nm)[:, None]
    return passed if set(lens.details) == {WHOLE} else passed * _left(lens.details, lens.aperture).to(passed.device)


@lru_cache(maxsize=64)
def _left(details: tuple[Detail, ...], aperture: Aperture) -> torch.Tensor:
    """(S or 1, W, H // 2 + 1) what detectors leave of a frame's frequencies."""
    (rows, columns), pixel_nm = aperture.shape, aperture.pixel_nm
    per_nm = np.hypot(np.fft.fftfreq(columns, pixel_nm)[:, None], np.fft.rfftfreq(rows, pixel_nm)[None, :])
    return torch.from_numpy(at_frequencies(details, per_nm)).float()


def _transfer(coefficients_nm: torch.Tensor, depths_nm: tuple[float, ...], made: _Sampled) -> torch.Tensor:
    """(B, S or 1, X, K) transfer functions of waves."""
    depths = torch.tensor(depths_nm, device=coefficients_nm.device)
    phase = torch.zeros(len(coefficients_nm), len(depths), *made.amplitude.shape, device=depths.device)
    for n, form in enumerate(made.basis):  # one by one: a matrix product rounds one frame otherwise than many
        factor = coefficients_nm[:, n, None] + (depths if n == NAMES.index("C10") else torch.zeros_like(depths))
        phase -= factor[..., None, None] * form
    (rows, columns), below, kept = made.window, made.below, made.envelope.shape[2]
    wave = torch.polar(torch.ones_like(phase), phase) * made.amplitude
    wave = torch.fft.ifft(torch.fft.ifft(wave, n=columns, dim=-2).mT, n=rows, dim=-2)
    probe = torch.view_as_real(wave).square().sum(-1).mean(1) * (rows * columns)
    spectrum = torch.fft.fft(torch.fft.rfft(probe.mT, n=made.grid[0])[..., :kept], n=made.grid[1], dim=-2)
    passed = [spectrum[:, : made.envelope.shape[1] - below], spectrum[:, made.grid[1] - below :]]
    return torch.cat(passed, dim=1)[:, None] * made.envelope
