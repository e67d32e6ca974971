"""How likely aberrations are, given several images of one unknown object: phase diversity for incoherent images.

The object is fitted at each frequency and drops out (Gonsalves, Opt. Eng. 21 (1982) 829; Paxman, Schulz & Fienup,
JOSA A 9 (1992) 1072, eq. 18): with d_k = D_k/σ_k and h_k = H_k/σ_k what is left is
Σ_j w_j (Σ_k |d_kj|² − |Σ_k h_kj* d_kj|² / Σ_k |h_kj|²).

The weights are snr/(1 + snr) of the images' own spectra. They do not depend on the aberrations, so the score stays
without bias; a frequency of score information I has score variance I (1 + 1/snr), because the fitted object carries
noise, and these weights are those of least variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.signal import windows

from models.focus_optics import Array, Complex, Frequencies, Probe, Slopes

GAIN_DRIFT = 0.05
"""Standard deviation of the logarithm of an image's gain relative to the first: beam current that wanders."""

DRIFT_px = 8.0
"""Standard deviation expected of the drift between images where nothing is said of it."""


SEEN = 2.5
"""Standard deviations of noise by which a ring of frequencies must exceed it to count."""

PEAK = 4.5
"""Standard deviations by which a crystal's peak must exceed its ring."""


@dataclass(frozen=True, slots=True)
class Data:
    """K images as the likelihood sees them."""

    spectra: Complex
    """(K, J) windowed, divided by the noise's standard deviation."""
    recorded: Complex
    """(K, J) the same before any correction."""
    cover: Array
    """(H, W) the window."""
    sigma: Array
    """(K,) that standard deviation, over the images' gains: a transfer function is divided by it."""
    weight: Array
    """(J,) snr / (1 + snr), times how many frequencies each stands for."""
    trust: Array
    """(J,) snr / (1 + snr)."""
    overlap: float
    """How many times the window counts each pixel's information: N Σw⁴ / (Σw²)², 1 without a window."""


@dataclass(frozen=True, slots=True)
class Step:
    """The likelihood about one point: half the gradient of chi2 and its Gauss–Newton matrix.

    Parameters are the free coefficients, then (log gain, row shift, column shift) of each image after the first.
    """

    slope: Array
    matrix: Array


def seen(data: Data, at: Frequencies) -> tuple[Data, Frequencies]:
    """Without the frequencies that count nothing."""
    some = data.weight > 0
    if not some.any():
        return data, at
    left = replace(
        data,
        spectra=data.spectra[:, some],
        recorded=data.recorded[:, some],
        weight=data.weight[some],
        trust=data.trust[some],
    )
    return left, Frequencies(
        *(getattr(at, name)[some] for name in ("row", "column", "twice", "ky_per_nm", "kx_per_nm"))
    )


def window(shape: tuple[int, int], taper: float, margin_px: int = 0) -> Array:
    """(H, W) Tukey window: ``taper`` 0 is none, 1 is Hann's; nothing is left of a margin of ``margin_px``."""
    rows, columns = (windows.tukey(n - 2 * margin_px, taper) for n in shape)
    return np.pad(np.asarray(np.outer(rows, columns), dtype=np.float64), margin_px)


def prepare(images: Array, at: Frequencies, taper: float, margin_px: int = 0) -> Data:
    """Spectra of ``images`` (K, H, W) in counted electrons, of Poisson noise, at J frequencies."""
    cover = window((images.shape[1], images.shape[2]), taper, margin_px)
    total = float(cover.sum())
    means = (images * cover).sum((1, 2)) / total
    variance = (images * cover**2).sum((1, 2))
    full = fft.rfft2((images - means[:, None, None]) * cover)
    picked = full[:, at.row, at.column] / np.sqrt(variance)[:, None]
    excess = (np.abs(full) ** 2 / variance[:, None, None]).sum(0) - len(images)
    overlap = float(cover.size * (cover**4).sum() / (cover**2).sum() ** 2)
    snr = _signal(excess, len(images), overlap)[at.row, at.column]
    trust = snr / (1 + snr)
    return Data(
        spectra=picked,
        recorded=picked,
        cover=cover,
        sigma=np.sqrt(variance) / means,
        weight=trust * at.twice,
        trust=trust,
        overlap=overlap,
    )


def edges_undone(
    data: Data, whole: Data, probe: Probe, everywhere: Probe, coefficients_nm: Array, gains: Array, shifts_px: Array
) -> Data:
    """``data`` without what its window did before the blur instead of after it.

    The likelihood takes the image to be (window · object) ⊗ probe, where it is window · (object ⊗ probe). The
    difference is worked out for the object and the aberrations found so far. ``whole`` is the same images
    under a window that leaves nearly all of the frame, at the frequencies of ``everywhere``, the lowest among them.
    """
    shape, at = probe.aperture.shape, everywhere.at
    factor = phases(at, shifts_px, probe.aperture.pixel_nm) * np.exp(gains)[:, None]
    blur = everywhere.transfer(coefficients_nm) * factor
    h = blur / whole.sigma[:, None]
    norm = np.maximum((np.abs(h) ** 2).sum(0), 1e-6 * float(np.max(1 / whole.sigma**2)))
    thing = whole.trust * (h.conj() * whole.spectra).sum(0) / norm
    full = np.zeros((len(blur) + 1, shape[0], shape[1] // 2 + 1), dtype=np.complex128)
    full[:-1, at.row, at.column] = blur * thing
    full[-1, at.row, at.column] = thing
    # Column 0 holds each pair of conjugates twice.
    rows = at.row[at.column == 0]
    full[:, -rows, 0] = full[:, rows, 0].conj()
    faded = fft.rfft2(fft.irfft2(full, s=shape) * data.cover)[:, probe.at.row, probe.at.column]
    here = probe.transfer(coefficients_nm) * phases(probe.at, shifts_px, probe.aperture.pixel_nm)
    change = (faded[:-1] - faded[-1] * here * np.exp(gains)[:, None]) / data.sigma[:, None]
    return replace(data, spectra=data.recorded - change)


def _signal(excess: Array, count: int, overlap: float) -> Array:
    """(H, W // 2 + 1) power of the object over the noise's, from the images' power less the noise's.

    The mean of the ring it lies on, and more where a crystal's peak stands out of it. Following every fluctuation
    instead would give weight to where the noise happens to be high.
    """
    rows, columns = excess.shape[0], 2 * (excess.shape[1] - 1)
    ky, kx = np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]
    ring = np.rint(np.hypot(ky, kx) * max(rows, columns)).astype(np.int64)
    cells = np.bincount(ring.ravel())
    means = np.bincount(ring.ravel(), excess.ravel()) / cells
    means[means < SEEN * np.sqrt(count * overlap / cells)] = 0.0
    diffuse = means[ring]
    # A window spreads each frequency over its neighbours: averaging over them loses no resolution.
    local = ndimage.uniform_filter(excess, 3, mode=("wrap", "reflect"))
    spread = np.sqrt((count + diffuse**2 + 2 * diffuse) * overlap / 9)
    return np.asarray(np.where(local > diffuse + PEAK * spread, local, diffuse))


def phases(at: Frequencies, shifts_px: Array, pixel_nm: float) -> Complex:
    """(K, J) factors of a drift (K, 2) in rows and columns of pixels."""
    turns = shifts_px @ np.stack([at.ky_per_nm, at.kx_per_nm]) * pixel_nm
    return np.asarray(np.exp(-2j * math.pi * turns))


def register(data: Data, transfers: Complex, probe: Probe, drift_px: float = DRIFT_px) -> tuple[Array, float]:
    """Whole-pixel drift (K, 2) that suits K transfer functions (K, J) best, and chi2 with what it adds.

    Images are weighted as the likelihood weights them: one after the other is correlated with the sum of those before
    it, then each once more with the sum of all others. A crystal looks the same from one lattice vector to the next
    but for its defects: with them, what is expected of the drift tells which one it is.
    """
    at, shape, pixel_nm = probe.at, probe.aperture.shape, probe.aperture.pixel_nm
    h = transfers / data.sigma[:, None]
    seen = h.conj() * data.spectra
    share = data.weight / np.maximum((np.abs(h) ** 2).sum(0), 1e-12 * float(np.max(1 / data.sigma**2)))
    together, shifts = seen[0], np.zeros((len(h), 2))
    small = _grid(at)
    fine = np.zeros((small[0], small[1] // 2 + 1), dtype=np.complex128)
    places = [fft.fftfreq(n, 1 / side) for n, side in zip(small, shape, strict=True)]
    unlikely = data.overlap * (places[0][:, None] ** 2 + places[1] ** 2) / drift_px**2
    moved = seen.copy()
    for again in (False, True):
        for k in range(1, len(h)):
            if again:
                together = together - moved[k]
            fine[at.row % small[0], at.column] = share * seen[k] * together.conj()
            gain = fft.irfft2(fine, s=small) * unlikely.size - unlikely
            row, column = np.unravel_index(int(np.argmax(gain)), small)
            shifts[k] = places[0][row], places[1][column]
            moved[k] = seen[k] * phases(at, -shifts[k : k + 1], pixel_nm)[0]
            together = together + moved[k]
    whole = float((data.weight * (np.abs(data.spectra) ** 2).sum(0)).sum())
    added = data.overlap * float((shifts**2).sum()) / drift_px**2
    return shifts, whole - float((share * np.abs(together) ** 2).sum()) + added


def _grid(at: Frequencies) -> tuple[int, int]:
    rows = int(fft.next_fast_len(2 * int(np.abs(at.row).max()) + 2))
    return rows, 2 * int(fft.next_fast_len(int(at.column.max()) + 1))


def chi2(data: Data, at: Frequencies, pixel_nm: float, value: Complex, gains: Array, shifts_px: Array) -> float:
    """What transfer functions (K, J), log gains (K,) and drifts (K, 2) leave unexplained."""
    h = value * phases(at, shifts_px, pixel_nm) * (np.exp(gains) / data.sigma)[:, None]
    rest = data.spectra - h * _thing(data, h)[0]
    return float((data.weight * (np.abs(rest) ** 2).sum(0)).sum())


def step(
    data: Data, at: Frequencies, pixel_nm: float, value: Complex, slopes: Slopes, gains: Array, shifts_px: Array
) -> Step:
    """The likelihood at transfer functions (K, J) of slopes (F, K, J), log gains (K,) and drifts (K, 2).

    Worked out in the slopes' precision: the single one is enough for the direction of a step, at half the cost.
    The matrix is that of separable least squares (Kaufman, BIT 15 (1975) 49): derivatives of the model, less their part
    along the model itself, which the object takes up.
    """
    count, precision = len(data.spectra), slopes.dtype
    factor = phases(at, shifts_px, pixel_nm) * (np.exp(gains) / data.sigma)[:, None]
    h = value * factor
    thing, norm = _thing(data, h)
    made = h * thing
    pull = (data.weight * (data.spectra - made)).astype(precision)
    turns = -2j * math.pi * pixel_nm * np.stack([at.ky_per_nm, at.kx_per_nm])
    # (F, K, J) and (3, K, J): what the image would change by; the latter each in its own image only.
    theirs = slopes * (factor * thing).astype(precision)
    own = np.stack([made, turns[0] * made, turns[1] * made])[:, 1:].astype(precision)
    aside = (h.conj() / np.sqrt(norm)).astype(precision)
    along = np.concatenate([(aside * theirs).sum(1), (aside[1:] * own).transpose(1, 0, 2).reshape(-1, len(at.row))])
    weight = data.weight.astype(pull.real.dtype)
    slope = np.concatenate(
        [
            -_products(theirs.reshape(len(theirs), -1), pull.reshape(1, -1))[:, 0],
            -np.concatenate([_products(own[:, k], pull[None, k + 1])[:, 0] for k in range(count - 1)] or [np.zeros(0)]),
        ]
    )
    return Step(slope=slope, matrix=_normal(theirs, own, along, weight, count))


def _thing(data: Data, h: Complex) -> tuple[Complex, Array]:
    """(J,) the object's spectrum that suits transfer functions over noise (K, J) best, and their power (J,)."""
    norm = np.maximum((np.abs(h) ** 2).sum(0), 1e-12 * float(np.max(1 / data.sigma**2)))
    return (h.conj() * data.spectra).sum(0) / norm, norm


def _normal(theirs: Slopes, own: Slopes, along: Slopes, weight: npt.NDArray[np.floating[Any]], count: int) -> Array:
    f = len(theirs)
    matrix = -_products(along * weight, along)
    flat = theirs.reshape(f, -1)
    matrix[:f, :f] += _products((theirs * weight).reshape(f, -1), flat)
    for k in range(count - 1):
        block = slice(f + 3 * k, f + 3 * k + 3)
        mine = own[:, k] * weight
        matrix[block, block] += _products(mine, own[:, k])
        cross = _products(theirs[:, k + 1], mine)
        matrix[:f, block] += cross
        matrix[block, :f] += cross.T
    return matrix


def _products(left: Slopes, right: Slopes) -> Array:
    """Real parts of the inner products of complex rows, as a product of real matrices."""
    rows, columns = (np.ascontiguousarray(each) for each in (left, right))
    if rows.dtype == np.complex64:
        return np.asarray(rows.view(np.float32) @ columns.view(np.float32).T, np.float64)
    return np.asarray(rows.view(np.float64) @ columns.view(np.float64).T)
