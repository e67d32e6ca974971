"""A view where atoms show, compiled: every body by its columns of atoms, each as thick as the body is there."""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated import film as films
from instruments.simulated import shapes
from instruments.simulated.amorphous import body_atoms
from instruments.simulated.counter import at, key, nodes, noise_among, unit
from instruments.simulated.splatting import bounds, splat, to_pixel

AX, AY, BX, BY, FIRST, LAST, FIELDS = range(7)
"""Columns of a table of lattices: two vectors in nm, first site and the one after the last."""
_MOST_NODES = 64
"""Of the waves of a film's thickness: under so many, those of a view are known beforehand."""


@numba.njit(cache=True)
def _cells(box, x0, y0, ax, ay, bx, by):
    """First cell and the one after the last, along either vector of a lattice, that may touch a box of places."""
    det = ax * by - ay * bx
    low_u, high_u, low_v, high_v = math.inf, -math.inf, math.inf, -math.inf
    for x in box[:2]:
        for y in box[2:]:
            u, v = ((x - x0) * by - (y - y0) * bx) / det, ((y - y0) * ax - (x - x0) * ay) / det
            low_u, high_u, low_v, high_v = min(low_u, u), max(high_u, u), min(low_v, v), max(high_v, v)
    return math.floor(low_u) - 1, math.ceil(high_u) + 1, math.floor(low_v) - 1, math.ceil(high_v) + 1


@numba.njit(cache=True)
def film_columns(out, view, box, seed, film, lattices, sites, doped, paths, populations, near):
    """A crystalline film, grain by grain."""
    pitch = film[films.GRAIN_NM]
    pairs = films.defects(seed, film, box[0], box[1], box[2], box[3])
    if pitch == 0:
        _grain_columns(out, view, box, seed, film, lattices, sites, doped, paths, populations, near, pairs, 0.0, 0.0,
                       film[films.ANGLE_RAD], 0, 0, True)  # fmt: skip
        return
    i, j = films.grain_at(seed, film, box[0], box[2])
    alone = True  # grains are convex: a box with its corners in one lies in it
    for x in box[:2]:
        for y in box[2:]:
            alone = alone and films.grain_at(seed, film, x, y) == (i, j)
    if alone:
        x, y, bits = films.grain_seed(seed, film, i, j)
        _grain_columns(out, view, box, seed, film, lattices, sites, doped, paths, populations, near, pairs, x, y,
                       films.grain_angle(film, bits), i, j, True)  # fmt: skip
        return
    for i in range(math.floor(box[0] / pitch) - 1, math.floor(box[1] / pitch) + 2):
        for j in range(math.floor(box[2] / pitch) - 1, math.floor(box[3] / pitch) + 2):
            x, y, bits = films.grain_seed(seed, film, i, j)
            far = 1.5 * pitch
            part = (max(box[0], x - far), min(box[1], x + far), max(box[2], y - far), min(box[3], y + far))
            if part[0] < part[1] and part[2] < part[3]:
                _grain_columns(out, view, part, seed, film, lattices, sites, doped, paths, populations, near, pairs, x,
                               y, films.grain_angle(film, bits), i, j, False)  # fmt: skip


@numba.njit(cache=True)
def _grain_columns(out, view, box, seed, film, lattices, sites, doped, paths, populations, near, pairs, x0, y0, turn,
                   grain_i, grain_j, alone):  # fmt: skip
    """The atomic columns of one grain within a box of places; its lattice starts at its seed."""
    lattice = lattices[int(film[films.LATTICE])]
    cos, sin = math.cos(turn), math.sin(turn)
    ax, ay = cos * lattice[AX] - sin * lattice[AY], sin * lattice[AX] + cos * lattice[AY]
    bx, by = cos * lattice[BX] - sin * lattice[BY], sin * lattice[BX] + cos * lattice[BY]
    first_i, last_i, first_j, last_j = _cells(box, x0, y0, ax, ay, bx, by)
    disturbed = film[films.VACANCY] + film[films.DOPANT] > 0
    seeds = np.empty((24, 2))
    others = 0
    if not alone:
        for i in range(grain_i - 2, grain_i + 3):
            for j in range(grain_j - 2, grain_j + 3):
                if i != grain_i or j != grain_j:
                    seeds[others, 0], seeds[others, 1], _ = films.grain_seed(seed, film, i, j)
                    others += 1
    material = int(film[films.MATERIAL])
    start = key(seed, films.S_SITE) ^ at(key(seed, films.S_GRAIN), grain_i, grain_j)
    flat = film[films.HOLES] == films.NO_HOLES  # then the thickness varies slowly: once a cell is enough
    margin = 2 + 2 * max(math.hypot(ax, ay), math.hypot(bx, by)) / math.sqrt(view[10])
    thickness, wave = key(seed, films.S_THICK), film[films.WAVE_NM]
    waves = _waves(view, out.shape[1:], margin, thickness, wave if film[films.VARIATION] > 0 else math.inf)
    for i in range(first_i, last_i):
        for j in range(first_j, last_j):
            cell_x, cell_y = x0 + i * ax + j * bx, y0 + i * ay + j * by
            column, row = to_pixel(view, cell_x, cell_y)
            if column < -margin or row < -margin or column > out.shape[2] + margin or row > out.shape[1] + margin:
                continue
            thick = film[films.THICK]
            if flat and film[films.VARIATION] > 0:
                thick = films.waved_nm(film, noise_among(thickness, waves, cell_x / wave, cell_y / wave))
            bits = at(start, i, j) if disturbed else np.uint64(0)
            moved_x, moved_y, at_core = 0.0, 0.0, False
            if len(pairs):
                at_core, u, v = films.displacement(film, pairs, cell_x, cell_y)
                moved_x, moved_y = cos * u - sin * v, sin * u + cos * v
            if films.other_phase(seed, film, cell_x, cell_y):
                moved_x += 0.5 * (ax + bx)
                moved_y += 0.5 * (ay + by)
            for n in range(int(lattice[FIRST]), int(lattice[LAST])):
                x = cell_x + sites[n, 0] * ax + sites[n, 1] * bx
                y = cell_y + sites[n, 0] * ay + sites[n, 1] * by
                if not alone and not _nearest(x, y, x0, y0, seeds, others):
                    continue
                if at_core:
                    _, u, v = films.displacement(film, pairs, x, y)
                    x += cos * u - sin * v
                    y += sin * u + cos * v
                else:
                    x += moved_x
                    y += moved_y
                t = thick if flat else films.film_nm(seed, film, x, y, 0.2)
                if len(near):
                    t -= shapes.embedded_nm(populations, near, x, y)
                if t <= 0:
                    continue
                column, row = to_pixel(view, x, y)
                factor = t / view[10]
                if disturbed:
                    chance = unit(at(bits, n, 0))
                    if chance < film[films.VACANCY]:
                        factor *= 0.5  # of the atoms of a column, some are missing
                    elif chance > 1 - film[films.DOPANT]:
                        splat(out, column, row, doped, n, 0, factor, t, paths, material)
                        continue
                splat(out, column, row, sites, n, 2, factor, t, paths, material)


@numba.njit(cache=True)
def doped_cells(seed, first_i, last_i, first_j, last_j, holds, vacancy, dopant):
    """(3, N) cells and sites that the painter of atoms draws with the dopant."""
    found = [(0, 0, 0) for _ in range(0)]
    start = key(seed, films.S_SITE) ^ at(key(seed, films.S_GRAIN), 0, 0)
    for i in range(first_i, last_i):
        for j in range(first_j, last_j):
            bits = at(start, i, j)
            for n in range(len(holds)):
                chance = unit(at(bits, n, 0))
                if holds[n] and chance >= vacancy and chance > 1 - dopant:
                    found.append((i, j, n))
    out = np.empty((3, len(found)), dtype=np.int64)
    for k in range(len(found)):
        out[0, k], out[1, k], out[2, k] = found[k]
    return out


@numba.njit(cache=True)
def _waves(view, shape, margin, start, wave_nm):
    """The nodes of the film's thickness under a view and so many pixels round it; none of waves without end."""
    far = margin * (abs(view[2]) + abs(view[3]) + abs(view[4]) + abs(view[5]))
    low_x, high_x = bounds(view[0], view[2] * (shape[1] - 1), view[4] * (shape[0] - 1))
    low_y, high_y = bounds(view[1], view[3] * (shape[1] - 1), view[5] * (shape[0] - 1))
    if wave_nm == math.inf:
        return nodes(start, 0.0, 0.0, 0.0, 0.0, 0)
    return nodes(
        start, (low_x - far) / wave_nm, (high_x + far) / wave_nm, (low_y - far) / wave_nm, (high_y + far) / wave_nm,
        _MOST_NODES,
    )  # fmt: skip


@numba.njit(cache=True)
def _nearest(x, y, x0, y0, seeds, others):
    """Whether (x0, y0) is nearer to a place than all other seeds."""
    own = (x - x0) ** 2 + (y - y0) ** 2
    for k in range(others):
        if (x - seeds[k, 0]) ** 2 + (y - seeds[k, 1]) ** 2 < own:
            return False
    return True


@numba.njit(cache=True)
def particle_columns(out, view, box, found, population, lattices, sites, paths):
    """The atoms of one particle: on its own lattice, of two orientations where it is twinned; at random without one."""
    x0, y0, radius, aspect = found[1], found[2], found[3], found[5]
    size = radius * aspect * 1.2
    part = (max(box[0], x0 - size), min(box[1], x0 + size), max(box[2], y0 - size), min(box[3], y0 + size))
    if part[0] >= part[1] or part[2] >= part[3]:
        return
    for layer in range(2):
        if layer == 1 and population[shapes.INNER] == 0 and found[6] == shapes.UNCHANGED:
            continue
        material = int(population[shapes.MATERIAL] if layer == 0 else population[shapes.CORE])
        if material < 0:
            continue
        lattice_index = int(population[shapes.LATTICE] if layer == 0 else population[shapes.CORE_LATTICE])
        if lattice_index < 0:
            body_atoms(out, view, part, found, population, paths, material, layer)
            continue
        for twin in range(2):
            if twin == 1 and population[shapes.TWINNED] == 0:
                continue
            _body_columns(
                out, view, part, found, population, lattices, sites, paths, material, lattice_index, layer, twin
            )


@numba.njit(cache=True)
def _body_columns(out, view, part, found, population, lattices, sites, paths, material, lattice_index, layer, twin):
    x0, y0, radius, turn, aspect = found[1], found[2], found[3], found[4], found[5]
    cos, sin = math.cos(turn), math.sin(turn)
    lattice = lattices[lattice_index]
    mirror = -1.0 if twin == 1 else 1.0  # in the particle's frame: (u, v) → (u, −v)
    ax, ay = cos * lattice[AX] - sin * lattice[AY] * mirror, sin * lattice[AX] + cos * lattice[AY] * mirror
    bx, by = cos * lattice[BX] - sin * lattice[BY] * mirror, sin * lattice[BX] + cos * lattice[BY] * mirror
    first_i, last_i, first_j, last_j = _cells(part, x0, y0, ax, ay, bx, by)
    for i in range(first_i, last_i):
        for j in range(first_j, last_j):
            for n in range(int(lattice[FIRST]), int(lattice[LAST])):
                f, g = sites[n, 0], sites[n, 1]
                x, y = x0 + (i + f) * ax + (j + g) * bx, y0 + (i + f) * ay + (j + g) * by
                u, v = (x - x0) * cos + (y - y0) * sin, (y - y0) * cos - (x - x0) * sin
                if population[shapes.TWINNED] > 0 and (v < 0) != (twin == 1):
                    continue
                shell, core = shapes.layers(population, radius, aspect, found[6], 0.2, u, v)
                t = shell if layer == 0 else core
                if t > 0:
                    column, row = to_pixel(view, x, y)
                    splat(out, column, row, sites, n, 2, t / view[10], t, paths, material)
