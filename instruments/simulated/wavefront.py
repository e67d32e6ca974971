"""Transfer functions of aberrated probes, compiled: from coefficients over the lens to the probe to its spectrum."""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated.blurring import LANES, half_spectrum
from instruments.simulated.fourier import transform

_TWO_OVER_PI = np.float32(2 / math.pi)
_QUARTER = tuple(np.float32(part) for part in (1.5703125, 4.837512969970703e-4, 7.54978995489188e-8))
"""π/2 in three parts, of which the first times a whole number is exact (Cody & Waite, 1980)."""
_SINE = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COSINE = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
"""Within π/4 of 0, highest power of x² first (Moshier, Cephes, sinf)."""


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def probes_transfer(
    coefficients, depths, amplitude, basis, window, envelope, below, down, across, real, imaginary
):  # fmt: skip
    """Fill ``real``, ``imaginary`` (B, S, X, K), ordered as ``blurring.blur`` takes them.

    ``coefficients`` (B, 8) nm; ``depths`` (N,) nm below the entrance face, over which the probe is averaged;
    ``amplitude`` (w, h) and ``basis`` (8, w, h) rad per nm of the block round the pupil, columns first; ``window``:
    plans of the rows and columns that the probe is made in; ``down``, ``across``: of the grid with the frame's
    frequencies; ``envelope`` (S, X, K) complex.
    """
    rows, columns = window[0][1].shape[1], window[1][1].shape[1]
    grid_rows, grid_columns = down[1].shape[1], across[1].shape[1]
    passed, kept = envelope.shape[1:]
    wide = -(-kept // LANES) * LANES
    size = max(rows * columns, columns * amplitude.shape[1], grid_rows * (columns // 2), grid_columns * wide)
    ar, ai = np.empty(size, np.float32), np.empty(size, np.float32)
    br, bi = np.empty(size, np.float32), np.empty(size, np.float32)
    probe = np.empty((rows, columns), np.float32)
    phase = np.empty(amplitude.size, np.float32)
    factor = np.float32(0.5 / (len(depths) * rows * columns))
    for b in range(len(coefficients)):
        probe[:] = 0
        for depth in depths:
            _lens(coefficients[b], depth, amplitude, basis, phase, ar, ai)
            _add_probe(amplitude.shape, rows, columns, window, ar, ai, br, bi, probe)
        xr, xi, _, _ = half_spectrum(probe, factor, down, across, kept, ar, ai, br, bi)
        for s in range(len(envelope)):
            for n in range(passed):
                k = n if n < passed - below else grid_columns - passed + n
                hr, hi, left = real[b, s, n], imaginary[b, s, n], envelope[s, n]
                fr, fi = xr[k * wide : (k + 1) * wide], xi[k * wide : (k + 1) * wide]
                for q in range(kept):
                    hr[q] = fr[q] * left[q].real - fi[q] * left[q].imag
                    hi[q] = fr[q] * left[q].imag + fi[q] * left[q].real


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _lens(coefficients, depth, amplitude, basis, phase, ar, ai):
    """The wave at the lens, exp(−iχ), at the beginning of ``ar``, ``ai``."""
    phase[:] = 0
    for n in range(len(basis)):
        factor, form = coefficients[n], basis[n].ravel()
        if n == 0:
            factor += depth
        for p in range(phase.size):
            phase[p] -= factor * form[p]
    flat, one = amplitude.ravel(), np.float32(1)
    for p in range(phase.size):
        turns = np.floor(phase[p] * _TWO_OVER_PI + np.float32(0.5))
        x = phase[p] - turns * _QUARTER[0] - turns * _QUARTER[1] - turns * _QUARTER[2]
        quarter, z = np.int32(turns), x * x
        sine = x + x * z * (_SINE[2] + z * (_SINE[1] + z * _SINE[0]))
        cosine = one - np.float32(0.5) * z + z * z * (_COSINE[2] + z * (_COSINE[1] + z * _COSINE[0]))
        odd = quarter & np.int32(1)
        c, s = (sine if odd else cosine), (cosine if odd else sine)
        ar[p] = -flat[p] * c if (quarter + np.int32(1)) & np.int32(2) else flat[p] * c
        ai[p] = -flat[p] * s if quarter & np.int32(2) else flat[p] * s


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_probe(block, rows, columns, window, ar, ai, br, bi, probe):
    """Add the intensity of the wave (w, h) at the lens in the window (rows, columns)."""
    wide, high = block
    ar[wide * high : columns * high] = 0
    ai[wide * high : columns * high] = 0
    ai, ar, bi, br = transform(ai, ar, bi, br, high, window[1])
    real, imaginary = ar[: columns * high].reshape(columns, high), ai[: columns * high].reshape(columns, high)
    for k in range(high):
        right, right_i = br[k * columns : (k + 1) * columns], bi[k * columns : (k + 1) * columns]
        for x in range(columns):
            right[x], right_i[x] = real[x, k], imaginary[x, k]
    br[high * columns : rows * columns] = 0
    bi[high * columns : rows * columns] = 0
    bi, br, _, _ = transform(bi, br, ai, ar, columns, window[0])
    for r in range(rows):
        row, yr, yi = probe[r], br[r * columns : (r + 1) * columns], bi[r * columns : (r + 1) * columns]
        for x in range(columns):
            row[x] += yr[x] * yr[x] + yi[x] * yi[x]
