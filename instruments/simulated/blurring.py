"""Images of objects by transfer functions, compiled: two Fourier transforms of real numbers, cut to what is passed.

Of a real image only the rows of frequency 0 and above are kept, K of them, and of columns those that the transfer
function lets through. Two columns of real numbers are transformed as the two parts of one complex column.
"""

from __future__ import annotations

import numba
import numpy as np

from instruments.simulated.fourier import transform

LANES = 8
"""Rows of numbers are padded to multiples of this, so that no remainder is worked on one by one."""


@numba.njit(cache=True, error_model="numpy")
def half_spectrum(part, factor, down, across, kept, ar, ai, br, bi):
    """The spectrum of ``part`` (h, w) real, w even, with zeros round it, times 2 · ``factor``: (columns, kept or more).

    ``down``, ``across``: plans of the grid's lengths, at least h and w; ``kept``: frequencies 0 … kept − 1 along
    columns, which come last and are padded to LANES. ``ar`` to ``bi`` are flat, and hold what is worked on.

    Returns: the pair with the result, and the pair without, as ``transform`` does.
    """
    rows, columns, wide = down[1].shape[1], across[1].shape[1], -(-kept // LANES) * LANES
    height, half = part.shape[0], part.shape[1] // 2
    for r in range(height):
        zr, zi = ar[r * half : (r + 1) * half], ai[r * half : (r + 1) * half]
        for c in range(half):
            zr[c], zi[c] = part[r, c] * factor, part[r, c + half] * factor
    ar[height * half : rows * half] = 0
    ai[height * half : rows * half] = 0
    ar, ai, br, bi = transform(ar, ai, br, bi, half, down)
    br[: columns * wide] = 0
    bi[: columns * wide] = 0
    real, imaginary = br[: columns * wide].reshape(columns, wide), bi[: columns * wide].reshape(columns, wide)
    left, left_i, right, right_i = real[:half], imaginary[:half], real[half:], imaginary[half:]
    for k in range(kept):  # of the pair, what is even and odd in frequency
        opposite = rows - k if k else 0
        zr, zi = ar[k * half : (k + 1) * half], ai[k * half : (k + 1) * half]
        wr, wi = ar[opposite * half : (opposite + 1) * half], ai[opposite * half : (opposite + 1) * half]
        for c in range(half):
            left[c, k], left_i[c, k] = zr[c] + wr[c], zi[c] - wi[c]
            right[c, k], right_i[c, k] = zi[c] + wi[c], wr[c] - zr[c]
    return transform(br, bi, ar, ai, wide, across)


@numba.njit(cache=True, error_model="numpy")
def blur(objects, real, imaginary, below, down, across, top, left, out):
    """Images ``out`` (B, S, h, w), w even: of ``objects`` (B, S, H, W), W even, the part from row top, column left on.

    ``real``, ``imaginary``: (B, S or 1, X, K) transfer functions, at frequencies 0 … K − 1 along columns, and along
    rows from 0 up, the last ``below`` of X under 0; (0, …) imaginary where there is none. ``down``, ``across``: plans
    of H and W. Borders wrap.
    """
    kept = real.shape[3]
    rows, columns, wide = down[1].shape[1], across[1].shape[1], -(-kept // LANES) * LANES
    size = max(rows * (columns // 2), columns * wide)
    ar, ai = np.empty(size, np.float32), np.empty(size, np.float32)
    br, bi = np.empty(size, np.float32), np.empty(size, np.float32)
    factor = np.float32(0.5 / (rows * columns))
    for b in range(objects.shape[0]):
        for s in range(objects.shape[1]):
            shared = s if real.shape[1] > 1 else 0
            hr, hi = real[b, shared], imaginary[b if len(imaginary) else 0 : b + 1, shared]
            xr, xi, yr, yi = half_spectrum(objects[b, s], factor, down, across, kept, ar, ai, br, bi)
            _multiply(xr, xi, hr, hi, below, columns, wide)
            xi, xr, yi, yr = transform(xi, xr, yi, yr, wide, across)
            _develop(xr, xi, yr, yi, columns, wide, kept, down, top, left, out[b, s])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _multiply(xr, xi, hr, hi, below, columns, wide):
    """Multiply a spectrum by a transfer function; beyond it nothing is left."""
    above = len(hr) - below
    for n in range(len(hr)):
        k = n if n < above else columns - len(hr) + n
        fr, fi, gr = xr[k * wide : (k + 1) * wide], xi[k * wide : (k + 1) * wide], hr[n]
        if len(hi):
            gi = hi[0, n]
            for q in range(gr.size):
                real = fr[q] * gr[q] - fi[q] * gi[q]
                fi[q] = fr[q] * gi[q] + fi[q] * gr[q]
                fr[q] = real
        else:
            for q in range(gr.size):
                fr[q] *= gr[q]
                fi[q] *= gr[q]
    xr[above * wide : (columns - below) * wide] = 0
    xi[above * wide : (columns - below) * wide] = 0


@numba.njit(cache=True, error_model="numpy")
def _develop(xr, xi, yr, yi, columns, wide, kept, down, top, left, out):
    """The last transform, down the columns of the part that is asked."""
    rows, height, half = down[1].shape[1], out.shape[0], out.shape[1] // 2
    real, imaginary = xr[: columns * wide].reshape(columns, wide), xi[: columns * wide].reshape(columns, wide)
    first, second = real[left : left + half], real[left + half : left + 2 * half]
    first_i, second_i = imaginary[left : left + half], imaginary[left + half : left + 2 * half]
    for k in range(kept):
        zr, zi = yr[k * half : (k + 1) * half], yi[k * half : (k + 1) * half]
        if k == 0 or 2 * k == rows:  # a frequency that is its own opposite is real
            for c in range(half):
                zr[c], zi[c] = first[c, k], second[c, k]
            continue
        wr, wi = yr[(rows - k) * half : (rows - k + 1) * half], yi[(rows - k) * half : (rows - k + 1) * half]
        for c in range(half):
            zr[c], zi[c] = first[c, k] - second_i[c, k], first_i[c, k] + second[c, k]
            wr[c], wi[c] = first[c, k] + second_i[c, k], second[c, k] - first_i[c, k]
    yr[kept * half : (rows - kept + 1) * half] = 0
    yi[kept * half : (rows - kept + 1) * half] = 0
    yi, yr, xi, xr = transform(yi, yr, xi, xr, half, down)
    for r in range(height):
        row, begin = out[r], (top + r) * half
        row[:half], row[half:] = yr[begin : begin + half], yi[begin : begin + half]
