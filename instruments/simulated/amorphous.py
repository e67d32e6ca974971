"""Amorphous bodies where atoms show, compiled: so many at random places that the image varies as that of all of them.

Atoms that know nothing of each other make a spectrum that is white, with the variance of a Poisson number. Of a thick
body only some are drawn, each for several, and the rest is spread evenly, so that mean and variance stay theirs.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated import film as films
from instruments.simulated import shapes
from instruments.simulated.counter import at, key, unit
from instruments.simulated.splatting import kept, splat, to_pixel

_SQUARE_NM = 0.25
"""Atoms are drawn square by square."""
_MOST = 8.0
"""Points of a square, on average, at most."""
_COUNT, _TEXTURE = 1 << 20, 1 << 21
"""Numbers of a square that are no place of a point."""


@numba.njit(inline="always", cache=True)
def _points_share(atoms):
    """Share of a square's atoms that its points stand for: then √(points) × what each is = √(atoms)."""
    return 1.0 if atoms <= _MOST else math.sqrt(_MOST / atoms)


@numba.njit(cache=True)
def _count(mean, bits):
    """A Poisson number, by inversion."""
    u, p, k = unit(at(bits, _COUNT, 0)), math.exp(-mean), 0
    total = p
    while u > total and k < 64:
        k += 1
        p *= mean / k
        total += p
    return k


@numba.njit(cache=True)
def film_atoms(out, view, box, seed, film, paths, populations, near):
    """Add an amorphous film to ``out`` (S, H, W)."""
    start, material, per_nm2 = key(seed, films.S_ATOM), int(film[films.MATERIAL]), film[films.ATOMS]
    i0, i1 = math.floor(box[0] / _SQUARE_NM), math.floor(box[1] / _SQUARE_NM) + 1
    j0, j1 = math.floor(box[2] / _SQUARE_NM), math.floor(box[3] / _SQUARE_NM) + 1
    even = np.zeros((i1 - i0, j1 - j0))
    steady = len(near) == 0 and film[films.HOLES] == films.NO_HOLES
    for i in range(i0, i1):
        for j in range(j0, j1):
            x, y = (i + 0.5) * _SQUARE_NM, (j + 0.5) * _SQUARE_NM
            t = films.film_nm(seed, film, x, y, 0.2) - shapes.embedded_nm(populations, near, x, y)
            if t <= 0:
                continue
            bits = at(start, i, j)
            atoms = per_nm2 * t * _SQUARE_NM**2
            share, drawn = _points_share(atoms), min(atoms, _MOST)
            more = max(1 + film[films.TEXTURE] * 3.4641016 * (unit(at(bits, _TEXTURE, 0)) - 0.5), 0.0)
            even[i - i0, j - j0] = (1 - share) * more * t
            for n in range(_count(drawn, bits)):
                x, y = (i + unit(at(bits, n, 0))) * _SQUARE_NM, (j + unit(at(bits, n, 1))) * _SQUARE_NM
                if not steady:
                    t = films.film_nm(seed, film, x, y, 0.2) - shapes.embedded_nm(populations, near, x, y)
                    if t <= 0:
                        continue
                column, row = to_pixel(view, x, y)
                factor = more * share / drawn * t * _SQUARE_NM**2 / view[10]
                splat(out, column, row, paths, material, 0, factor, t, paths, material)
    if even.max() == 0:
        return
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            x, y = view[0] + view[2] * c + view[4] * r, view[1] + view[3] * c + view[5] * r
            t = even[math.floor(x / _SQUARE_NM) - i0, math.floor(y / _SQUARE_NM) - j0]
            for s in range(out.shape[0]):
                out[s, r, c] += t * paths[material, s] * kept(film[films.THICK] * paths[material, s])


@numba.njit(cache=True)
def body_atoms(out, view, part, found, population, paths, material, layer):
    """Add the shell (layer 0) or the core of an amorphous particle within a box of places."""
    x0, y0, turn = found[1], found[2], found[4]
    cos, sin = math.cos(turn), math.sin(turn)
    per_nm2 = population[shapes.ATOMS] if layer == 0 else population[shapes.CORE_ATOMS]
    start = key(np.int64(x0 * 1e3), np.int64(y0 * 1e3))
    for i in range(math.floor((part[0] - x0) / _SQUARE_NM), math.floor((part[1] - x0) / _SQUARE_NM) + 1):
        for j in range(math.floor((part[2] - y0) / _SQUARE_NM), math.floor((part[3] - y0) / _SQUARE_NM) + 1):
            t = _layer_nm(population, found, layer, cos, sin, (i + 0.5) * _SQUARE_NM, (j + 0.5) * _SQUARE_NM)
            if t <= 0:
                continue
            bits = at(start, i, j)
            atoms = per_nm2 * t * _SQUARE_NM**2
            drawn = min(atoms, _MOST)
            factor = _points_share(atoms) / drawn * t * _SQUARE_NM**2 / view[10]
            for n in range(_count(drawn, bits)):
                x, y = x0 + (i + unit(at(bits, n, 0))) * _SQUARE_NM, y0 + (j + unit(at(bits, n, 1))) * _SQUARE_NM
                column, row = to_pixel(view, x, y)
                splat(out, column, row, paths, material, 0, factor, t, paths, material)
    column, row = to_pixel(view, x0, y0)
    size = found[3] * found[5] * 1.2 / math.sqrt(view[10]) + 1
    for r in range(max(int(row - size), 0), min(int(row + size) + 2, out.shape[1])):
        for c in range(max(int(column - size), 0), min(int(column + size) + 2, out.shape[2])):
            x, y = view[0] + view[2] * c + view[4] * r, view[1] + view[3] * c + view[5] * r
            t = _layer_nm(population, found, layer, cos, sin, x - x0, y - y0)
            if t > 0:
                even = t * (1 - _points_share(per_nm2 * t * _SQUARE_NM**2))
                for s in range(out.shape[0]):
                    out[s, r, c] += even * paths[material, s] * kept(t * paths[material, s])


@numba.njit(cache=True)
def _layer_nm(population, found, layer, cos, sin, dx, dy):
    """Thickness of the shell or the core, so far from a particle's centre."""
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    shell, core = shapes.layers(population, found[3], found[5], found[6], 0.2, u, v)
    return shell if layer == 0 else core
