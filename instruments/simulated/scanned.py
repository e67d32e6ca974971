"""What detectors get of a scanned probe's patterns behind one phase object, compiled: no pattern is ever stored."""

from __future__ import annotations

import numba
import numpy as np

from instruments.simulated.fourier import transform


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def detect_compiled(real, imaginary, corners, kinds, lens_real, lens_imaginary, first, made, weights, out):
    """Fill ``out`` (K, D) from a transmission (Y, X), in its parts, at the patches with ``corners`` (K, 2).

    ``lens_real``, ``lens_imaginary`` (U, k, k): the probes, of which each patch has one of ``kinds`` (K,). Of a
    pattern, ``weights`` (D, x, y) reach from row and column ``first`` on, rows last; ``made``: the plan of k.
    """
    size, (wide, high) = lens_real.shape[1], weights.shape[1:]
    ar, ai = np.empty(size * size, np.float32), np.empty(size * size, np.float32)
    br, bi = np.empty(size * size, np.float32), np.empty(size * size, np.float32)
    seen = np.empty(wide * high, np.float32)
    for n in range(len(corners)):
        top, left, kind = corners[n, 0], corners[n, 1], kinds[n]
        for r in range(size):
            zr, zi = ar[r * size : (r + 1) * size], ai[r * size : (r + 1) * size]
            tr, ti = real[top + r, left : left + size], imaginary[top + r, left : left + size]
            pr, pi = lens_real[kind, r], lens_imaginary[kind, r]
            for c in range(size):
                zr[c], zi[c] = tr[c] * pr[c] - ti[c] * pi[c], tr[c] * pi[c] + ti[c] * pr[c]
        xr, xi, yr, yi = transform(ar, ai, br, bi, size, made)
        turned, turned_i = yr[: size * high].reshape(size, high), yi[: size * high].reshape(size, high)
        for k in range(high):
            zr, zi = xr[(first + k) * size : (first + k + 1) * size], xi[(first + k) * size : (first + k + 1) * size]
            for c in range(size):
                turned[c, k], turned_i[c, k] = zr[c], zi[c]
        xr, xi, _, _ = transform(yr, yi, xr, xi, high, made)
        zr, zi = xr[first * high : (first + wide) * high], xi[first * high : (first + wide) * high]
        for p in range(seen.size):
            seen[p] = zr[p] * zr[p] + zi[p] * zi[p]
        for d in range(len(weights)):
            out[n, d] = _sum(seen, weights[d].ravel())


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _sum(seen, weights):
    total = np.float32(0)
    for p in range(seen.size):
        total += seen[p] * weights[p]
    return total
