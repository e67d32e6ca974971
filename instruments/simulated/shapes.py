"""Particles, compiled: which lie in a cell of the specimen, and how thick each is under a point."""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

from instruments.simulated.counter import at, key, noise, unit

SHAPES = ("ellipsoid", "facetted", "plate", "rod", "cube")
ELLIPSOID, FACETTED, PLATE, ROD, CUBE = range(5)
(
    CELL, CHANCE, RADIUS, SPREAD, SHAPE, ASPECT, HEIGHT, INNER, MATERIAL, CORE, LATTICE, CORE_LATTICE, CLUMP, CLUMP_NM,
    EMBEDDED, TWINNED, STREAM, ATOMS, CORE_ATOMS, FIELDS,
) = range(20)  # fmt: skip
"""Columns of a table of populations."""
_LARGEST = 2.5
"""Radius at most, in medians."""
_TO_UNIT = math.sqrt(3.0)
"""Four uniform numbers have a variance of 1/3 together."""
_CENTRE_X, _CENTRE_Y, _SIZE, _TURN, _LONG = range(5)
UNCHANGED = -2.0
"""Where the boundary of a new phase stands in a particle that has none of it, in radii: beyond its edge."""


@numba.njit(cache=True)
def crowding(seed, population, x, y):
    """How much denser than on average a population is at a place, 0 to 2."""
    if population[CLUMP] == 0:
        return 1.0
    grain = population[CLUMP_NM]
    field = noise(key(seed, int(population[STREAM]) + 1), x / grain, y / grain)
    return min(max(1 + population[CLUMP] * field, 0.0), 2.0)


@numba.njit(cache=True)
def particle(seed, population, i, j):
    """The particle of cell (i, j): (there, x_nm, y_nm, radius_nm, turn_rad, aspect)."""
    start = key(seed, int(population[STREAM]))
    cell = population[CELL]
    chance = population[CHANCE] * crowding(seed, population, i * cell, j * cell)
    bits = at(start, i, j)
    if unit(bits) >= chance:
        return False, 0.0, 0.0, 0.0, 0.0, 1.0
    x = (i + unit(at(bits, _CENTRE_X, 0))) * cell
    y = (j + unit(at(bits, _CENTRE_Y, 0))) * cell
    # the sum of four uniform numbers is close to normal, and cannot run away
    normal = -2.0
    for n in range(4):
        normal += unit(at(bits, _SIZE, n))
    radius = population[RADIUS] * min(math.exp(population[SPREAD] * normal * _TO_UNIT), _LARGEST)
    aspect = 1 + (population[ASPECT] - 1) * (0.6 + 0.8 * unit(at(bits, _LONG, 0)))
    return True, x, y, radius, 2 * math.pi * unit(at(bits, _TURN, 0)), aspect


@numba.njit(cache=True)
def reach(population):
    """How far from its centre the largest particle of a population extends, nm."""
    return population[RADIUS] * _LARGEST * max(1.0, 1 + (population[ASPECT] - 1) * 1.4) * 1.2


@numba.njit(cache=True)
def thickness(shape, radius, aspect, height, edge, u, v):
    """Thickness in nm at (u, v) from the centre, along and across the particle; ``edge``: width of a sheer edge."""
    if shape == ELLIPSOID:
        rho = (u / (radius * aspect)) ** 2 + (v / radius) ** 2
        return 2 * radius * height * math.sqrt(1 - rho) if rho < 1 else 0.0
    if shape == ROD:
        along = max(abs(u) - radius * (aspect - 1), 0.0)
        rho = (along * along + v * v) / radius**2
        return 2 * radius * height * math.sqrt(1 - rho) if rho < 1 else 0.0
    if shape == CUBE:
        inside = radius - max(abs(u) / aspect, abs(v))
        return 2 * radius * height * min(max(inside / edge + 0.5, 0.0), 1.0)
    a, b = abs(u) / aspect, abs(v)
    if shape == PLATE:  # a hexagon
        inside = radius - max(b, 0.8660254 * a + 0.5 * b)
        return 2 * radius * height * min(max(inside / edge + 0.5, 0.0), 1.0)
    # facetted: a truncated octahedron seen along a four-fold axis
    inside = radius - max(max(a, b), 0.7071068 * (a + b))
    return min(max(2.8284271 * inside, 0.0), 1.3 * radius) * height


@numba.njit(cache=True)
def layers(population, radius, aspect, boundary, edge, u, v):
    """Thickness of the shell (or of the whole, where there is no core) and of the core, nm.

    A particle that changes phase is of its core's material where v is below ``boundary`` radii.
    """
    shape, height, inner = int(population[SHAPE]), population[HEIGHT], population[INNER]
    whole = thickness(shape, radius, aspect, height, edge, u, v)
    if v < boundary * radius:
        return 0.0, whole
    if whole == 0.0 or inner == 0.0:
        return whole, 0.0
    core = thickness(shape, radius * inner, aspect, height, edge, u, v)
    return whole - core, core


@numba.njit(cache=True)
def embedded_nm(populations, near, x, y):
    """How much of the film is replaced by particles in it, at a place."""
    replaced = 0.0
    for n in range(len(near)):
        population = populations[int(near[n, 0])]
        if population[EMBEDDED] > 0:
            dx, dy, turn = x - near[n, 1], y - near[n, 2], near[n, 4]
            u, v = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
            shell, core = layers(population, near[n, 3], near[n, 5], near[n, 6], 0.2, u, v)
            replaced += shell + core
    return replaced


def mean_volumes_nm3(population: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Of the shells (or whole particles) and cores of a population: by quadrature, with the moment of its sizes."""
    shape, radius, height = int(population[SHAPE]), population[RADIUS], population[HEIGHT]
    aspect = population[ASPECT]
    side = 1.3 * radius * max(1.0, aspect)
    grid = ((np.arange(128) + 0.5) / 64 - 1) * side
    whole = _sum(grid, shape, radius, aspect, height)
    normal = np.asarray(sum(np.meshgrid(*[(np.arange(16) + 0.5) / 16] * 4))) - 2.0
    sizes = np.minimum(np.exp(population[SPREAD] * normal * _TO_UNIT), _LARGEST)
    volume = float(whole * (side / 64) ** 2 * np.mean(sizes**3))
    core = population[INNER] ** 3
    return volume * (1 - core), volume * core


@numba.njit(cache=True)
def _sum(grid, shape, radius, aspect, height):
    """Of the thickness over a square grid of points."""
    total = 0.0
    for u in grid:
        for v in grid:
            total += thickness(shape, radius, aspect, height, 1e-3 * radius, u, v)
    return total
