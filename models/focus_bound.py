"""The least error that any unbiased estimate of a probe's aberrations can have: the Cramér–Rao bound.

Counts of mean I_i with Poisson's noise carry the information J = Σ_i (∂I_i/∂θ)(∂I_i/∂θ)ᵀ / I_i (Kay, Fundamentals of
Statistical Signal Processing (1993), section 3.7); no unbiased estimate has a covariance below J⁻¹. The object, the
drift and the brightness are taken as known, so an estimator that must find them from the same counts stays above it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from instruments.aberrations import NAMES, Aperture, pupil
from instruments.physics import wavelength_nm
from models.focus_optics import Array, Frequencies, Probe, is_wide

LEAST_COUNT = 1e-9
"""Pixels that are expected to count less than this say nothing."""
LEAST_SHARE = 1e-12
"""Directions whose information is below this part of the largest are not determined."""


def information_per_nm2(expected: npt.ArrayLike, slopes_per_nm: npt.ArrayLike) -> Array:
    """(F, F) information on F coefficients in images of expected counts (K, H, W) with slopes (F, K, H, W).

    Raises ValueError where they do not fit each other or are not finite.
    """
    means, slopes = np.asarray(expected, dtype=np.float64), np.asarray(slopes_per_nm, dtype=np.float64)
    if slopes.shape[1:] != means.shape or not len(slopes):
        raise ValueError(f"slopes {slopes.shape} do not fit images {means.shape}: give (F, K, H, W) and (K, H, W)")
    if not (np.isfinite(means).all() and np.isfinite(slopes).all()):
        raise ValueError("expected counts or slopes hold values that are not finite: leave these images out")
    seen = means > LEAST_COUNT
    scaled = slopes[:, seen] / np.sqrt(means[seen])
    return np.asarray(scaled @ scaled.T)


def std_nm(information: npt.ArrayLike) -> Array:
    """(F,) least standard deviations by information (F, F) per nm²; infinite for what is not determined."""
    matrix = np.asarray(information, dtype=np.float64)
    scale = np.sqrt(np.diag(matrix))
    if not scale.all():
        known = scale > 0
        found = np.full(len(matrix), np.inf)
        if known.any():
            found[known] = std_nm(matrix[np.ix_(known, known)])
        return found
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    lost = values < LEAST_SHARE * values[-1]
    variance = (vectors[:, ~lost] ** 2 / values[~lost]).sum(1)
    variance[(vectors[:, lost] ** 2).sum(1) > LEAST_SHARE] = np.inf
    return np.asarray(np.sqrt(variance) / scale)


def expected_counts(
    thing: npt.ArrayLike,
    electrons: npt.ArrayLike,
    coefficients_nm: npt.ArrayLike,
    free: tuple[int, ...],
    aperture: Aperture,
    *,
    source_size_nm: float = 0.0,
    depths_nm: tuple[float, ...] = (0.0,),
    margin_px: int = 0,
) -> tuple[Array, Array]:
    """Expected counts (K, h, w) of a known object and their slopes (F, K, h, w) per nm of the ``free`` coefficients.

    ``thing``: (H, W) share of the electrons that each pixel's matter sends to the detector; its borders wrap, so leave
    a margin, which is cut off. ``electrons``: (K,) sent on each pixel of images taken under ``coefficients_nm`` (K, 8).
    Raises ValueError where these do not fit each other or are not finite, and as ``pupil`` does.
    """
    share, sent = np.asarray(thing, dtype=np.float64), np.asarray(electrons, dtype=np.float64)
    coefficients = np.asarray(coefficients_nm, dtype=np.float64)
    if share.shape != aperture.shape or coefficients.shape != (len(sent), len(NAMES)):
        raise ValueError(
            f"an object {share.shape}, {sent.shape} electrons and coefficients {coefficients.shape} do not fit frames "
            f"of {aperture.shape}: give (H, W), (K,) and (K, {len(NAMES)})"
        )
    if not (np.isfinite(share).all() and np.isfinite(sent).all() and np.isfinite(coefficients).all()):
        raise ValueError("the object, electrons or coefficients hold values that are not finite: leave them out")
    at = _all_frequencies(aperture)
    value, slopes = Probe(aperture, at, source_size_nm, depths_nm).slopes(coefficients, free)
    spectrum = fft.rfft2(share)
    keep = slice(margin_px, share.shape[0] - margin_px), slice(margin_px, share.shape[1] - margin_px)

    def imaged(factors: npt.NDArray[np.complex128], mean: float) -> Array:
        full = np.zeros((*factors.shape[:-1], share.shape[0], share.shape[1] // 2 + 1), dtype=np.complex128)
        full[..., at.row, at.column] = factors * spectrum[at.row, at.column]
        full[..., 0, 0] = mean
        images = fft.irfft2(full, s=share.shape) * sent[:, None, None]
        return np.asarray(images[(..., *keep)])

    return np.maximum(imaged(value, float(spectrum[0, 0].real)), 0.0), imaged(slopes, 0.0)


def _all_frequencies(aperture: Aperture) -> Frequencies:
    """Every frequency but 0 of the half spectrum that the aperture passes."""
    rows, columns = aperture.shape
    cutoff_per_nm = 2 * aperture.convergence_mrad * 1e-3 / wavelength_nm(aperture.voltage_kV)
    row, column = (
        part.ravel()
        for part in np.meshgrid(
            np.fft.fftfreq(rows, 1 / rows).round().astype(np.int64), np.arange(columns // 2 + 1), indexing="ij"
        )
    )
    ky, kx = row / (rows * aperture.pixel_nm), column / (columns * aperture.pixel_nm)
    keep = (np.hypot(ky, kx) < cutoff_per_nm) & ((row != 0) | (column != 0))
    if not is_wide(aperture):
        high, wide = pupil(aperture).shape
        keep &= (np.abs(row) < high // 2) & (column < wide // 2)
    return Frequencies(row[keep], column[keep], np.full(int(keep.sum()), 2.0), ky[keep], kx[keep])
