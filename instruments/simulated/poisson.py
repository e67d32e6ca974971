"""Counting statistics for batches of frames: a pixel's number is a hash of its frame's seed and its index.

A mean under 6 is counted by inversion: the number of cumulated probabilities that a uniform number exceeds. From 6
on by the Cornish–Fisher expansion of Poisson's quantiles in a normal number, to the order m⁻¹ (Giles, ACM Trans. Math.
Softw. 42 (2016) 7), and two terms fitted: no tail's probability down to 10⁻⁶ is then off by more than 1 % of it.
Nothing is looked up and little branches, so that a processor works on as many pixels at once as it has lanes. The same
law stands here twice, compiled for a CPU and in tensor operations for a GPU; a test keeps them equal.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial
from scipy.special import ndtri

from instruments.simulated.counter import mix
from instruments.simulated.hashing import FIRST, SECOND

MANY = np.float32(6.0)
_MOST, _RUN = 28, 1024
"""Of a mean under MANY no more is counted: more is as rare as 10⁻¹⁰. Pixels counted together stay in the cache."""
_ODD, _THIRD, _FOURTH = 0x9E3779B1, 0x7FEB352D, 0x846CA68B
"""Of the counter's steps, and of a finaliser of 32 bits (Wellons, lowbias32, 2018)."""
_WORD, _TO_TAIL = 0xFFFFFFFF, np.float32(2.0**-32)
_TO_UNIT = np.float32((1 - 2.0**-19) * 2.0**-24)
"""24 bits to a number that stays under what cumulated probabilities, each rounded, reach: the last 2·10⁻⁶ are cut."""


def _powers(series: Chebyshev) -> tuple[np.float32, ...]:
    """Coefficients of a polynomial in the argument itself, highest power first."""
    return tuple(np.float32(c) for c in series.convert(kind=Polynomial).coef[::-1])


_MIDDLE, _PER_HALF_WIDTH = np.float32(4.0), np.float32(1 / 2.85)
_NORMAL = _powers(Chebyshev.interpolate(lambda t: -ndtri(np.exp(-((4.0 + 2.85 * t) ** 2) / 2)), 8))
"""The normal number whose tail is exp(−s²/2), in (s − 4) / 2.85, to 4·10⁻⁴."""
_LOGARITHM = _powers(Chebyshev.interpolate(lambda f: -2 * np.log1p(f), 5, domain=[0, 1]))
_OCTAVE = np.float32(-2 * math.log(2))
_FIRST_ORDER = np.float32(1 / 3), np.float32(1 / 6)
_ROOT_ORDER = np.float32(-1 / 36), np.float32(-1 / 72)
_SECOND_ORDER = np.float32(-8 / 405), np.float32(7 / 810), np.float32(1 / 270)
_THIRD_ORDER = tuple(map(np.float32, (-0.001694291, -0.004962869, 0.04184323, 0.02008109, -0.2780992, 0.03448142)))
_FOURTH_ORDER = tuple(
    map(np.float32, (0.00126803, -0.00646321, 0.0135207, -0.0316587, -0.108838, 0.530935, -0.0187071))
)
"""Of m⁻³ᐟ² and m⁻², from the highest power of w down: fitted to exact quantiles of means from 5.9 to 400, to 10⁻⁶."""
_EXPONENTIAL = tuple(np.float32(1 / math.factorial(n)) for n in range(6, -1, -1))
_LOG2_E, _LN2 = np.float32(math.log2(math.e)), (np.float32(0.693359375), np.float32(-2.12194440e-4))
"""The second in two parts, of which the first times a small whole number is exact."""
_BIAS, _FRACTION, _ONE = np.int32(127), np.int32(0x7FFFFF), np.int32(0x3F800000)
"""Of a number of 32 bits: its exponent's offset, its fraction's bits, and 1."""
_INVERSES = np.array([1 / n for n in range(1, _MOST + 1)], dtype=np.float32)


def count_(mean: torch.Tensor, seeds: torch.Tensor, scales: torch.Tensor | None = None) -> torch.Tensor:
    """Replace means by Poisson counts, in place.

    Args:
        mean: (B, H, W) float32, contiguous, ≥ 0; a NaN or negative mean counts nothing.
        seeds: (B,) int64, one a frame.
        scales: (B,) float32, by which the means are multiplied first.

    Raises TypeError for another type of number.
    """
    if mean.dtype != torch.float32 or seeds.dtype != torch.int64:
        raise TypeError(f"means of {mean.dtype} and seeds of {seeds.dtype} were given: give float32 and int64")
    if mean.device.type != "cpu":
        return count_tensors(mean, seeds, scales)
    factors = np.ones(len(mean), dtype=np.float32) if scales is None else scales.numpy()
    _count_compiled(mean.view(len(mean), -1).numpy(), seeds.numpy().view(np.uint64), factors, _INVERSES)
    return mean


def count_tensors(mean: torch.Tensor, seeds: torch.Tensor, scales: torch.Tensor | None = None) -> torch.Tensor:
    """``count_`` in tensor operations, for any device."""
    flat = mean.view(len(mean), -1)
    flat *= 1.0 if scales is None else scales.to(mean.device)[:, None]
    m = torch.where(flat > 0, flat, torch.zeros_like(flat))  # also NaN
    start = _mix(seeds.to(mean.device))[:, None]
    steps = torch.arange(flat.shape[1], device=mean.device)[None, :] * _ODD + (start & _WORD)
    bits = _mix_32(_mix_32(steps & _WORD) ^ _shift(start, 32))
    few = torch.where(m < float(MANY), m, torch.zeros_like(m))
    p, u = _exp_tensors(few), ((bits >> 8).float() + 0.5) * float(_TO_UNIT)
    cumulated, counts = p.clone(), torch.zeros_like(m)
    for inverse in _INVERSES.tolist():
        counts += u > cumulated
        p = p * (few * inverse)
        cumulated = cumulated + p
    q = _normal_tensors(((bits >> 1).float() + 0.5) * float(_TO_TAIL))
    m = m.clamp(min=float(MANY))
    root = torch.sqrt(m)
    w = torch.where((bits & 1) == 1, q, -q)
    fitted = _polynomial.py_func(_THIRD_ORDER, w) + 1 / root * _polynomial.py_func(_FOURTH_ORDER, w)
    many = torch.floor(_expansion.py_func(m, root, 1 / root, w, fitted)).clamp(min=0)
    flat.copy_(torch.where(flat >= float(MANY), many, counts))
    return mean


@numba.njit(inline="always")
def _polynomial(coefficients, x):
    value = x * np.float32(0) + coefficients[0]
    for c in coefficients[1:]:
        value = value * x + c
    return value


@numba.njit(inline="always")
def _expansion(m, root, inverse, w, fitted):
    """Poisson's quantile before it is rounded down; ``root`` of m, its ``inverse``, ``w`` normal, ``fitted`` terms."""
    square = w * w
    second = _SECOND_ORDER[0] + square * (_SECOND_ORDER[1] + square * _SECOND_ORDER[2])
    root_order = w * (_ROOT_ORDER[0] + square * _ROOT_ORDER[1])
    small = inverse * (root_order + inverse * (second + inverse * fitted))
    return m + root * w + (_FIRST_ORDER[0] + square * _FIRST_ORDER[1]) + small


@numba.njit(cache=True, error_model="numpy")
def _count_compiled(mean, seeds, factors, inverses):
    """Run by run, one loop a step: loops without branches and look-ups, and what they leave undone pixel by pixel."""
    # each an array of its own: of rows of one, the compiler cannot tell that they do not overlap
    bits, u, m = np.empty(_RUN, np.uint32), np.empty(_RUN, np.float32), np.empty(_RUN, np.float32)
    p, cumulated, counts = np.empty(_RUN, np.float32), np.empty(_RUN, np.float32), np.empty(_RUN, np.float32)
    left, left_bits = np.empty(_RUN, np.int64), np.empty(_RUN, np.uint32)
    for b in range(mean.shape[0]):
        start = mix(seeds[b])
        for first in range(0, mean.shape[1], _RUN):
            row = mean[b, first : first + _RUN]
            size, large = row.size, _scale(row, factors[b])
            _hash(size, np.uint32(start), np.uint32(start >> np.uint64(32)), np.uint32(first), bits)
            if large == size:
                _count_many(row, bits, u, counts)
                row[:] = counts[:size]
                continue
            sweeps = _begin(row, bits, u, m, p, cumulated, counts)
            for n in range(0, 4 * sweeps, 4):
                _sweep(size, inverses[n : n + 4], u, m, p, cumulated, counts)
            undone = _undone(size, u, cumulated, left)
            many = 0
            for n in range(undone):
                i = left[n]
                if row[i] < MANY:
                    counts[i] = _finish(u[i], m[i], p[i], cumulated[i], counts[i], 4 * sweeps, inverses)
                else:
                    left[many], left_bits[many], m[many] = i, bits[i], row[i]
                    many += 1
            _count_many(m[:many], left_bits, u, p)
            row[:] = counts[:size]
            for n in range(many):
                row[left[n]] = p[n]


@numba.njit(cache=True, error_model="numpy")
def _scale(row, factor):
    """Returns how many are many. What is no mean becomes 0."""
    large = np.int32(0)
    for i in range(row.size):
        m = row[i] * factor
        row[i] = m if m > np.float32(0) else np.float32(0)
        large += np.int32(row[i] >= MANY)
    return large


@numba.njit(cache=True, error_model="numpy")
def _hash(size, low, high, first, bits):
    """The 32 bits of each pixel."""
    for i in range(size):
        z = np.uint32(np.uint32(np.uint32(first + np.uint32(i)) * np.uint32(_ODD)) + low)
        bits[i] = _mix_32_compiled(np.uint32(_mix_32_compiled(z) ^ high))


@numba.njit(inline="always")
def _mix_32_compiled(z):
    z = np.uint32((z ^ (z >> np.uint32(16))) * np.uint32(_THIRD))
    z = np.uint32((z ^ (z >> np.uint32(15))) * np.uint32(_FOURTH))
    return np.uint32(z ^ (z >> np.uint32(16)))


@numba.njit(cache=True, error_model="numpy")
def _begin(row, bits, u, m, p, cumulated, counts):
    """Uniform numbers and first probabilities, 0 of what is many; returns after how many sweeps few are left."""
    none, half, total = np.float32(0), np.float32(0.5), np.int32(0)
    for i in range(row.size):
        u[i] = (np.float32(np.int32(bits[i] >> np.uint32(8))) + half) * _TO_UNIT
        m[i] = row[i] if row[i] < MANY else none
        total += np.int32(m[i] * np.float32(64))
    for i in range(row.size):
        whole = np.floor(half - m[i] * _LOG2_E)
        rest = -m[i] - whole * _LN2[0] - whole * _LN2[1]
        power = np.int32((np.int32(whole) + _BIAS) << np.int32(23)).view(np.float32)
        first = _polynomial(_EXPONENTIAL, rest) * power
        p[i] = first if row[i] < MANY else none
        cumulated[i], counts[i] = p[i], none
    return 1 + int(0.6 / 64 * total / row.size + 0.5)


@numba.njit(cache=True, error_model="numpy")
def _sweep(size, inverses, u, m, p, cumulated, counts):
    """Four more probabilities."""
    one, none = np.float32(1), np.float32(0)
    first, second, third, fourth = inverses[0], inverses[1], inverses[2], inverses[3]
    for i in range(size):
        mean, number, k, term, total = m[i], u[i], counts[i], p[i], cumulated[i]
        k += one if number > total else none
        term *= mean * first
        total += term
        k += one if number > total else none
        term *= mean * second
        total += term
        k += one if number > total else none
        term *= mean * third
        total += term
        k += one if number > total else none
        term *= mean * fourth
        counts[i], p[i], cumulated[i] = k, term, total + term


@numba.njit(cache=True, error_model="numpy")
def _undone(size, u, cumulated, left):
    """Write the places where a number still exceeds what is cumulated; returns how many they are."""
    n = 0
    for i in range(size):
        left[n] = i
        n += 1 if u[i] > cumulated[i] else 0
    return n


@numba.njit(cache=True, error_model="numpy")
def _finish(u, m, p, cumulated, count, n, inverses):
    while n < len(inverses) and u > cumulated:
        count += np.float32(1)
        p *= m * inverses[n]
        cumulated += p
        n += 1
    return count


@numba.njit(cache=True, error_model="numpy")
def _count_many(row, bits, normal, counts):
    """In three loops: a longer one waits for each number's own results, and has too few others at hand."""
    one, none, half = np.float32(1), np.float32(0), np.float32(0.5)
    for i in range(row.size):
        tail = (np.float32(np.int32(bits[i] >> np.uint32(1))) + half) * _TO_TAIL
        word = np.float32(tail).view(np.int32)
        exponent = np.float32(np.int32((word >> np.int32(23)) - _BIAS))
        fraction = np.int32((word & _FRACTION) | _ONE).view(np.float32) - one
        normal[i] = _polynomial(_LOGARITHM, fraction) + exponent * _OCTAVE
    for i in range(row.size):
        q = _polynomial(_NORMAL, (np.sqrt(normal[i]) - _MIDDLE) * _PER_HALF_WIDTH)
        normal[i] = q if bits[i] & np.uint32(1) else -q
    for i in range(row.size):
        m, w = row[i] if row[i] > MANY else MANY, normal[i]
        root = np.sqrt(m)
        inverse = one / root
        fitted = _polynomial(_THIRD_ORDER, w) + inverse * _polynomial(_FOURTH_ORDER, w)
        k = np.floor(_expansion(m, root, inverse, w, fitted))
        counts[i] = k if k > none else none


def _exp_tensors(m: torch.Tensor) -> torch.Tensor:
    """exp(−m), step by step as it is compiled."""
    whole = torch.floor(0.5 - m * float(_LOG2_E))
    rest = -m - whole * float(_LN2[0]) - whole * float(_LN2[1])
    power = ((whole.int() + int(_BIAS)) << 23).view(torch.float32)
    return torch.as_tensor(_polynomial.py_func(_EXPONENTIAL, rest) * power)


def _normal_tensors(tail: torch.Tensor) -> torch.Tensor:
    """The normal numbers above 0 with such tails, step by step as it is compiled."""
    word = tail.view(torch.int32)
    exponent = ((word >> 23) - int(_BIAS)).float()
    fraction = ((word & int(_FRACTION)) | int(_ONE)).view(torch.float32) - 1
    logarithm = _polynomial.py_func(_LOGARITHM, fraction) + exponent * float(_OCTAVE)
    return torch.as_tensor(_polynomial.py_func(_NORMAL, (logarithm.sqrt() - float(_MIDDLE)) * float(_PER_HALF_WIDTH)))


def _mix(z: torch.Tensor) -> torch.Tensor:
    z = (z ^ _shift(z, 30)) * _signed(FIRST)
    z = (z ^ _shift(z, 27)) * _signed(SECOND)
    return z ^ _shift(z, 31)


def _mix_32(z: torch.Tensor) -> torch.Tensor:
    """Of whole numbers from 0 to 2³² − 1."""
    z = ((z ^ (z >> 16)) * _THIRD) & _WORD
    z = ((z ^ (z >> 15)) * _FOURTH) & _WORD
    return z ^ (z >> 16)


def _shift(z: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift to the right: tensors have no unsigned 64-bit arithmetic."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word
