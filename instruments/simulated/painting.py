"""From a specimen's numbers to what every pixel holds, compiled: by columns of atoms, or by thickness where none shows.

The same functions of place say how thick a body is, whether they are asked at columns of atoms or at pixels: a signal's
mean does not change with the magnification. A view is (x0, y0, x_column, y_column, x_row, y_row, …): the place of pixel
(0, 0), the steps in nm to the next column and row, the inverse of their matrix, and the area of a pixel.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated import film as films
from instruments.simulated import shapes
from instruments.simulated.amorphous import film_atoms
from instruments.simulated.atoms import film_columns, particle_columns
from instruments.simulated.pixels import film_pixels, mean_pixels, particle_pixels
from instruments.simulated.splatting import bounds

_MEAN_BELOW_PX = 1.5
"""Where a cell of a population is smaller than this, its particles are a mean density."""


@numba.njit(cache=True)
def view(x, y, height, width, pixel_nm, turn_rad, drift_x, drift_y, stretch_x, stretch_y):
    """A view of the place (x, y): pixel (r, c) looks at (x − pixel · c, y − pixel · r) where it is not turned.

    ``drift_x``, ``drift_y``: what the specimen moves by, in nm, while a row is scanned. ``stretch_x``, ``stretch_y``:
    a pixel is so much longer on a specimen that is tilted.
    """
    across, down = pixel_nm * stretch_x, pixel_nm * stretch_y
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    xc, xr, yc, yr = -cos * across, sin * across + drift_x, -sin * down, -cos * down + drift_y
    x0 = x - xc * (width - 1) / 2 - xr * (height - 1) / 2
    y0 = y - yc * (width - 1) / 2 - yr * (height - 1) / 2
    area = xc * yr - xr * yc
    return np.array([x0, y0, xc, yc, xr, yr, yr / area, -xr / area, -yc / area, xc / area, area])


@numba.njit(cache=True, nogil=True)
def paint_batch(
    out, places, turns, drifts, stretches, pixel_nm, seeds, guests, first, fine, film, lattices, sites, doped, paths,
    populations, volumes,
):  # fmt: skip
    """``paint`` B views: ``out`` (B, S, H, W), ``places``, ``drifts`` (B, 2) nm, ``turns`` (B,) rad, ``seeds`` (B,).

    ``guests`` (N, 7) of all views as ``_gather`` gives them; those of view n are from ``first``[n] (B + 1,) on.
    """
    for n in range(len(out)):
        height, width = out.shape[2], out.shape[3]
        seen = view(
            places[n, 0], places[n, 1], height, width, pixel_nm, turns[n], drifts[n, 0], drifts[n, 1],
            stretches[n, 0], stretches[n, 1],
        )  # fmt: skip
        own = guests[first[n] : first[n + 1]]
        paint(out[n], seen, seeds[n], own, fine, film, lattices, sites, doped, paths, populations, volumes)


@numba.njit(cache=True)
def paint(out, view, seed, guests, fine, film, lattices, sites, doped, paths, populations, volumes):
    """Add what lies under a view to ``out`` (S, H, W), one plane a signal; ``guests`` beside what the seed places.

    ``fine``: by atomic columns; else by thickness. ``lattices`` (L, 6), ``sites`` (N, 2 + S): fractional place, and
    cross-section in nm² per nm of thickness; ``doped`` (N, S): that where the site is doped; ``paths`` (M, S): depth
    per nm of a material, that is 1 / mean free path; ``populations`` (P, FIELDS), ``volumes`` (P, 2): mean nm³
    of a particle's shell and core.
    """
    height, width = out.shape[1:]
    pixel = math.sqrt(view[10])
    low_x, high_x = bounds(view[0], view[2] * (width - 1), view[4] * (height - 1))
    low_y, high_y = bounds(view[1], view[3] * (width - 1), view[5] * (height - 1))
    box = low_x - pixel, high_x + pixel, low_y - pixel, high_y + pixel
    near = _gather(seed, populations, box, pixel)
    if len(guests):
        near = np.concatenate((near, guests))
    if film[films.THICK] > 0:
        if fine and film[films.LATTICE] >= 0:
            film_columns(out, view, box, seed, film, lattices, sites, doped, paths, populations, near)
        elif fine:
            film_atoms(out, view, box, seed, film, paths, populations, near)
        else:
            film_pixels(out, view, seed, film, paths)
    for n in range(len(near)):
        population = populations[int(near[n, 0])]
        if fine:
            particle_columns(out, view, box, near[n], population, lattices, sites, paths)
        else:
            particle_pixels(out, view, near[n], population, film, paths)
    if not fine:
        for p in range(len(populations)):
            if populations[p, shapes.CELL] < _MEAN_BELOW_PX * pixel:
                mean_pixels(out, view, seed, populations[p], volumes[p], paths)


@numba.njit(cache=True)
def _gather(seed, populations, box, pixel):
    """Particles that touch a box of places: (N, 7) population, x, y, radius, turn, aspect, boundary of a new phase."""
    found = np.empty((64, 7))
    n = 0
    for p in range(len(populations)):
        population = populations[p]
        cell, far = population[shapes.CELL], shapes.reach(population)
        if cell < _MEAN_BELOW_PX * pixel:
            continue
        for i in range(math.floor((box[0] - far) / cell), math.floor((box[1] + far) / cell) + 1):
            for j in range(math.floor((box[2] - far) / cell), math.floor((box[3] + far) / cell) + 1):
                there, x, y, radius, turn, aspect = shapes.particle(seed, population, i, j)
                size = radius * aspect * 1.2 + pixel
                if not there or x + size < box[0] or x - size > box[1] or y + size < box[2] or y - size > box[3]:
                    continue
                if n == len(found):
                    larger = np.empty((2 * n, 7))
                    larger[:n] = found
                    found = larger
                found[n, 0], found[n, 1], found[n, 2], found[n, 3] = p, x, y, radius
                found[n, 4], found[n, 5], found[n, 6] = turn, aspect, shapes.UNCHANGED
                n += 1
    return found[:n]
