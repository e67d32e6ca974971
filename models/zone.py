"""How far a zone axis leans from the beam, from one diffraction pattern of separate discs.

A reflection at the angle θ shines as its excitation error s = (θ · τ − θ²/2) / λ is small against 1 / thickness: on a
circle through the beam about the tilt τ (Laue's; Williams & Carter, Transmission Electron Microscopy, 2nd ed. 2009,
section 18.7). The tilt, and the thickness with it, is what makes exp(−(s t)²) most like the pattern.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = npt.NDArray[np.float64]

_STEP_MRAD = 8.0
_THICKNESSES_NM = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_RING_PX = 2.0
LEAST_LIKENESS = 0.2
"""Correlation below which a pattern says nothing of the tilt."""


@dataclass(frozen=True, slots=True)
class Lean:
    """Of a zone axis."""

    tilt_mrad: tuple[float, float]
    """Along columns (kx) and along rows (ky): where the Laue circle has its centre."""
    likeness: float
    """Correlation of the pattern with its model, 0 to 1."""

    @property
    def settled(self) -> bool:
        """Whether to act on it."""
        return self.likeness >= LEAST_LIKENESS

    @property
    def size_deg(self) -> float:
        return math.degrees(math.hypot(*self.tilt_mrad) * 1e-3)


def lean(
    pattern: npt.ArrayLike,
    scale_mrad_per_px: tuple[float, float],
    centre_px: tuple[float, float],
    *,
    convergence_mrad: float,
    wavelength_nm: float,
    widest_mrad: float = 110.0,
) -> Lean:
    """Estimate it from counts (Ky, Kx); scale and centre are (row, column).

    Raises ValueError where the pattern is no image of finite numbers, or holds nothing beside the beam's disc.
    """
    counts = np.asarray(pattern, dtype=np.float64)
    if counts.ndim != 2 or min(counts.shape) < 8 or not np.isfinite(counts).all():
        raise ValueError(f"a pattern of shape {counts.shape} was given; it must be an image of finite numbers")
    ky, kx = (
        (np.arange(n) - c) * scale for n, c, scale in zip(counts.shape, centre_px, scale_mrad_per_px, strict=True)
    )
    angle = np.hypot(ky[:, None], kx[None, :])
    reach = min(
        min(c, n - 1 - c) * scale for n, c, scale in zip(counts.shape, centre_px, scale_mrad_per_px, strict=True)
    )
    beside = (angle > 1.5 * convergence_mrad + max(scale_mrad_per_px)) & (angle < 0.97 * reach)
    if not beside.any():
        raise ValueError(
            f"the beam's middle, given at {centre_px} px, leaves no ring on the pattern: calibrate the camera"
        )
    if not counts[beside].any():
        raise ValueError("the pattern holds nothing beside the beam's disc: expose longer")
    shine = _over_background(counts, angle, max(scale_mrad_per_px))[beside]
    x, y = (np.broadcast_to(k, counts.shape)[beside] for k in (kx[None, :], ky[:, None]))

    def likeness(tilt: Array, thickness_nm: float) -> float:
        s_per_nm = (x * tilt[0] + y * tilt[1] - (x * x + y * y) / 2) * (1e-6 / wavelength_nm)
        model = np.exp(-((s_per_nm * thickness_nm) ** 2))
        spread = float(model.std() * shine.std() * len(shine))
        return float(((model - model.mean()) * (shine - shine.mean())).sum()) / spread if spread > 0 else 0.0

    steps = np.arange(-widest_mrad, widest_mrad + 1, _STEP_MRAD)
    starts = [(np.array([a, b]), t) for a in steps for b in steps for t in _THICKNESSES_NM]
    found = sorted(((likeness(*start), n) for n, start in enumerate(starts)), reverse=True)[:4]
    best = max((_climbed(likeness, *starts[n]) for _, n in found), key=lambda each: each[0])
    return Lean((float(best[1][0]), float(best[1][1])), best[0])


def _climbed(likeness: Callable[[Array, float], float], tilt: Array, thickness_nm: float) -> tuple[float, Array]:
    """From a starting point to the nearest maximum (Nelder & Mead, Comput. J. 7 (1965) 308)."""

    def cost(free: Array) -> float:
        return -likeness(free[:2], math.exp(free[2]))

    start = np.array([*tilt, math.log(thickness_nm)])
    simplex = start + np.vstack([np.zeros(3), np.diag([_STEP_MRAD, _STEP_MRAD, 0.5])])
    end = optimize.minimize(cost, start, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 0.02})
    return -float(end.fun), np.asarray(end.x[:2])


def _over_background(counts: Array, angle: Array, ring_mrad: float) -> Array:
    """Logarithm of the counts over the median of their ring, 0 where below: diffuse scattering leaves rings even."""
    ring = np.rint(angle / (_RING_PX * ring_mrad)).astype(np.int64)
    median = ndimage.median(counts, ring, np.arange(ring.max() + 1))
    noise = np.sqrt(median + 1)
    return np.asarray(np.log1p(np.maximum(counts - median[ring], 0) / noise[ring]))
