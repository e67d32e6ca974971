"""Transfer functions of a probe for pixels too large for its waves to show: a cone of rays, and where it is cut."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import torch
from scipy.special import j1

from instruments.aberrations import Aperture, overlap
from instruments.physics import wavelength_nm

Reals: TypeAlias = npt.NDArray[np.float32]

_ASTIGMATIC = slice(1, 3)
_FAR = 64.0
"""Of the square of u: up to this a polynomial gives 2 J₁(u) / u to 4 · 10⁻⁷."""
_DISC = np.polynomial.Chebyshev.interpolate(lambda t: 2 * j1(np.sqrt((t + 1) * 32)) / np.sqrt((t + 1) * 32), 11)
_NEAR = np.polynomial.chebyshev.cheb2poly(_DISC.coef)[::-1].astype(np.float32)
"""From the highest power down, in u² scaled to −1 … 1."""


def rays(
    coefficients_nm: torch.Tensor, aperture: Aperture, blur_nm: float, depths_nm: tuple[float, ...]
) -> torch.Tensor:
    """(B, W, H // 2 + 1) transfer functions of a defocused cone, T(s) · 2 J₁(u) / u.

    A ray at angle θ lands at M θ with M = [[C10 + C12a, C12b], [C12b, C10 − C12a]]. The rays that count are those
    common to two apertures λk apart, s = λk / 2α, taken for an ellipse of the same area and variances: T is the area,
    u² = 16π² α² (V∥ (M k)∥² + V⊥ (M k)⊥²), see ``aberrations.overlap``. C30 moves the focus by ⅔ C30 α², where it
    blurs least; of what it then leaves, and of the other coefficients, only the mean blur counts at such pixels (the
    variance of the ray positions that they add).
    """
    device = coefficients_nm.device
    alpha = aperture.convergence_mrad * 1e-3
    ky = torch.fft.rfftfreq(aperture.shape[0], aperture.pixel_nm, device=device)
    kx = torch.fft.fftfreq(aperture.shape[1], aperture.pixel_nm, device=device)
    squares = coefficients_nm.square()
    coefficients_nm = coefficients_nm.clone()
    coefficients_nm[:, 0] += coefficients_nm[:, 7] * (2 / 3 * alpha**2)
    others = (squares[:, 3:5].sum(1) / 27 + squares[:, 5:7].sum(1) / 6) * alpha**4 + squares[:, 7] * alpha**6 / 72
    variance = (others + blur_nm**2)[:, None]
    share, form = _overlap(aperture, device)
    across, down = (torch.exp(-2 * math.pi**2 * variance * k**2) for k in (kx, ky))
    blurred = across[:, :, None] * down[:, None, :] * (share / len(depths_nm))
    if device.type == "cpu":
        axes = (2 * math.pi * alpha * kx).numpy(), (2 * math.pi * alpha * ky).numpy()
        depths = np.array(depths_nm, dtype=np.float32)
        spread_compiled(coefficients_nm.numpy(), depths, *axes, form.numpy(), blurred.numpy())
    else:
        turns = 2 * math.pi * alpha * kx, 2 * math.pi * alpha * ky
        spread_tensors(coefficients_nm, depths_nm, *turns, form, blurred)
    return blurred


@lru_cache(maxsize=64)
def _overlap(aperture: Aperture, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(X, Y) common area of two apertures λk apart; (3, X, Y) xx, xy, yy of the form that makes u² of 2π α M k."""
    ky = np.fft.rfftfreq(aperture.shape[0], aperture.pixel_nm)[None, :]
    kx = np.fft.fftfreq(aperture.shape[1], aperture.pixel_nm)[:, None]
    k = np.hypot(kx, ky)
    cut = 2e-3 * aperture.convergence_mrad / wavelength_nm(aperture.voltage_kV)
    share, along, across = overlap(np.minimum(k / cut, 1.0))
    x, y = (part / np.maximum(k, 1e-12) for part in (kx, ky))
    form = 4 * np.stack([along * x * x + across * y * y, (along - across) * x * y, along * y * y + across * x * x])
    form[:, 0, 0] = 1.0, 0.0, 1.0  # at k = 0, where there is no direction
    return torch.from_numpy(share).float().to(device), torch.from_numpy(form).float().to(device)


def spread_tensors(
    coefficients_nm: torch.Tensor,
    depths_nm: tuple[float, ...],
    xs: torch.Tensor,
    ys: torch.Tensor,
    form: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Multiply ``out`` (B, X, Y) by Σ 2 J₁(u) / u over depths; ``xs``, ``ys`` are 2π α k, ``form`` (3, X, Y)."""
    a, b = coefficients_nm[:, _ASTIGMATIC].T[:, :, None, None]
    x, y, total = xs[:, None], ys[None, :], torch.zeros_like(out)
    for depth in depths_nm:
        c = coefficients_nm[:, :1, None] + depth
        p, q = (c + a) * x + b * y, b * x + (c - a) * y
        u = (form[0] * p * p + 2 * form[1] * p * q + form[2] * q * q).clamp(min=0).sqrt()
        total += torch.where(u < 1e-3, 1.0, 2 * torch.special.bessel_j1(u) / u.clamp(min=1e-3))
    out *= total


@numba.njit(cache=True, error_model="numpy")
def spread_compiled(coefficients: Reals, depths: Reals, xs: Reals, ys: Reals, form: Reals, out: Reals) -> None:
    """The compiled twin of ``spread_tensors``."""
    total = np.empty(len(ys), dtype=np.float32)
    for n in range(len(out)):
        a, b = coefficients[n, 1], coefficients[n, 2]
        for i in range(len(xs)):
            total[:] = 0
            xx, xy, yy = form[0, i], form[1, i], form[2, i]
            for depth in depths:
                c = coefficients[n, 0] + depth
                px, py, qx, qy = (c + a) * xs[i], b, b * xs[i], c - a
                far = np.int32(0)
                for j in range(len(ys)):  # without a branch: on 16 numbers at once
                    p, q = px + py * ys[j], qx + qy * ys[j]
                    square = xx[j] * p * p + 2 * xy[j] * p * q + yy[j] * q * q
                    total[j] += _near_disc(square if square < np.float32(_FAR) else np.float32(_FAR))
                    far += np.int32(square >= np.float32(_FAR))
                for j in range(len(ys) if far else 0):
                    p, q = px + py * ys[j], qx + qy * ys[j]
                    square = xx[j] * p * p + 2 * xy[j] * p * q + yy[j] * q * q
                    if square >= np.float32(_FAR):
                        total[j] += np.float32(_far_disc(math.sqrt(square))) - _near_disc(np.float32(_FAR))
            row = out[n, i]
            for j in range(len(ys)):
                row[j] *= total[j]


@numba.njit(inline="always")
def _near_disc(square: np.float32) -> np.float32:
    """2 J₁(u) / u of u² up to _FAR."""
    t = square * np.float32(2 / _FAR) - np.float32(1)
    value = np.float32(0)
    for coefficient in _NEAR:
        value = value * t + coefficient
    return value


@numba.njit(inline="always")
def _far_disc(u: float) -> float:
    """2 J₁(u) / u beyond (Hart et al., Computer Approximations, 1968)."""
    y = _FAR / (u * u)
    even = 1 + y * (0.183105e-2 + y * (-0.3516396496e-4 + y * (0.2457520174e-5 - y * 0.240337019e-6)))
    odd = 0.04687499995 + y * (-0.2002690873e-3 + y * (0.8449199096e-5 + y * (-0.88228987e-6 + y * 0.105787412e-6)))
    turn = u - 0.75 * math.pi
    return 2 / u * math.sqrt(2 / (math.pi * u)) * (math.cos(turn) * even - math.sqrt(y) * math.sin(turn) * odd)
