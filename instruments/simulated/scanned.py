"""What detectors get of a scanned probe's patterns behind one phase object, compiled: no pattern is ever stored."""

from __future__ import annotations

import numba
import numpy as np

from instruments.simulated.fourier import PAIR, room, transform
from instruments.simulated.lanes import LANES, load, minus, muladd, spread, store, total, turn

TOGETHER = 4
"""Detectors that are weighed in one go: each sum waits for itself only."""


@numba.njit(cache=True, error_model="numpy")
def detect_compiled(real, imaginary, corners, kinds, lens_real, lens_imaginary, first, made, weights, out):
    """Fill ``out`` (K, D) from a transmission (Y, X), in its parts, at the patches with ``corners`` (K, 2).

    ``lens_real``, ``lens_imaginary`` (U, k, k): the probes, of which each patch has one of ``kinds`` (K,). Of a
    pattern, ``weights`` (D, R, x, LANES) reach from row and column ``first`` on, its rows in R blocks, D padded to
    multiples of TOGETHER; ``made``: the plan of k. Transmission and probes lie in flat arrays that go on for LANES.
    """
    size, pitch, (many, wide, _) = made[1].shape[1], real.shape[1], weights.shape[1:]
    padded = -(-size // LANES) * LANES
    x, y = room((size + 2 * LANES) * PAIR), room((size + 2 * LANES) * PAIR)
    turned, seen = room(many * padded * PAIR), room(many * wide * LANES)
    x[:], y[:] = 0, 0  # rows beyond a pattern's last are weighed by 0, and must be numbers
    flat, flat_i, lens, lens_i = real.ravel(), imaginary.ravel(), lens_real.ravel(), lens_imaginary.ravel()
    for n in range(len(corners)):
        begin, probe = corners[n, 0] * pitch + corners[n, 1], kinds[n] * size * size
        for c in range(0, size, LANES):
            for r in range(size):
                t, p = begin + r * pitch + c, probe + r * size + c
                tr, ti, pr, pi = load(flat, t), load(flat_i, t), load(lens, p), load(lens_i, p)
                store(x, r * PAIR, muladd(tr, pr, minus(ti * pi)))
                store(x, r * PAIR + LANES, muladd(tr, pi, ti * pr))
            wave, _ = transform(x, y, made)
            for k in range(many):
                for part in (0, LANES):
                    source, to = (first + k * LANES) * PAIR + part, (k * padded + c) * PAIR + part
                    turn(wave, source, PAIR, turned, to, PAIR)
        for k in range(many):
            wave, _ = transform(turned[k * padded * PAIR : (k + 1) * padded * PAIR], x, made)
            for p in range(wide):
                zr, zi = load(wave, (first + p) * PAIR), load(wave, (first + p) * PAIR + LANES)
                store(seen, (k * wide + p) * LANES, muladd(zr, zr, zi * zi))
        for d in range(0, len(weights), TOGETHER):
            _weigh(seen, weights[d : d + TOGETHER].ravel(), out[n, d : d + TOGETHER])


@numba.njit(cache=True, error_model="numpy")
def _weigh(seen, weights, out):
    """What TOGETHER detectors get."""
    size = seen.size
    a = b = c = d = spread(np.float32(0))
    for p in range(0, size, LANES):
        here = load(seen, p)
        a, b = muladd(here, load(weights, p), a), muladd(here, load(weights, size + p), b)
        c = muladd(here, load(weights, 2 * size + p), c)
        d = muladd(here, load(weights, 3 * size + p), d)
    sums = total(a), total(b), total(c), total(d)
    for n in range(len(out)):
        out[n] = sums[n]
