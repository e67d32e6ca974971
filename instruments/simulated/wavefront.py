"""Transfer functions of aberrated probes, compiled: from coefficients over the lens to the probe to its spectrum."""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated.blurring import blocks, half_spectrum
from instruments.simulated.fourier import PAIR, room, transform
from instruments.simulated.lanes import LANES, load, minus, muladd, store, turn

_TWO_OVER_PI = np.float32(2 / math.pi)
_QUARTER = tuple(np.float32(part) for part in (1.5703125, 4.837512969970703e-4, 7.54978995489188e-8))
"""π/2 in three parts, of which the first times a whole number is exact (Cody & Waite, 1980)."""
_SINE = tuple(np.float32(c) for c in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COSINE = tuple(np.float32(c) for c in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
"""Within π/4 of 0, highest power of x² first (Moshier, Cephes, sinf)."""


@numba.njit(cache=True, error_model="numpy")
def probes_transfer(coefficients, depths, amplitude, basis, window, envelope, below, down, across, real, imaginary):
    """Fill ``real``, ``imaginary`` (B, S, X, K), ordered as ``blurring.blur`` takes them.

    ``coefficients`` (B, 8) nm; ``depths`` (N,) nm below the entrance face, over which the probe is averaged;
    ``amplitude`` (R, w, LANES) and ``basis`` (8, R, w, LANES) rad per nm of the block round the pupil: its w columns,
    of R · LANES rows each; ``window``: plans of the rows and columns that the probe is made in; ``down``, ``across``:
    of the grid with the frame's frequencies; ``envelope`` (2, S, X, K), real and imaginary.
    """
    rows, columns = window[0][1].shape[1], window[1][1].shape[1]
    grid_columns = across[1].shape[1]
    signals, passed, kept = envelope.shape[1:]
    size = (max(rows, columns, down[1].shape[1], grid_columns) + 2 * LANES) * PAIR
    x, y = room(size), room(size)
    span, pitch = grid_columns * PAIR, blocks(columns) * LANES
    spectra, waves = room(blocks(kept) * span), room(blocks(columns) * max(rows, amplitude.shape[0] * LANES) * PAIR)
    probe, factor = room(rows * pitch), np.float32(0.5 / (len(depths) * rows * columns))
    cosine, sine = np.empty(amplitude.size, np.float32), np.empty(amplitude.size, np.float32)
    for b in range(len(coefficients)):
        probe[:] = 0
        for depth in depths:
            _lens(coefficients[b], depth, amplitude.ravel(), basis, cosine, sine)
            _add_probe(cosine, sine, amplitude.shape, window, x, y, waves, probe)
        half_spectrum(probe, pitch, (rows, columns), factor, down, grid_columns, kept, x, y, spectra)
        for k in range(blocks(kept)):
            block, _ = transform(spectra[k * span : (k + 1) * span], x, across)
            for s in range(signals):
                left, left_i = envelope[0, s].ravel(), envelope[1, s].ravel()
                hr, hi = real[b, s].ravel(), imaginary[b, s].ravel()
                for n in range(passed):
                    f, h = (n if n < passed - below else grid_columns - passed + n) * PAIR, n * kept + k * LANES
                    fr, fi, er, ei = load(block, f), load(block, f + LANES), load(left, h), load(left_i, h)
                    store(hr, h, muladd(fr, er, minus(fi * ei)))
                    store(hi, h, muladd(fr, ei, fi * er))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _lens(coefficients, depth, amplitude, basis, cosine, sine):
    """The parts of the wave at the lens, exp(−iχ)."""
    phase = cosine
    phase[:] = 0
    for n in range(len(basis)):
        factor, form = coefficients[n], basis[n].ravel()
        if n == 0:
            factor += depth
        for p in range(phase.size):
            phase[p] -= factor * form[p]
    one = np.float32(1)
    for p in range(phase.size):
        turns = np.floor(phase[p] * _TWO_OVER_PI + np.float32(0.5))
        x = phase[p] - turns * _QUARTER[0] - turns * _QUARTER[1] - turns * _QUARTER[2]
        quarter, z = np.int32(turns), x * x
        even = x + x * z * (_SINE[2] + z * (_SINE[1] + z * _SINE[0]))
        odd = one - np.float32(0.5) * z + z * z * (_COSINE[2] + z * (_COSINE[1] + z * _COSINE[0]))
        swapped = quarter & np.int32(1)
        c, s = (even if swapped else odd), (odd if swapped else even)
        cosine[p] = -amplitude[p] * c if (quarter + np.int32(1)) & np.int32(2) else amplitude[p] * c
        sine[p] = -amplitude[p] * s if quarter & np.int32(2) else amplitude[p] * s


@numba.njit(cache=True, error_model="numpy")
def _add_probe(cosine, sine, shape, window, x, y, waves, probe):
    """Add the intensity of the wave at the lens in the window; for the way back parts are exchanged."""
    (many, wide, _), rows, columns = shape, window[0][1].shape[1], window[1][1].shape[1]
    span, pitch = max(rows, many * LANES) * PAIR, blocks(columns) * LANES
    for n in range(many):
        for p in range(wide):
            store(x, p * PAIR, load(sine, (n * wide + p) * LANES))
            store(x, p * PAIR + LANES, load(cosine, (n * wide + p) * LANES))
        x[wide * PAIR : columns * PAIR] = 0
        wave, _ = transform(x, y, window[1])
        for c in range(blocks(columns)):
            for part in (0, LANES):
                turn(wave, c * LANES * PAIR + part, PAIR, waves, c * span + n * LANES * PAIR + part, PAIR)
    for c in range(blocks(columns)):
        block = waves[c * span : (c + 1) * span]
        block[many * LANES * PAIR :] = 0
        wave, _ = transform(block, x, window[0])
        for r in range(rows):
            ar, ai, to = load(wave, r * PAIR), load(wave, r * PAIR + LANES), r * pitch + c * LANES
            store(probe, to, muladd(ar, ar, muladd(ai, ai, load(probe, to))))
