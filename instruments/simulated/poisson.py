"""Counting statistics for batches of frames: a pixel's number is a hash of its frame's seed and its index.

A mean under 6 is counted by inversion: of how many numbers n a uniform number lies under the probability of more than
n. These survival probabilities begin at 1 − exp(−m), which keeps its digits however small the mean. From 6 on by the
Cornish–Fisher expansion of Poisson's quantiles in a normal number, to the order m⁻¹ (Giles, ACM Trans. Math. Softw. 42
(2016) 7), and two terms fitted: no tail's probability down to 10⁻⁶ is then off by more than 1 % of it. Nothing is
looked up and little branches, so that a processor works on as many pixels at once as it has lanes. The same law stands
here twice, compiled for a CPU and in tensor operations for a GPU; a test keeps them equal.
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
from instruments.simulated.lanes import (
    LANES,
    as_real,
    as_words,
    chosen,
    counting,
    floored,
    how_many,
    load,
    minus,
    odd,
    polynomial,
    real,
    root,
    spread,
    store,
    whole,
)  # fmt: skip

MANY = np.float32(6.0)
_MOST = 28
"""Of a mean under MANY no more is counted: more is as rare as 10⁻¹⁰."""
_ODD, _THIRD, _FOURTH = 0x9E3779B1, 0x7FEB352D, 0x846CA68B
"""Of the counter's steps, and of a finaliser of 32 bits (Wellons, lowbias32, 2018)."""
_WORD, _TO_TAIL, _TO_UNIT = 0xFFFFFFFF, np.float32(2.0**-32), np.float32(2.0**-31)
_LEAST = np.float32(2.0**-19)
"""Rounding leaves no survival probability as much of the first, however far on: a uniform number is never less."""


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
_EXPONENTIAL = tuple(np.float32(1 / math.factorial(n)) for n in range(6, 0, -1))
"""Of (exp(x) − 1) / x."""
_LOG2_E, _LN2 = np.float32(math.log2(math.e)), (np.float32(0.693359375), np.float32(-2.12194440e-4))
"""The second in two parts, of which the first times a small whole number is exact."""
_BIAS, _FRACTION, _ONE = np.int32(127), np.int32(0x7FFFFF), np.int32(0x3F800000)
"""Of a number of 32 bits: its exponent's offset, its fraction's bits, and 1."""
_INVERSES = np.array([1 / n for n in range(1, _MOST + 1)], dtype=np.float32)


def count_(mean: torch.Tensor, seeds: torch.Tensor, scales: torch.Tensor | None = None) -> torch.Tensor:
    """Replace means by Poisson counts, in place.

    Args:
        mean: (B, H, W) float32, contiguous, ≥ 0; a NaN or negative mean counts nothing, nor does one under 2·10⁻¹⁰.
        seeds: (B,) int64, one a frame.
        scales: (B,) float32, by which the means are multiplied first.

    Raises TypeError for another type of number.
    """
    if mean.dtype != torch.float32 or seeds.dtype != torch.int64:
        raise TypeError(f"means of {mean.dtype} and seeds of {seeds.dtype} were given: give float32 and int64")
    if mean.device.type != "cpu":
        return count_tensors(mean, seeds, scales)
    factors = np.ones(len(mean), dtype=np.float32) if scales is None else scales.numpy()
    _count_compiled(mean.view(len(mean), -1).numpy(), seeds.numpy().view(np.uint64), factors)
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
    p, more = _exp_tensors(few)
    v = torch.maximum((((bits ^ _WORD) >> 1).float() + 0.5) * float(_TO_UNIT), more * float(_LEAST))
    counts = torch.zeros_like(m)
    for inverse in _INVERSES.tolist():
        counts += more > v
        p = p * (few * inverse)
        more = more - p
    q = _normal_tensors(((bits >> 1).float() + 0.5) * float(_TO_TAIL))
    m = m.clamp(min=float(MANY))
    root = torch.sqrt(m)
    w = torch.where((bits & 1) == 1, q, -q)
    fitted = _polynomial(_THIRD_ORDER, w) + 1 / root * _polynomial(_FOURTH_ORDER, w)
    many = torch.floor(_expansion.py_func(m, root, 1 / root, w, fitted)).clamp(min=0)
    flat.copy_(torch.where(flat >= float(MANY), many, counts))
    return mean


def _polynomial(coefficients: tuple[np.float32, ...], x: torch.Tensor) -> torch.Tensor:
    """``lanes.polynomial`` of a tensor."""
    value = torch.full_like(x, float(coefficients[0]))
    for c in coefficients[1:]:
        value = value * x + float(c)
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
def _count_compiled(mean, seeds, factors):
    """LANES pixels at a time, from their hash to their counts."""
    pixels, rest = mean.shape[1], np.zeros(LANES, np.float32)
    whole_blocks = pixels - pixels % LANES
    for b in range(mean.shape[0]):
        start, row = mix(seeds[b]), mean[b]
        low, high = np.uint32(start), np.uint32(start >> np.uint64(32))
        for i in range(0, whole_blocks, LANES):
            store(row, i, _counts(load(row, i) * factors[b], _bits(np.uint32(i), low, high)))
        rest[: pixels - whole_blocks] = row[whole_blocks:]
        store(rest, 0, _counts(load(rest, 0) * factors[b], _bits(np.uint32(whole_blocks), low, high)))
        row[whole_blocks:] = rest[: pixels - whole_blocks]


@numba.njit(inline="always")
def _bits(first, low, high):
    """The 32 bits of each pixel."""
    return _mix_32_compiled(_mix_32_compiled((counting() + first) * np.uint32(_ODD) + low) ^ high)


@numba.njit(inline="always")
def _mix_32_compiled(z):
    z = (z ^ (z >> np.uint32(16))) * np.uint32(_THIRD)
    z = (z ^ (z >> np.uint32(15))) * np.uint32(_FOURTH)
    return z ^ (z >> np.uint32(16))


@numba.njit(inline="always")
def _counts(scaled, bits):
    """Of LANES pixels; what is no mean counts nothing."""
    none = spread(np.float32(0))
    mean = chosen(scaled > none, scaled, none)
    many = mean >= MANY
    large = how_many(many)
    counts = none
    if large < LANES:
        counts = _few(chosen(many, none, mean), bits)
    if large > 0:
        counts = chosen(many, _many(mean, bits), counts)
    return counts


@numba.njit(inline="always")
def _few(mean, bits):
    """Of how many numbers the probability of more exceeds a uniform number."""
    none, one = spread(np.float32(0)), spread(np.float32(1))
    beyond = floored(np.float32(0.5) - mean * _LOG2_E)
    rest = minus(mean) - beyond * _LN2[0] - beyond * _LN2[1]
    scale = as_real((whole(beyond) + np.uint32(_BIAS)) << np.uint32(23))
    small = polynomial(_EXPONENTIAL, rest) * rest
    term, more, counts = (one + small) * scale, (one - scale) - small * scale, none
    v, least = (real((bits ^ np.uint32(_WORD)) >> np.uint32(1)) + np.float32(0.5)) * _TO_UNIT, more * _LEAST
    v = chosen(v > least, v, least)
    for n in range(0, _MOST, 4):
        exceeds = more > v
        # one look for the first eight: a processor that guesses wrong what comes next loses more than it takes
        if n != 4 and how_many(exceeds) == 0:
            break
        counts = chosen(exceeds, counts + one, counts)
        for k in range(3):
            term = term * (mean * _INVERSES[n + k])
            more = more - term
            counts = chosen(more > v, counts + one, counts)
        term = term * (mean * _INVERSES[n + 3])
        more = more - term
    return counts


@numba.njit(inline="always")
def _many(mean, bits):
    """Poisson's quantiles of as many normal numbers."""
    tail = (real(bits >> np.uint32(1)) + np.float32(0.5)) * _TO_TAIL
    word = as_words(tail)
    exponent = real(word >> np.uint32(23)) - np.float32(_BIAS)
    fraction = as_real((word & np.uint32(_FRACTION)) | np.uint32(_ONE)) - np.float32(1)
    logarithm = polynomial(_LOGARITHM, fraction) + exponent * _OCTAVE
    normal = polynomial(_NORMAL, (root(logarithm) - _MIDDLE) * _PER_HALF_WIDTH)
    w = chosen(odd(bits), normal, minus(normal))
    mean = chosen(mean > MANY, mean, spread(MANY))
    deviation = root(mean)
    inverse = spread(np.float32(1)) / deviation
    fitted = polynomial(_THIRD_ORDER, w) + inverse * polynomial(_FOURTH_ORDER, w)
    counts, none = floored(_expansion(mean, deviation, inverse, w, fitted)), spread(np.float32(0))
    return chosen(counts > none, counts, none)


def _exp_tensors(m: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(−m) and 1 − exp(−m), step by step as they are compiled."""
    whole = torch.floor(0.5 - m * float(_LOG2_E))
    rest = -m - whole * float(_LN2[0]) - whole * float(_LN2[1])
    scale = ((whole.int() + int(_BIAS)) << 23).view(torch.float32)
    small = _polynomial(_EXPONENTIAL, rest) * rest
    return (1 + small) * scale, (1 - scale) - small * scale


def _normal_tensors(tail: torch.Tensor) -> torch.Tensor:
    """The normal numbers above 0 with such tails, step by step as it is compiled."""
    word = tail.view(torch.int32)
    exponent = ((word >> 23) - int(_BIAS)).float()
    fraction = ((word & int(_FRACTION)) | int(_ONE)).view(torch.float32) - 1
    logarithm = _polynomial(_LOGARITHM, fraction) + exponent * float(_OCTAVE)
    return torch.as_tensor(_polynomial(_NORMAL, (logarithm.sqrt() - float(_MIDDLE)) * float(_PER_HALF_WIDTH)))


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
