"""Where a place lies in a view, and how a point there is shared between pixels, compiled."""

from __future__ import annotations

import math

import numba


@numba.njit(cache=True)
def bounds(start, across, down):
    """Least and largest coordinate of a view: of its first pixel, plus what its last column and row add."""
    return start + min(across, 0.0) + min(down, 0.0), start + max(across, 0.0) + max(down, 0.0)


@numba.njit(cache=True)
def to_pixel(view, x, y):
    """(column, row) of a place."""
    dx, dy = x - view[0], y - view[1]
    return dx * view[6] + dy * view[7], dx * view[8] + dy * view[9]


@numba.njit(cache=True)  # inlined by numba itself, arrays would be counted in and out for every point
def splat(out, column, row, weights, n, first, factor, t, paths, material):
    """Share a point of ``weights[n, first:]`` between the four pixels round it, in a body ``t`` nm thick."""
    height, width = out.shape[1:]
    c, r = math.floor(column), math.floor(row)
    f, g = column - c, row - r
    if 0 <= c < width - 1 and 0 <= r < height - 1:
        for s in range(out.shape[0]):
            w = weights[n, first + s] * factor * kept(t * paths[material, s])
            right, low = w * f, w * g
            out[s, r, c] += w - right - low + right * g
            out[s, r, c + 1] += right - right * g
            out[s, r + 1, c] += low - right * g
            out[s, r + 1, c + 1] += right * g


@numba.njit(inline="always", cache=True)
def kept(depth):
    """(1 − exp(−depth)) / depth: what of single scattering remains in a thick body."""
    return 1 - depth / 2 + depth * depth / 6 if depth < 0.1 else (1 - math.exp(-depth)) / depth
