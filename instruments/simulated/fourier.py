"""Fourier transforms along the first axis of many columns at once, compiled: a processor's lanes work on neighbours.

Stockham's form of the fast transform (Van Loan, Computational Frameworks for the FFT, 1992, section 1.7): from one
array into another and back, so that nothing is put into order afterwards. Real and imaginary parts are arrays of their
own. Lengths have no prime factor above 5. For images of a few hundred pixels, cut and padded between the two
directions, this takes a half to a quarter of the time of a library's transforms.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

Plan: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""The factors of a length, and (passes, length, 8) the turns of each pass as pairs of cosine and sine."""

_FMA = {"contract"}
"""A product and a sum may be rounded once."""
_RADICES = (5, 3, 2, 4)
"""In the order of passes: the last are on the longest rows, where the widest pays most."""
_HALF_ROOT_3 = np.float32(math.sqrt(3) / 2)
_COS_5, _COS_25 = np.float32(math.cos(0.4 * math.pi)), np.float32(math.cos(0.8 * math.pi))
_SIN_5, _SIN_25 = np.float32(math.sin(0.4 * math.pi)), np.float32(math.sin(0.8 * math.pi))


@lru_cache(maxsize=1024)
def smooth(n: int) -> bool:
    """Whether a length can be transformed.

    >>> [n for n in range(90, 101) if smooth(n)]
    [90, 96, 100]
    """
    for prime in (2, 3, 5):
        while n > 0 and n % prime == 0:
            n //= prime
    return n == 1


@lru_cache(maxsize=256)
def plan(n: int) -> Plan:
    """How to transform columns of n numbers. Raises ValueError where n has a larger prime factor than 5."""
    if not smooth(n):
        raise ValueError(f"a transform of {n} numbers was asked; give a length without a prime factor above 5")
    factors: list[int] = []
    for radix in _RADICES:
        # of an odd number of twos, one is taken singly
        while (rest := n // math.prod(factors)) % radix == 0 and not (radix == 2 and _twos(rest) % 2 == 0):
            factors.append(radix)
    turns = np.zeros((max(len(factors), 1), n, 8), dtype=np.float32)
    length = n
    for row, radix in zip(turns, factors, strict=False):
        part = np.arange(length // radix)[:, None] * np.arange(1, radix)
        wave = np.exp(-2j * math.pi / length * part)
        row[: len(part), 0 : 2 * radix - 2 : 2], row[: len(part), 1 : 2 * radix - 2 : 2] = wave.real, wave.imag
        length //= radix
    return np.array(factors, dtype=np.int64), turns


def _twos(n: int) -> int:
    return (n & -n).bit_length() - 1


@numba.njit(cache=True, error_model="numpy")
def transform(xr, xi, yr, yi, lanes, made):
    """Σ x exp(−2πi j k / n) along the first axis of (n, lanes), the first n · lanes numbers of flat arrays.

    ``made``: the plan. No factor is applied. For the way back hand over imaginary and real parts as each other.

    Returns: the pair that holds the result (``xr``, ``xi`` or ``yr``, ``yi``), and the pair that does not.
    """
    factors, turns = made
    length, step = turns.shape[1], lanes
    for n in range(len(factors)):
        rest = length // factors[n]
        if factors[n] == 4:
            _four(xr, xi, yr, yi, rest, step, turns[n])
        elif factors[n] == 2:
            _two(xr, xi, yr, yi, rest, step, turns[n])
        elif factors[n] == 3:
            _three(xr, xi, yr, yi, rest, step, turns[n])
        else:
            _five(xr, xi, yr, yi, rest, step, turns[n])
        length, step = rest, step * factors[n]
        xr, xi, yr, yi = yr, yi, xr, xi
    return xr, xi, yr, yi


@numba.njit(cache=True, error_model="numpy")
def _row(numbers, n, step):
    return numbers[n * step : (n + 1) * step]


@numba.njit(cache=True, error_model="numpy", fastmath=_FMA)
def _two(xr, xi, yr, yi, rest, step, turns):
    for p in range(rest):
        wr, wi = turns[p, 0], turns[p, 1]
        ar, ai, br, bi = _row(xr, p, step), _row(xi, p, step), _row(xr, p + rest, step), _row(xi, p + rest, step)
        er, ei = _row(yr, 2 * p, step), _row(yi, 2 * p, step)
        fr, fi = _row(yr, 2 * p + 1, step), _row(yi, 2 * p + 1, step)
        for q in range(step):
            ur, ui = ar[q] - br[q], ai[q] - bi[q]
            er[q], ei[q] = ar[q] + br[q], ai[q] + bi[q]
            fr[q], fi[q] = ur * wr - ui * wi, ur * wi + ui * wr


@numba.njit(cache=True, error_model="numpy", fastmath=_FMA)
def _three(xr, xi, yr, yi, rest, step, turns):
    half = np.float32(0.5)
    for p in range(rest):
        w1r, w1i, w2r, w2i = turns[p, 0], turns[p, 1], turns[p, 2], turns[p, 3]
        ar, ai, br, bi = _row(xr, p, step), _row(xi, p, step), _row(xr, p + rest, step), _row(xi, p + rest, step)
        cr, ci = _row(xr, p + 2 * rest, step), _row(xi, p + 2 * rest, step)
        er, ei = _row(yr, 3 * p, step), _row(yi, 3 * p, step)
        fr, fi = _row(yr, 3 * p + 1, step), _row(yi, 3 * p + 1, step)
        gr, gi = _row(yr, 3 * p + 2, step), _row(yi, 3 * p + 2, step)
        for q in range(step):
            sr, si = br[q] + cr[q], bi[q] + ci[q]
            dr, di = _HALF_ROOT_3 * (br[q] - cr[q]), _HALF_ROOT_3 * (bi[q] - ci[q])
            mr, mi = ar[q] - half * sr, ai[q] - half * si
            er[q], ei[q] = ar[q] + sr, ai[q] + si
            ur, ui, vr, vi = mr + di, mi - dr, mr - di, mi + dr
            fr[q], fi[q] = ur * w1r - ui * w1i, ur * w1i + ui * w1r
            gr[q], gi[q] = vr * w2r - vi * w2i, vr * w2i + vi * w2r


@numba.njit(cache=True, error_model="numpy", fastmath=_FMA)
def _four(xr, xi, yr, yi, rest, step, turns):
    for p in range(rest):
        w1r, w1i, w2r, w2i, w3r, w3i = turns[p, 0], turns[p, 1], turns[p, 2], turns[p, 3], turns[p, 4], turns[p, 5]
        ar, ai, br, bi = _row(xr, p, step), _row(xi, p, step), _row(xr, p + rest, step), _row(xi, p + rest, step)
        cr, ci = _row(xr, p + 2 * rest, step), _row(xi, p + 2 * rest, step)
        dr, di = _row(xr, p + 3 * rest, step), _row(xi, p + 3 * rest, step)
        er, ei = _row(yr, 4 * p, step), _row(yi, 4 * p, step)
        fr, fi = _row(yr, 4 * p + 1, step), _row(yi, 4 * p + 1, step)
        gr, gi = _row(yr, 4 * p + 2, step), _row(yi, 4 * p + 2, step)
        hr, hi = _row(yr, 4 * p + 3, step), _row(yi, 4 * p + 3, step)
        for q in range(step):
            sr, si, tr, ti = ar[q] + cr[q], ai[q] + ci[q], ar[q] - cr[q], ai[q] - ci[q]
            ur, ui, vr, vi = br[q] + dr[q], bi[q] + di[q], br[q] - dr[q], bi[q] - di[q]
            er[q], ei[q] = sr + ur, si + ui
            zr, zi = tr + vi, ti - vr
            fr[q], fi[q] = zr * w1r - zi * w1i, zr * w1i + zi * w1r
            zr, zi = sr - ur, si - ui
            gr[q], gi[q] = zr * w2r - zi * w2i, zr * w2i + zi * w2r
            zr, zi = tr - vi, ti + vr
            hr[q], hi[q] = zr * w3r - zi * w3i, zr * w3i + zi * w3r


@numba.njit(cache=True, error_model="numpy", fastmath=_FMA)
def _five(xr, xi, yr, yi, rest, step, turns):
    for p in range(rest):
        ar, ai, br, bi = _row(xr, p, step), _row(xi, p, step), _row(xr, p + rest, step), _row(xi, p + rest, step)
        cr, ci = _row(xr, p + 2 * rest, step), _row(xi, p + 2 * rest, step)
        dr, di = _row(xr, p + 3 * rest, step), _row(xi, p + 3 * rest, step)
        er, ei = _row(xr, p + 4 * rest, step), _row(xi, p + 4 * rest, step)
        zr, zi = _row(yr, 5 * p, step), _row(yi, 5 * p, step)
        for q in range(step):
            zr[q], zi[q] = ar[q] + (br[q] + er[q]) + (cr[q] + dr[q]), ai[q] + (bi[q] + ei[q]) + (ci[q] + di[q])
        # by pairs: with all outputs in one loop, a compiler finds it too dear to see that they do not overlap
        for pair in range(2):
            c1, c2 = (_COS_5, _COS_25) if pair == 0 else (_COS_25, _COS_5)
            s1, s2 = (_SIN_5, _SIN_25) if pair == 0 else (_SIN_25, -_SIN_5)
            k = 2 * pair
            w1r, w1i, w2r, w2i = turns[p, k], turns[p, k + 1], turns[p, 6 - k], turns[p, 7 - k]
            fr, fi = _row(yr, 5 * p + 1 + pair, step), _row(yi, 5 * p + 1 + pair, step)
            gr, gi = _row(yr, 5 * p + 4 - pair, step), _row(yi, 5 * p + 4 - pair, step)
            for q in range(step):
                mr = ar[q] + c1 * (br[q] + er[q]) + c2 * (cr[q] + dr[q])
                mi = ai[q] + c1 * (bi[q] + ei[q]) + c2 * (ci[q] + di[q])
                nr, ni = s1 * (br[q] - er[q]) + s2 * (cr[q] - dr[q]), s1 * (bi[q] - ei[q]) + s2 * (ci[q] - di[q])
                ur, ui, vr, vi = mr + ni, mi - nr, mr - ni, mi + nr
                fr[q], fi[q] = ur * w1r - ui * w1i, ur * w1i + ui * w1r
                gr[q], gi[q] = vr * w2r - vi * w2i, vr * w2i + vi * w2r
