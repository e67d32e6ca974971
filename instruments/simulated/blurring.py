"""Images of objects by transfer functions, compiled: two Fourier transforms of real numbers, cut to what is passed.

Of a real image only the rows of frequency 0 and above are kept, K of them, and of columns those that the transfer
function lets through. Two columns of real numbers are transformed as the two parts of one complex column. Along
columns LANES columns are one block of ``fourier.transform``, along rows LANES frequencies are.
"""

from __future__ import annotations

import numba
import numpy as np

from instruments.simulated.fourier import PAIR, room, transform, turn_some
from instruments.simulated.lanes import LANES, load, minus, muladd, spread, store


@numba.njit(cache=True)
def blocks(many):
    """How many blocks hold so many columns."""
    return -(-many // LANES)


@numba.njit(cache=True, error_model="numpy")
def half_spectrum(part, pitch, size, factor, down, columns, kept, x, y, spectra):
    """2 · ``factor`` times the spectrum along columns of an image with zeros round it, ready for that along rows.

    ``part``: flat, a row every ``pitch`` numbers; ``size``: its height and width, which is even. ``down``: plan of the
    length that the columns are made; ``columns``: how many they are made. Of the result frequencies 0 … ``kept`` − 1
    are in ``spectra``, block by block of LANES frequencies, in each a pair for every column. ``x``, ``y``: flat, a
    block of columns and LANES pairs more.
    """
    rows, (height, width) = down[1].shape[1], size
    half, scale, span = width // 2, spread(factor), columns * PAIR
    spare = np.empty(LANES * LANES, np.float32)
    for c in range(0, half, LANES):
        count = min(LANES, half - c)
        if count == LANES:
            for r in range(height):
                store(x, r * PAIR, scale * load(part, r * pitch + c))
                store(x, r * PAIR + LANES, scale * load(part, r * pitch + c + half))
        else:
            x[: height * PAIR] = 0
            for r in range(height):
                for n in range(count):
                    x[r * PAIR + n] = factor * part[r * pitch + c + n]
                    x[r * PAIR + LANES + n] = factor * part[r * pitch + c + n + half]
        x[height * PAIR : rows * PAIR] = 0
        left, right = transform(x, y, down)
        known = min(kept, rows // 2 + 1)
        for k in range(known):  # of each two columns, what is even and odd in frequency
            z, w = k * PAIR, (rows - k if k else 0) * PAIR
            zr, zi, wr, wi = load(left, z), load(left, z + LANES), load(left, w), load(left, w + LANES)
            store(right, z, zi + wi)
            store(right, z + LANES, wr - zr)
            store(left, z, zr + wr)
            store(left, z + LANES, zi - wi)
        for end in (left, right):  # what fills the last block is multiplied by 0, and must be a number
            end[known * PAIR : blocks(kept) * LANES * PAIR] = 0
        for n in range(blocks(kept)):
            first, to = n * LANES * PAIR, n * span + c * PAIR
            for odd in (0, LANES):
                turn_some(left, first + odd, PAIR, spectra, to + odd, PAIR, count, spare)
                turn_some(right, first + odd, PAIR, spectra, to + half * PAIR + odd, PAIR, count, spare)
    for n in range(blocks(kept)):
        spectra[n * span + width * PAIR : (n + 1) * span] = 0


@numba.njit(cache=True, error_model="numpy")
def blur(objects, real, imaginary, below, down, across, top, left, out):
    """Images ``out`` (B, S, h, w), w even: of ``objects`` (B, S, H, W), W even, the part from row top, column left on.

    ``real``, ``imaginary``: (B, S or 1, X, K) transfer functions, K padded to whole blocks, at frequencies 0 … along
    columns, and along rows from 0 up, the last ``below`` of X under 0; (0, …) imaginary where there is none.
    ``down``, ``across``: plans of H and W. Borders wrap.
    """
    rows, columns = down[1].shape[1], across[1].shape[1]
    kept, half = min(real.shape[3], rows // 2 + 1), out.shape[3] // 2
    span, size = columns * PAIR, (max(rows, columns) + 2 * LANES) * PAIR
    x, y = room(size), room(size)
    spectra, images = room(blocks(kept) * span), room(blocks(half) * (rows + 1) * PAIR)
    factor = np.float32(0.5 / (rows * columns))
    for b in range(objects.shape[0]):
        for s in range(objects.shape[1]):
            shared = s if real.shape[1] > 1 else 0
            hr, hi = real[b, shared].ravel(), imaginary[b if len(imaginary) else 0 : b + 1, shared].ravel()
            half_spectrum(objects[b, s].ravel(), columns, (rows, columns), factor, down, columns, kept, x, y, spectra)
            for n in range(blocks(kept)):
                block, other = transform(spectra[n * span : (n + 1) * span], x, across)
                _multiply(block, hr, hi, n * LANES, real.shape[3], below, columns)
                block, other = transform(block, other, across)
                _gather(block, y, n * LANES, kept, rows, left, half, images)
            _develop(images, x, kept, down, top, out[b, s])


@numba.njit(cache=True, error_model="numpy")
def _multiply(block, hr, hi, first, pitch, below, columns):
    """Multiply by a transfer function, beyond which nothing is left, and exchange the parts for the way back."""
    passed, none = len(hr) // pitch, spread(np.float32(0))
    above = passed - below
    for n in range(passed):
        k, h = (n if n < above else columns - passed + n) * PAIR, n * pitch + first
        fr, fi, gr = load(block, k), load(block, k + LANES), load(hr, h)
        if len(hi):
            gi = load(hi, h)
            store(block, k, muladd(fr, gi, fi * gr))
            store(block, k + LANES, muladd(fr, gr, minus(fi * gi)))
        else:
            store(block, k, fi * gr)
            store(block, k + LANES, fr * gr)
    for k in range(above * PAIR, (columns - below) * PAIR, LANES):
        store(block, k, none)


@numba.njit(cache=True, error_model="numpy")
def _gather(block, y, first, kept, rows, left, half, images):
    """Put a block of frequencies to the columns that are asked, two as the parts of one: parts are exchanged."""
    count, span = min(LANES, kept - first), (rows + 1) * PAIR
    spare = y[2 * LANES * PAIR :]
    for c in range(0, half, LANES):
        for n in range(LANES):
            a, b = (left + c + n) * PAIR, (left + c + n + half) * PAIR
            if c + n >= half:
                a, b = left * PAIR, left * PAIR  # beyond the last column: any numbers
            ai, ar, bi, br = load(block, a), load(block, a + LANES), load(block, b), load(block, b + LANES)
            store(y, 2 * n * PAIR, ai + br)
            store(y, 2 * n * PAIR + LANES, ar - bi)
            store(y, (2 * n + 1) * PAIR, br - ai)
            store(y, (2 * n + 1) * PAIR + LANES, ar + bi)
        begin = c // LANES * span
        for odd in (0, LANES):
            turn_some(y, odd, 2 * PAIR, images, begin + first * PAIR + odd, PAIR, count, spare)
            turn_some(y, PAIR + odd, 2 * PAIR, images, begin + (rows - first) * PAIR + odd, -PAIR, count, spare)
        for k in (0, rows // 2):  # a frequency that is its own opposite is real
            if first <= k < first + count and (k == 0 or 2 * k == rows):
                for n in range(min(LANES, half - c)):
                    a = (left + c + n) * PAIR + LANES + k - first
                    images[begin + k * PAIR + n] = block[a + half * PAIR]
                    images[begin + k * PAIR + LANES + n] = block[a]


@numba.njit(cache=True, error_model="numpy")
def _develop(images, x, kept, down, top, out):
    """The last transform, down the columns of the part that is asked."""
    rows, (height, width) = down[1].shape[1], out.shape
    flat, half = out.ravel(), width // 2
    for c in range(0, half, LANES):
        begin, count = c // LANES * (rows + 1) * PAIR, min(LANES, half - c)
        block = images[begin : begin + rows * PAIR]
        block[kept * PAIR : (rows - kept + 1) * PAIR] = 0
        seen, _ = transform(block, x, down)
        if count == LANES:
            for r in range(height):
                store(flat, r * width + c, load(seen, (top + r) * PAIR + LANES))
                store(flat, r * width + c + half, load(seen, (top + r) * PAIR))
        else:
            for r in range(height):
                for n in range(count):
                    flat[r * width + c + n] = seen[(top + r) * PAIR + LANES + n]
                    flat[r * width + c + half + n] = seen[(top + r) * PAIR + n]
