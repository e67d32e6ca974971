"""Fourier transforms of sixteen columns at once, compiled: each of a processor's lanes works on one.

Stockham's form of the fast transform (Van Loan, Computational Frameworks for the FFT, 1992, section 1.7): from one
array into another and back, so that nothing is put into order afterwards. A block of LANES columns is a flat array
of pairs, one a row: LANES real parts, then LANES imaginary parts. It stays in a core's first cache. Lengths have no
prime factor above 5.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from instruments.simulated.lanes import LANES, load, minus, muladd, spread, store, turn

Plan: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""The factors of a length, and (passes, length, 8) the turns of each pass as pairs of cosine and sine."""

PAIR = 2 * LANES
_HALF_ROOT_3, _ROOT_HALF = np.float32(math.sqrt(3) / 2), np.float32(math.sqrt(0.5))
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
    factors = _factors(n)
    turns = np.zeros((max(len(factors), 1), n, 8), dtype=np.float32)
    length = n
    for row, radix in zip(turns, factors, strict=False):
        if radix < 8:
            part = np.arange(length // radix)[:, None] * np.arange(1, radix)
            wave = np.exp(-2j * math.pi / length * part)
            row[: len(part), 0 : 2 * radix - 2 : 2], row[: len(part), 1 : 2 * radix - 2 : 2] = wave.real, wave.imag
        length //= radix
    return np.array(factors, dtype=np.int64), turns


def _factors(n: int) -> list[int]:
    """Of the passes, in order. An eight is the last only, where nothing is turned: else it needs too many registers.

    >>> _factors(64), _factors(160), _factors(90), _factors(1)
    ([2, 4, 8], [5, 4, 8], [5, 3, 3, 2], [])
    """
    last = [8] if n % 32 == 0 else []
    n //= math.prod(last)
    found = []
    for radix in (5, 3, 4, 2):
        while n % radix == 0:
            found.append(radix)
            n //= radix
    twos = [radix for radix in found if radix == 2]
    return [radix for radix in found if radix in (5, 3)] + twos + [4] * found.count(4) + last


@numba.njit(cache=True)
def room(size):
    """A flat array for so many numbers, from where a line of the cache begins: others take longer to read."""
    made = np.empty(size + LANES, np.float32)
    first = -(made.ctypes.data // 4) % LANES
    return made[first : first + size]


@numba.njit(cache=True, error_model="numpy")
def transform(x, y, made):
    """Σ x exp(−2πi j k / n) of a block of columns. ``y`` is another; both are written. ``made``: the plan.

    No factor is applied. For the way back hand over imaginary and real parts as each other.

    Returns: the array that holds the result (``x`` or ``y``), and the one that does not.
    """
    factors, turns = made
    length, step = turns.shape[1], 1
    for n in range(len(factors)):
        rest = length // factors[n]
        if factors[n] == 8:
            _eight(x, y, step)
        elif factors[n] == 4:
            _four(x, y, rest, step, turns[n])
        elif factors[n] == 2:
            _two(x, y, rest, step, turns[n])
        elif factors[n] == 3:
            _three(x, y, rest, step, turns[n])
        else:
            _five(x, y, rest, step, turns[n])
        length, step = rest, step * factors[n]
        x, y = y, x
    return x, y


@numba.njit(cache=True)
def turn_some(source, first, step, target, to, by, count, spare):
    """``lanes.turn``, of which ``count`` rows are written. ``spare``: LANES · LANES numbers to work on."""
    if count >= LANES:
        turn(source, first, step, target, to, by)
        return
    turn(source, first, step, spare, 0, LANES)
    for n in range(count):
        store(target, to + n * by, load(spare, n * LANES))


@numba.njit(inline="always")
def _leave(y, to, r, i):
    store(y, to, r)
    store(y, to + LANES, i)


@numba.njit(inline="always")
def _turned(y, to, r, i, wr, wi):
    cosine, sine = spread(wr), spread(wi)
    store(y, to, muladd(r, cosine, minus(i * sine)))
    store(y, to + LANES, muladd(r, sine, i * cosine))


@numba.njit(cache=True, error_model="numpy")
def _two(x, y, rest, step, turns):
    apart, out = rest * step * PAIR, step * PAIR
    for p in range(rest):
        for q in range(step):
            a, to = (p * step + q) * PAIR, (2 * p * step + q) * PAIR
            b = a + apart
            ar, ai, br, bi = load(x, a), load(x, a + LANES), load(x, b), load(x, b + LANES)
            _leave(y, to, ar + br, ai + bi)
            _turned(y, to + out, ar - br, ai - bi, turns[p, 0], turns[p, 1])


@numba.njit(cache=True, error_model="numpy")
def _three(x, y, rest, step, turns):
    apart, out, half = rest * step * PAIR, step * PAIR, spread(np.float32(-0.5))
    for p in range(rest):
        for q in range(step):
            a, to = (p * step + q) * PAIR, (3 * p * step + q) * PAIR
            b, c = a + apart, a + 2 * apart
            ar, ai, br, bi = load(x, a), load(x, a + LANES), load(x, b), load(x, b + LANES)
            cr, ci = load(x, c), load(x, c + LANES)
            sr, si, dr, di = br + cr, bi + ci, _HALF_ROOT_3 * (br - cr), _HALF_ROOT_3 * (bi - ci)
            mr, mi = muladd(sr, half, ar), muladd(si, half, ai)
            _leave(y, to, ar + sr, ai + si)
            _turned(y, to + out, mr + di, mi - dr, turns[p, 0], turns[p, 1])
            _turned(y, to + 2 * out, mr - di, mi + dr, turns[p, 2], turns[p, 3])


@numba.njit(cache=True, error_model="numpy")
def _four(x, y, rest, step, turns):
    apart, out = rest * step * PAIR, step * PAIR
    for p in range(rest):
        for q in range(step):
            a, to = (p * step + q) * PAIR, (4 * p * step + q) * PAIR
            b, c, d = a + apart, a + 2 * apart, a + 3 * apart
            ar, ai, br, bi = load(x, a), load(x, a + LANES), load(x, b), load(x, b + LANES)
            cr, ci, dr, di = load(x, c), load(x, c + LANES), load(x, d), load(x, d + LANES)
            sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
            ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
            _leave(y, to, sr + ur, si + ui)
            if rest == 1:
                _leave(y, to + out, tr + vi, ti - vr)
                _leave(y, to + 2 * out, sr - ur, si - ui)
                _leave(y, to + 3 * out, tr - vi, ti + vr)
            else:
                _turned(y, to + out, tr + vi, ti - vr, turns[p, 0], turns[p, 1])
                _turned(y, to + 2 * out, sr - ur, si - ui, turns[p, 2], turns[p, 3])
                _turned(y, to + 3 * out, tr - vi, ti + vr, turns[p, 4], turns[p, 5])


@numba.njit(cache=True, error_model="numpy")
def _five(x, y, rest, step, turns):
    apart, out = rest * step * PAIR, step * PAIR
    near, far, high, low = spread(_COS_5), spread(_COS_25), spread(_SIN_5), spread(_SIN_25)
    for p in range(rest):
        for q in range(step):
            a, to = (p * step + q) * PAIR, (5 * p * step + q) * PAIR
            b, c, d, e = a + apart, a + 2 * apart, a + 3 * apart, a + 4 * apart
            ar, ai, br, bi = load(x, a), load(x, a + LANES), load(x, b), load(x, b + LANES)
            cr, ci, dr, di = load(x, c), load(x, c + LANES), load(x, d), load(x, d + LANES)
            er, ei = load(x, e), load(x, e + LANES)
            sr, si, tr, ti = br + er, bi + ei, cr + dr, ci + di
            ur, ui, vr, vi = br - er, bi - ei, cr - dr, ci - di
            _leave(y, to, ar + sr + tr, ai + si + ti)
            mr, mi = muladd(near, sr, muladd(far, tr, ar)), muladd(near, si, muladd(far, ti, ai))
            nr, ni = muladd(high, ur, low * vr), muladd(high, ui, low * vi)
            _turned(y, to + out, mr + ni, mi - nr, turns[p, 0], turns[p, 1])
            _turned(y, to + 4 * out, mr - ni, mi + nr, turns[p, 6], turns[p, 7])
            mr, mi = muladd(far, sr, muladd(near, tr, ar)), muladd(far, si, muladd(near, ti, ai))
            nr, ni = muladd(low, ur, minus(high * vr)), muladd(low, ui, minus(high * vi))
            _turned(y, to + 2 * out, mr + ni, mi - nr, turns[p, 2], turns[p, 3])
            _turned(y, to + 3 * out, mr - ni, mi + nr, turns[p, 4], turns[p, 5])


@numba.njit(inline="always")
def _both(x, a, apart):
    """Sum and difference of two rows, in their parts."""
    b = a + apart
    ar, ai, br, bi = load(x, a), load(x, a + LANES), load(x, b), load(x, b + LANES)
    return ar + br, ai + bi, ar - br, ai - bi


@numba.njit(cache=True, error_model="numpy")
def _eight(x, y, step):
    out = step * PAIR
    for to in range(0, out, PAIR):
        ar, ai, er, ei = _both(x, to, 4 * out)
        br, bi, fr, fi = _both(x, to + out, 4 * out)
        cr, ci, gr, gi = _both(x, to + 2 * out, 4 * out)
        dr, di, hr, hi = _both(x, to + 3 * out, 4 * out)
        sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
        ur, ui, vr, vi = br + dr, bi + di, br - dr, bi - di
        _leave(y, to, sr + ur, si + ui)
        _leave(y, to + 2 * out, tr + vi, ti - vr)
        _leave(y, to + 4 * out, sr - ur, si - ui)
        _leave(y, to + 6 * out, tr - vi, ti + vr)
        br, bi, dr, di = _ROOT_HALF * (fr + fi), _ROOT_HALF * (fi - fr), _ROOT_HALF * (hi - hr), _ROOT_HALF * (hi + hr)
        sr, si, tr, ti = er + gi, ei - gr, er - gi, ei + gr
        ur, ui, vr, vi = br + dr, bi - di, br - dr, bi + di
        _leave(y, to + out, sr + ur, si + ui)
        _leave(y, to + 3 * out, tr + vi, ti - vr)
        _leave(y, to + 5 * out, sr - ur, si - ui)
        _leave(y, to + 7 * out, tr - vi, ti + vr)
