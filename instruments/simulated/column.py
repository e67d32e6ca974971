"""The probe: how defocus, astigmatism and source size blur the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from instruments.simulated.hashing import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A Gaussian probe from geometric optics, the closed form for pixels of some ångströms and more.

    A ray at angle θ lands at M θ with M = [[C10 + C12a, C12b], [C12b, C10 − C12a]], the gradient of the aberration
    function; a uniform cone of half angle α has variance α²/4 per axis, so the probe's covariance is
    (α/2)² M Mᵀ + s₀² with s₀ the standard deviation of the source's image.
    """

    defocus_nm: float
    stig_a_nm: float
    stig_b_nm: float
    convergence_mrad: float
    source_size_nm: float
    higher_nm: tuple[float, ...] = (0.0,) * 5
    """C21a, C21b, C23a, C23b, C30: what a closed form leaves out and wave optics does not."""

    @property
    def coefficients_nm(self) -> tuple[float, ...]:
        """In the order of ``aberrations.NAMES``."""
        return self.defocus_nm, self.stig_a_nm, self.stig_b_nm, *self.higher_nm

    def covariance_nm2(self) -> tuple[float, float, float]:
        """(xx, yy, xy)."""
        scale = (self.convergence_mrad * 1e-3 / 2) ** 2
        c, a, b = self.defocus_nm, self.stig_a_nm, self.stig_b_nm
        source = self.source_size_nm**2
        return (
            scale * ((c + a) ** 2 + b * b) + source,
            scale * ((c - a) ** 2 + b * b) + source,
            scale * 2 * b * c,
        )

    def reach_nm(self) -> float:
        """Three standard deviations along the widest direction, or more."""
        xx, yy, _ = self.covariance_nm2()
        return 3 * math.sqrt(xx + yy)

    def blur(self, images: list[Floats], pixel_nm: float) -> list[Floats]:
        """Convolve images (H, W) with the probe; borders wrap, so give them a margin of ``reach_nm``.

        The transfer function is exp(−2π² kᵀ Σ k). Two real images share one complex transform: the probe is
        symmetric, so its transfer function is real and keeps them apart.
        """
        height, width = images[0].shape
        xx, yy, xy = self.covariance_nm2()
        kx = np.fft.fftfreq(width, pixel_nm).astype(np.float32)[None, :]
        ky = np.fft.fftfreq(height, pixel_nm).astype(np.float32)[:, None]
        exponent = np.float32(-2 * math.pi**2 * xx) * kx**2 + np.float32(-2 * math.pi**2 * yy) * ky**2
        exponent += (np.float32(-4 * math.pi**2 * xy) * kx) * ky
        transfer = np.exp(exponent, out=exponent)
        blurred: list[Floats] = []
        for n in range(0, len(images), 2):
            pair = images[n : n + 2]
            packed = np.zeros((height, width), dtype=np.complex64)
            packed.real = pair[0]
            if len(pair) == 2:
                packed.imag = pair[1]
            packed = fft.fft2(packed, overwrite_x=True)
            packed *= transfer
            packed = fft.ifft2(packed, overwrite_x=True)
            blurred.extend([packed.real, packed.imag][: len(pair)])
        return blurred
