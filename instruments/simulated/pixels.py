"""A view where no atom shows, compiled: every body by how thick it is under each pixel."""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated import film as films
from instruments.simulated import shapes
from instruments.simulated.counter import key, nodes, noise_among
from instruments.simulated.splatting import bounds, to_pixel

_TEXTURE_NM = 1.5
"""Distance of the bumps of an amorphous film."""
_NOWHERE_NM = 1e9
"""Of nodes that nobody asks for."""


@numba.njit(cache=True)
def _nodes(view, height, width, start, grain_nm):
    """The nodes of a random field under a view, where they are fewer than its pixels."""
    low_x, high_x = bounds(view[0], view[2] * (width - 1), view[4] * (height - 1))
    low_y, high_y = bounds(view[1], view[3] * (width - 1), view[5] * (height - 1))
    edge = 1e-6 * grain_nm  # sums of steps are rounded
    box = (low_x - edge) / grain_nm, (high_x + edge) / grain_nm, (low_y - edge) / grain_nm, (high_y + edge) / grain_nm
    return nodes(start, box[0], box[1], box[2], box[3], height * width)


@numba.njit(cache=True)
def _film_nm(film, start, waves, x, y):
    """``film.unbroken_nm`` from nodes."""
    if film[films.VARIATION] == 0:
        return film[films.THICK]
    return films.waved_nm(film, noise_among(start, waves, x / film[films.WAVE_NM], y / film[films.WAVE_NM]))


@numba.njit(cache=True)
def film_pixels(out, view, seed, film, paths):
    """Add the film's depth, its grains told apart by how well they channel."""
    height, width = out.shape[1:]
    pixel = math.sqrt(view[10])
    path, pitch, edge = paths[int(film[films.MATERIAL])], film[films.GRAIN_NM], max(pixel, 0.5)
    grains = pitch > 0 and film[films.CONTRAST] > 0 and pitch > pixel
    start = key(seed, films.S_TEXTURE)
    texture = film[films.TEXTURE] * 0.3 / (1 + pixel)
    stride = 8 if film[films.WAVE_NM] > 64 * pixel else 1  # between, slow waves are as good as straight
    wave, thick = film[films.WAVE_NM], key(seed, films.S_THICK)
    waves = _nodes(view, height + stride, width + stride, thick, wave if film[films.VARIATION] > 0 else _NOWHERE_NM)
    bumps = _nodes(view, height, width, start, _TEXTURE_NM if texture > 0 else _NOWHERE_NM)
    lacey, lace = film[films.HOLES] == films.LACEY, key(seed, films.S_LACE)
    threads = _nodes(view, height, width, lace, film[films.HOLE_PITCH_NM] if lacey else _NOWHERE_NM)
    last_i, last_j = np.int64(1 << 60), np.int64(0)
    seeds = np.empty((9, 3))
    left, right = 0.0, 0.0
    for r in range(height):
        for c in range(width):
            x = view[0] + view[2] * c + view[4] * r
            y = view[1] + view[3] * c + view[5] * r
            part = c & (stride - 1)
            if part == 0:
                left = right if c and stride > 1 else _film_nm(film, thick, waves, x, y)
                right = left
                if stride > 1:
                    right = _film_nm(film, thick, waves, x + stride * view[2], y + stride * view[3])
            t = left + (right - left) * part / stride
            if lacey:
                field = noise_among(lace, threads, x / film[films.HOLE_PITCH_NM], y / film[films.HOLE_PITCH_NM])
                t *= films.laced(film, field, edge)
            elif film[films.HOLES] != films.NO_HOLES:
                t *= films.solid(seed, film, x, y, edge)
            if t <= 0:
                continue
            if grains:
                i, j = np.int64(math.floor(x / pitch)), np.int64(math.floor(y / pitch))
                if i != last_i or j != last_j:
                    last_i, last_j = i, j
                    for k in range(9):
                        seeds[k, 0], seeds[k, 1], bits = films.grain_seed(seed, film, i + k // 3 - 1, j + k % 3 - 1)
                        seeds[k, 2] = films.grain_factor(film, bits)
                nearest, factor = 1e300, 1.0
                for k in range(9):
                    away = (x - seeds[k, 0]) ** 2 + (y - seeds[k, 1]) ** 2
                    if away < nearest:
                        nearest, factor = away, seeds[k, 2]
                t *= factor
            if texture > 0:
                t *= max(1 + texture * noise_among(start, bumps, x / _TEXTURE_NM, y / _TEXTURE_NM), 0.1)
            for s in range(out.shape[0]):
                out[s, r, c] += t * path[s]


@numba.njit(cache=True)
def particle_pixels(out, view, found, population, film, paths):
    """Add the depth of one particle; an embedded one takes the place of film."""
    height, width = out.shape[1:]
    pixel = math.sqrt(view[10])
    x0, y0, radius, turn, aspect = found[1], found[2], found[3], found[4], found[5]
    shell_path, core = paths[int(population[shapes.MATERIAL])], int(population[shapes.CORE])
    embedded, under = population[shapes.EMBEDDED] > 0, paths[int(film[films.MATERIAL])]
    column, row = to_pixel(view, x0, y0)
    cos, sin = math.cos(turn), math.sin(turn)
    size = radius * aspect * 1.2 / pixel + 1
    # a particle of few pixels is sampled more finely than its pixels
    fine = int(min(max(math.ceil(4 * pixel / radius), 1), 8)) if pixel > 0.3 * radius else 1
    for r in range(max(int(row - size), 0), min(int(row + size) + 2, height)):
        for c in range(max(int(column - size), 0), min(int(column + size) + 2, width)):
            for k in range(fine * fine):
                cc, rr = c + (k // fine + 0.5) / fine - 0.5, r + (k % fine + 0.5) / fine - 0.5
                dx = view[0] + view[2] * cc + view[4] * rr - x0
                dy = view[1] + view[3] * cc + view[5] * rr - y0
                u, v = dx * cos + dy * sin, dy * cos - dx * sin
                shell_nm, core_nm = shapes.layers(population, radius, aspect, found[6], max(pixel / fine, 0.2), u, v)
                if shell_nm + core_nm <= 0:
                    continue
                for s in range(out.shape[0]):
                    depth = shell_nm * shell_path[s]
                    if core >= 0:
                        depth += core_nm * paths[core, s]
                    if embedded:
                        depth -= (shell_nm + core_nm) * under[s]
                    out[s, r, c] += depth / (fine * fine)


@numba.njit(cache=True)
def mean_pixels(out, view, seed, population, volumes, paths):
    """Particles too many to tell apart: their mean thickness."""
    cell = population[shapes.CELL]
    shell, core = paths[int(population[shapes.MATERIAL])], int(population[shapes.CORE])
    mean = population[shapes.CHANCE] / cell**2
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            x, y = view[0] + view[2] * c + view[4] * r, view[1] + view[3] * c + view[5] * r
            t = mean * shapes.crowding(seed, population, x, y)
            for s in range(out.shape[0]):
                out[s, r, c] += t * (volumes[0] * shell[s] + (volumes[1] * paths[core, s] if core >= 0 else 0.0))
