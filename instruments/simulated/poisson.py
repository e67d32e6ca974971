"""Counting statistics for batches of frames: a pixel's number is a hash of its frame's seed and its index.

Under 16: Poisson(m) = Poisson(⌊8m⌋/8), by a table of quantiles, + Poisson(m mod 1/8), by inversion up to 3.
From 16 on: a table of normal quantiles with the Cornish–Fisher corrections for skewness and kurtosis. Both tables have
finer steps, of 10⁻⁶ and less, at their ends, so that tails hold. numpy's exact sampler is 10 times slower.
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


@numba.njit(cache=True)
def _count_compiled(mean, seeds, table, ends, normals, normal_ends):
    one, half = np.float32(1), np.float32(0.5)
    for b in range(mean.shape[0]):
        start = mix(seeds[b])
        row = mean[b]
        for i in range(row.size):
            m = row[i]
            if not m > 0:
                row[i] = 0
                continue
            bits = mix(start + np.uint64(i) * _GOLDEN)
            if m < np.float32(MANY):
                few = min(m, np.float32(MANY - 1e-3))
                step = np.uint32(few * np.float32(_STEPS))  # unsigned: no index counts from the end
                place = np.uint32(bits >> np.uint64(64 - _BITS))
                if np.uint32(place - np.uint32(_END)) < np.uint32((1 << _BITS) - 2 * _END):
                    k = np.int32(table[step, place])
                else:
                    k = np.int32(ends[step, _end(bits, place, _BITS)])
                rest = few - np.float32(step) * np.float32(1 / _STEPS)
                u = np.float32(np.uint32(bits >> np.uint64(8)) & np.uint32(0xFFFFFF)) * np.float32(2.0**-24)
                below = _exponential(rest)
                if u > below:
                    k += 1 + (u > below * (one + rest)) + (u > below * (one + rest + rest * rest * half))
                row[i] = np.float32(k)
            else:
                place = np.uint32(bits >> np.uint64(64 - _NORMAL_BITS))
                if np.uint32(place - np.uint32(_END)) < np.uint32((1 << _NORMAL_BITS) - 2 * _END):
                    q = normals[place]
                else:
                    q = normal_ends[_end(bits, place, _NORMAL_BITS)]
                root = np.sqrt(m)
                k = np.floor(m + root * q + (q * q - one) * _SIXTH - (q * q * q - q) * _KURTOSIS / root + half)
                row[i] = max(k, np.float32(0))


@numba.njit(inline="always")
def _end(bits, place, width):
    """Index in the finer ends of a table."""
    fine = np.uint32(bits >> np.uint64(64 - width - _FINE_BITS)) & np.uint32(_FINE - 1)
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
