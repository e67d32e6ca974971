"""What the lenses make of a batch of objects, in tensor operations: one transfer function a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import torch

from instruments.aberrations import NAMES, Aperture, pupil, pupil_on, rows_kept, source_envelope
from instruments.simulated.incoherence import WHOLE, Detail, on_grid
from instruments.simulated.rays import rays

Reals: TypeAlias = npt.NDArray[np.float32]

_WAVE_PX_NM = 0.05
"""Wave optics for pixels up to this; for larger ones the probe's rays are enough."""
_TAIL_NM, _WINDOW_STEP_NM = 1.2, 0.4
"""A probe is made in a window this much wider than its rays: beyond lies a per cent of it."""


@dataclass(frozen=True, slots=True)
class _Lens:
    """A pupil on a device, as the block round it: where that lies among the frequencies changes no intensity.

    Blocks, transfer functions and spectra have columns first and rows last, as they are transformed.
    """

    window: tuple[int, int]
    """The grid on which the probe is made, in real space a window just wider than the probe."""
    shape: tuple[int, int]
    """The grid with the frequencies of the frame: pixels as wide as the window's."""
    block: tuple[int, int]
    """Columns and rows."""
    amplitude: torch.Tensor
    """(nodes, n · m) complex, at each depth; signs alternate, which puts the probe into the middle of its window."""
    basis: torch.Tensor
    """(8, n · m) rad per nm of coefficient, as a wave has it: −χ."""
    low: int
    high: int
    wide: int
    envelope: torch.Tensor
    """(S or 1, wide, low + high) complex: what blur leaves, and the way back from a window's middle to its corner."""


@lru_cache(maxsize=64)
def _lens(
    aperture: Aperture,
    window_nm: float,
    blur_nm: float,
    depths_nm: tuple[float, ...],
    details: tuple[Detail, ...],
    device: torch.device,
) -> _Lens:
    whole = pupil(aperture)
    steps = tuple(n * aperture.pixel_nm / m for n, m in zip(aperture.shape, whole.shape, strict=True))
    rows, columns = (min(m, 16 * math.ceil(window_nm / step / 16)) for m, step in zip(whole.shape, steps, strict=True))
    row, column, lens = pupil_on((rows, columns), (steps[0], steps[1]), aperture.voltage_kV, aperture.convergence_mrad)
    first_row, first_column = int(row.min()), int(column.min())
    block = int(column.max()) - first_column + 1, int(row.max()) - first_row + 1
    flat = (column - first_column) * block[1] + row - first_row
    amplitude = np.zeros((len(depths_nm), block[0] * block[1]), dtype=np.complex64)
    basis = np.zeros((len(NAMES), block[0] * block[1]), dtype=np.float32)
    deeper = np.exp(-1j * np.array(depths_nm)[:, None] * lens.basis[NAMES.index("C10")])
    amplitude[:, flat], basis[:, flat] = lens.amplitude * (1 - 2 * ((row + column) % 2)) * deeper, -lens.basis
    low, high, wide = rows_kept(whole.shape, aperture.shape)
    blur = source_envelope(aperture, blur_nm)[:, :wide] * on_grid(details, aperture).numpy()[..., :wide]
    blur = rows * columns * np.concatenate([blur[:, :low], blur[:, blur.shape[1] - high :]], axis=1)
    down = np.concatenate([np.arange(low), np.arange(-high, 0)]) * (rows // 2 / whole.shape[0])
    across = np.arange(wide) * (columns // 2 / whole.shape[1])
    envelope = blur.swapaxes(1, 2) * np.exp(2j * math.pi * (across[:, None] + down[None, :]))
    return _Lens(
        window=(rows, columns),
        shape=whole.shape,
        block=block,
        amplitude=torch.from_numpy(amplitude).to(device),
        basis=torch.from_numpy(basis).to(device),
        low=low,
        high=high,
        wide=wide,
        envelope=torch.from_numpy(envelope.astype(np.complex64)).to(device),
    )


def probe_reach_nm(coefficients_nm: torch.Tensor, convergence_mrad: float, depth_nm: float = 0.0) -> torch.Tensor:
    """(B,) how far from its middle each of B probes (B, 8) throws a ray, at most ``depth_nm`` below the surface."""
    alpha = convergence_mrad * 1e-3
    size = np.abs(coefficients_nm.detach().cpu().numpy())  # numpy's calls are the shorter ones
    reach = alpha * (size[:, 0] + depth_nm + np.hypot(size[:, 1], size[:, 2])) + alpha**3 * size[:, 7]
    reach += alpha**2 * (np.hypot(size[:, 3], size[:, 4]) + np.hypot(size[:, 5], size[:, 6]))
    return torch.from_numpy(reach).to(coefficients_nm.device)


def probe_window_nm(reach_nm: torch.Tensor, pixel_nm: float) -> torch.Tensor:
    """(B,) widths of the squares that hold probes, rounded up in steps, so that few are prepared; 0 where rays do."""
    if pixel_nm > _WAVE_PX_NM:
        return torch.zeros_like(reach_nm)
    return torch.ceil((2 * reach_nm + _TAIL_NM) / _WINDOW_STEP_NM) * _WINDOW_STEP_NM


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

    ``blur_nm``: standard deviation of the source's image and the atoms' thermal motion together. The probe is averaged
    over ``depths_nm`` below the entrance face, where it has C10 = 0. ``details``: what each signal's detector leaves of
    fine detail, one for all or S. ``window_nm``: the square in which the probes are made; None is as wide as the widest
    needs. ``shape``: of the middle part that is returned; None is all of it. Borders wrap: leave a margin.
    """
    # the two directions one by one: columns beyond the probe's limit and rows beyond ``shape`` are not transformed
    half = torch.fft.rfft(objects)
    if aperture.pixel_nm > _WAVE_PX_NM:
        spectrum = torch.fft.fft(half.mT)
        spectrum *= rays(coefficients_nm, aperture, blur_nm, depths_nm)[:, None]
        if set(details) != {WHOLE}:
            spectrum *= on_grid(details, aperture).to(objects.device).mT
    else:
        if window_nm is None:
            reach_nm = probe_reach_nm(coefficients_nm, aperture.convergence_mrad, max(depths_nm))
            window_nm = float(probe_window_nm(reach_nm, aperture.pixel_nm).max())
        lens = _lens(aperture, window_nm, blur_nm, depths_nm, details, objects.device)
        first, last = _waves(coefficients_nm, lens)
        spectrum = torch.fft.fft(half[..., : lens.wide].mT)
        spectrum[..., : lens.low] *= first
        spectrum[..., lens.low : aperture.shape[0] - lens.high] = 0  # beyond the probe's limit
        spectrum[..., aperture.shape[0] - lens.high :] *= last
    height, width = shape or aperture.shape
    top, left = (aperture.shape[0] - height) // 2, (aperture.shape[1] - width) // 2
    rows = torch.fft.ifft(spectrum)[..., top : top + height].mT
    images: torch.Tensor = torch.fft.irfft(rows, n=aperture.shape[1])[..., left : left + width]
    return images


def _waves(coefficients_nm: torch.Tensor, lens: _Lens) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, S or 1, wide, low) and (…, high): transfer functions at rows of frequency ≥ 0 and < 0, from the probes."""
    batch, nodes = len(coefficients_nm), len(lens.amplitude)
    phase = _phase(coefficients_nm, lens.basis)
    wave = torch.polar(torch.ones(1, device=phase.device).expand_as(phase), phase)[:, None] * lens.amplitude
    wave = wave.view(-1, *lens.block)
    wave = torch.fft.ifft(torch.fft.ifft(wave, n=lens.window[0]).mT, n=lens.window[1])
    probe = _intensity(wave.view(batch, nodes, *lens.window), lens.shape[1])
    spectrum = torch.fft.fft(torch.fft.rfft(probe)[..., : lens.wide].mT, n=lens.shape[0])
    first, last = spectrum[..., : lens.low], spectrum[..., lens.shape[0] - lens.high :]
    if len(lens.envelope) > 1:
        return first[:, None] * lens.envelope[..., : lens.low], last[:, None] * lens.envelope[..., lens.low :]
    first *= lens.envelope[0, :, : lens.low]  # where it lies: one signal's frames are made fastest
    last *= lens.envelope[0, :, lens.low :]
    return first[:, None], last[:, None]


def _phase(coefficients_nm: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """(B, n · m) rad."""
    if basis.device.type != "cpu":
        return coefficients_nm @ basis
    # a CPU's matrix product rounds one frame otherwise than many: it would tell a frame what else is in the batch
    found = torch.zeros(len(coefficients_nm), basis.shape[1])
    _add_phase(coefficients_nm.numpy(), basis.numpy(), found.numpy())
    return found


@numba.njit(cache=True, error_model="numpy")
def _add_phase(coefficients: Reals, basis: Reals, out: Reals) -> None:
    for b in range(len(out)):
        row = out[b]
        for n in range(len(basis)):
            factor, form = coefficients[b, n], basis[n]
            for p in range(row.size):
                row[p] += factor * form[p]


def _intensity(wave: torch.Tensor, width: int) -> torch.Tensor:
    """(B, h, width) mean intensities of waves (B, nodes, h, w), with zeros to their right."""
    batch, nodes, rows, columns = wave.shape
    found = torch.zeros(batch, rows, width, device=wave.device)
    if wave.device.type == "cpu":
        _add_intensity(wave.numpy(), np.float32(1 / nodes), found.numpy())
    else:
        found[..., :columns] = torch.view_as_real(wave).square().sum(-1).mean(1)
    return found


@numba.njit(cache=True, error_model="numpy")
def _add_intensity(wave: npt.NDArray[np.complex64], share: np.float32, out: Reals) -> None:
    for b in range(wave.shape[0]):
        for node in range(wave.shape[1]):
            for r in range(wave.shape[2]):
                row, sums = wave[b, node, r], out[b, r]
                for c in range(row.size):
                    sums[c] += (row[c].real * row[c].real + row[c].imag * row[c].imag) * share
