"""Counting statistics for batches of frames: a pixel's number is a hash of its frame's seed and its index.

Under 16: Poisson(m) = Poisson(⌊8m⌋/8), by a table of quantiles, + Poisson(m mod 1/8), by inversion up to 3.
From 16 on: a table of normal quantiles with the Cornish–Fisher corrections for skewness and kurtosis. Both tables have
finer steps, of 10⁻⁶ and less, at their ends, so that tails hold. numpy's exact sampler is 20 times slower.
The same law stands here twice, compiled for a CPU and in tensor operations for a GPU; a test keeps them equal.
"""

from __future__ import annotations

from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from scipy.stats import poisson

from instruments.simulated.counter import mix
from instruments.simulated.hashing import FIRST, SECOND, STEP

MANY = 16.0
_STEPS = 8
_BITS, _NORMAL_BITS = 12, 14
_END, _FINE_BITS = 32, 6
"""A table has 2^BITS entries; each of the END first and last of them is split into 2^FINE_BITS."""
_FINE = 1 << _FINE_BITS
_RUN = 1024
"""Pixels counted together: what is kept about them stays in the processor's nearest cache."""
_GOLDEN = np.uint64(STEP)
_SIXTH, _KURTOSIS = np.float32(1 / 6), np.float32(1 / 72)
_SERIES = tuple(np.float32(value) for value in (1 / 2, 1 / 6, 1 / 24))


@numba.njit(inline="always")
def _exponential(r):
    """exp(−r) for 0 ≤ r < 1/8, to 3·10⁻⁷."""
    return np.float32(1) - r + r * r * _SERIES[0] - r * r * r * _SERIES[1] + r * r * r * r * _SERIES[2]


def count_(mean: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """Replace means by Poisson counts, in place.

    Args:
        mean: (B, H, W) float32, contiguous, ≥ 0; a NaN or negative mean counts nothing.
        seeds: (B,) int64, one a frame.

    Raises:
        TypeError: another type of number.
    """
    if mean.dtype != torch.float32 or seeds.dtype != torch.int64:
        raise TypeError(f"means of {mean.dtype} and seeds of {seeds.dtype} were given: give float32 and int64")
    if mean.device.type == "cpu":
        flat = mean.view(len(mean), -1).numpy()
        _count_compiled(flat, seeds.numpy().view(np.uint64), *_tables())
        return mean
    return count_tensors(mean, seeds)


def count_tensors(mean: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """``count_`` in tensor operations, for any device."""
    flat = mean.view(len(mean), -1)
    table, ends, normals, normal_ends = (torch.from_numpy(values).to(mean.device) for values in _tables())
    index = torch.arange(flat.shape[1], device=mean.device, dtype=torch.int64)
    bits = _mix(_mix(seeds.to(mean.device))[:, None] + index[None, :] * _signed(STEP))
    m = torch.where(flat > 0, flat, torch.zeros_like(flat))  # also NaN
    few = torch.clamp(m, max=MANY - 1e-3)
    step = (few * _STEPS).long()
    place, end, at_end = _places(bits, _BITS)
    counts = torch.where(at_end, ends[step, end], table[step, place]).float()
    rest = few - step.float() * (1 / _STEPS)
    u = (_shift(bits, 8) & 0xFFFFFF).float() * 2.0**-24
    below = _exponential.py_func(rest)
    counts = counts + (u > below).float() + (u > below * (1 + rest)).float()
    counts = counts + (u > below * (1 + rest + rest * rest * 0.5)).float()
    place, end, at_end = _places(bits, _NORMAL_BITS)
    q = torch.where(at_end, normal_ends[end], normals[place])
    root = torch.sqrt(m)
    many = torch.floor(m + root * q + (q * q - 1) * _SIXTH - (q * q * q - q) * _KURTOSIS / root + 0.5)
    flat.copy_(torch.where(m < MANY, counts, many.clamp(min=0)))
    return mean


def _places(bits: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Index in a table, index in its finer ends, and whether the ends are to be asked."""
    place = _shift(bits, 64 - width)
    last = (1 << width) - _END
    fine = _shift(bits, 64 - width - _FINE_BITS) & (_FINE - 1)
    end = torch.where(place < _END, place, place - last + _END).clamp(0, 2 * _END - 1)
    return place, end * _FINE + fine, (place < _END) | (place >= last)


@numba.njit(cache=True, error_model="numpy")
def _count_compiled(mean, seeds, table, ends, normals, normal_ends):
    """Run by run, one loop a step: only a loop without branches and look-ups works on 16 pixels at once."""
    # each an array of its own: of rows of one, the compiler cannot tell that they do not overlap
    upper, place, found = np.empty(_RUN, np.uint32), np.empty(_RUN, np.uint32), np.empty(_RUN, np.uint32)
    part, normal = np.empty(_RUN, np.float32), np.empty(_RUN, np.float32)
    few, many = np.empty(_RUN, np.float32), np.empty(_RUN, np.float32)
    for b in range(mean.shape[0]):
        start = mix(seeds[b])
        for first in range(0, mean.shape[1], _RUN):
            row = mean[b, first : first + _RUN]
            large = _hash(row, start, np.uint64(first), upper, part)
            if large < row.size:
                _place_few(row, upper, place)
                _find_few(row, upper, place, table, ends, found)
                _count_few(row, part, found, few)
            if large > 0:
                _find_many(row, upper, normals, normal_ends, normal)
                _count_many(row, normal, many)
            for i in range(row.size):
                row[i] = few[i] if row[i] < np.float32(MANY) else many[i]


@numba.njit(cache=True, error_model="numpy")
def _hash(row, start, first, upper, part):
    """The upper 32 bits of each pixel's hash, and 24 of the lower as a number in [0, 1); returns how many are many.

    What is no mean becomes 0.
    """
    large = 0
    for i in range(row.size):
        row[i] = row[i] if row[i] > np.float32(0) else np.float32(0)
        large += row[i] >= np.float32(MANY)
    for i in range(row.size):
        bits = mix(start + (first + np.uint64(i)) * _GOLDEN)
        upper[i] = np.uint32(bits >> np.uint64(32))
        part[i] = np.float32(np.int32(np.uint32(bits >> np.uint64(8)) & np.uint32(0xFFFFFF))) * np.float32(2.0**-24)
    return large


@numba.njit(cache=True, error_model="numpy")
def _place_few(row, upper, place):
    """Flat indices in the table of quantiles."""
    for i in range(row.size):
        step = np.int32(_below_many(row[i]) * np.float32(_STEPS))
        place[i] = (np.uint32(step) << np.uint32(_BITS)) | (upper[i] >> np.uint32(32 - _BITS))


@numba.njit(cache=True, error_model="numpy")
def _find_few(row, upper, place, table, ends, found):
    flat = table.ravel()
    for i in range(row.size):
        if _is_middle(upper[i], _BITS):
            found[i] = flat[place[i]]
        else:
            found[i] = ends[place[i] >> np.uint32(_BITS), _end(upper[i], _BITS)]


@numba.njit(cache=True, error_model="numpy")
def _count_few(row, part, found, few):
    one, none, half = np.float32(1), np.float32(0), np.float32(0.5)
    for i in range(row.size):
        m, u = _below_many(row[i]), part[i]
        rest = m - np.float32(np.int32(m * np.float32(_STEPS))) * np.float32(1 / _STEPS)
        below = _exponential(rest)
        k = np.float32(np.int32(found[i])) + (one if u > below else none)
        k += one if u > below * (one + rest) else none
        few[i] = k + (one if u > below * (one + rest + rest * rest * half) else none)


@numba.njit(cache=True, error_model="numpy")
def _find_many(row, upper, normals, normal_ends, normal):
    for i in range(row.size):
        if _is_middle(upper[i], _NORMAL_BITS):
            normal[i] = normals[upper[i] >> np.uint32(32 - _NORMAL_BITS)]
        else:
            normal[i] = normal_ends[_end(upper[i], _NORMAL_BITS)]


@numba.njit(cache=True, error_model="numpy")
def _count_many(row, normal, many):
    one, none, half = np.float32(1), np.float32(0), np.float32(0.5)
    for i in range(row.size):
        m, q = row[i], normal[i]
        root = np.sqrt(m)
        k = np.floor(m + root * q + (q * q - one) * _SIXTH - (q * q * q - q) * _KURTOSIS / root + half)
        many[i] = k if k > none else none


@numba.njit(inline="always")
def _below_many(m):
    return m if m < np.float32(MANY - 1e-3) else np.float32(MANY - 1e-3)


@numba.njit(inline="always")
def _is_middle(upper, width):
    """Whether a hash falls between a table's ends."""
    place = np.uint32(upper >> np.uint32(32 - width))
    return np.uint32(place - np.uint32(_END)) < np.uint32((1 << width) - 2 * _END)


@numba.njit(inline="always")
def _end(upper, width):
    """Index in the finer ends of a table."""
    place = np.uint32(upper >> np.uint32(32 - width))
    fine = np.uint32(upper >> np.uint32(32 - width - _FINE_BITS)) & np.uint32(_FINE - 1)
    first = place if place < np.uint32(_END) else np.uint32(place - np.uint32((1 << width) - 2 * _END))
    return np.uint32(first * np.uint32(_FINE) + fine)


def _mix(z: torch.Tensor) -> torch.Tensor:
    z = (z ^ _shift(z, 30)) * _signed(FIRST)
    z = (z ^ _shift(z, 27)) * _signed(SECOND)
    return z ^ _shift(z, 31)


def _shift(z: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift to the right: tensors have no unsigned 64-bit arithmetic."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


@lru_cache(maxsize=1)
def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Poisson quantiles (128, 2^12) and their ends (128, 2 · END · FINE); normal quantiles (2^14,) and their ends."""
    middles, ends = _probabilities(_BITS)
    normal_middles, normal_ends = _probabilities(_NORMAL_BITS)
    return (
        _quantiles(middles),
        _quantiles(ends),
        ndtri(normal_middles).astype(np.float32),
        ndtri(normal_ends).astype(np.float32),
    )


def _probabilities(width: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The middles of a table's equal steps of probability, and of the finer steps at its ends."""
    fine = (np.arange(_END * _FINE) + 0.5) / (_FINE << width)
    return (np.arange(1 << width) + 0.5) / (1 << width), np.concatenate([fine, 1 - fine[::-1]])


def _quantiles(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    means = np.arange(int(MANY) * _STEPS)[:, None] / _STEPS
    found = poisson.ppf(probabilities[None, :], np.maximum(means, 1e-300))
    return np.ascontiguousarray(np.maximum(found, 0).astype(np.uint8))
