"""The film, compiled: how thick it is at a point, in which grain that lies, where its atoms are."""

from __future__ import annotations

import math

import numba
import numpy as np

from instruments.simulated.counter import at, key, noise, unit

(
    THICK, VARIATION, WAVE_NM, GRAIN_NM, SPREAD_RAD, ANGLE_RAD, VACANCY, DOPANT, DISLOCATION_NM, BURGERS_NM,
    BOUNDARY_NM, CONTRAST, HOLES, HOLE_PITCH_NM, HOLE_NM, TEXTURE, MATERIAL, LATTICE, ATOMS, FIELDS,
) = range(20)  # fmt: skip
"""Columns of a film's row of numbers."""
NO_HOLES, ROUND, LACEY = range(3)
S_THICK, S_GRAIN, S_SITE, S_DISLOCATION, S_BOUNDARY, S_LACE, S_ATOM = range(900, 907)
S_TEXTURE = 926
"""Streams of randomness."""
_POISSON_RATIO = 0.3
_CORE_NM = 3.0
"""Farther away, all atoms of a cell are moved alike."""


@numba.njit(cache=True)
def film_nm(seed, film, x, y, edge):
    """Thickness at a place, nm, holes left out; ``edge`` is the width of a hole's edge."""
    t = unbroken_nm(seed, film, x, y)
    if film[HOLES] != NO_HOLES:
        t *= solid(seed, film, x, y, edge)
    return t


@numba.njit(cache=True)
def unbroken_nm(seed, film, x, y):
    """Thickness at a place as if the film had no holes, nm: it varies over waves of WAVE_NM."""
    if film[VARIATION] == 0:
        return film[THICK]
    return waved_nm(film, noise(key(seed, S_THICK), x / film[WAVE_NM], y / film[WAVE_NM]))


@numba.njit(cache=True)
def waved_nm(film, field):
    """Thickness of an unbroken film where the random field of its waves is so high."""
    return film[THICK] * max(1 + film[VARIATION] * field, 0.05)


@numba.njit(cache=True)
def solid(seed, film, x, y, edge):
    """1 on the film, 0 in a hole. (0, 0) lies between four round holes."""
    pitch = film[HOLE_PITCH_NM]
    if film[HOLES] == ROUND:
        dx, dy = x - pitch * (np.floor(x / pitch) + 0.5), y - pitch * (np.floor(y / pitch) + 0.5)
        square, half = dx * dx + dy * dy, film[HOLE_NM] / 2
        if square > (half + edge) * (half + edge):  # most places are far from an edge
            return 1.0
        return min(max((math.sqrt(square) - half) / edge + 0.5, 0.0), 1.0)
    return laced(film, noise(key(seed, S_LACE), x / pitch, y / pitch), edge)


@numba.njit(cache=True)
def laced(film, field, edge):
    """1 on the threads of a lacey film, 0 between: they follow the zero line of a random field."""
    pitch = film[HOLE_PITCH_NM]
    return min(max((film[HOLE_NM] / pitch * 2 - abs(field)) * pitch / (2 * edge) + 0.5, 0.0), 1.0)


@numba.njit(cache=True)
def grain_seed(seed, film, i, j):
    """Where the seed of grain (i, j) lies, and its random bits."""
    bits = at(key(seed, S_GRAIN), i, j)
    pitch = film[GRAIN_NM]
    return (i + unit(at(bits, 0, 0))) * pitch, (j + unit(at(bits, 1, 0))) * pitch, bits


@numba.njit(cache=True)
def grain_at(seed, film, x, y):
    """The grain (i, j) that a place lies in: that of the nearest seed."""
    i, j = math.floor(x / film[GRAIN_NM]), math.floor(y / film[GRAIN_NM])
    nearest, found = 1e300, (i, j)
    for m in range(i - 1, i + 2):
        for n in range(j - 1, j + 2):
            seed_x, seed_y, _ = grain_seed(seed, film, m, n)
            away = (x - seed_x) ** 2 + (y - seed_y) ** 2
            if away < nearest:
                nearest, found = away, (m, n)
    return found


@numba.njit(cache=True)
def grain_angle(film, bits):
    """Turn of a grain's lattice, rad."""
    return film[ANGLE_RAD] + film[SPREAD_RAD] * (2 * unit(at(bits, 2, 0)) - 1)


@numba.njit(cache=True)
def grain_factor(film, bits):
    """How much more, or less, a grain scatters for its orientation (channelling), as a factor about 1."""
    return 1 + film[CONTRAST] * (2 * unit(at(bits, 3, 0)) - 1)


@numba.njit(cache=True)
def defects(seed, film, low_x, high_x, low_y, high_y):
    """Threading dislocations near a rectangle, as pairs of opposite sign: (N, 5) x1, y1, x2, y2, in nm, sign."""
    pitch = film[DISLOCATION_NM]
    found = np.empty((0, 5))
    if pitch == 0:
        return found
    first_i, last_i = math.floor(low_x / pitch) - 1, math.floor(high_x / pitch) + 1
    first_j, last_j = math.floor(low_y / pitch) - 1, math.floor(high_y / pitch) + 1
    found = np.empty(((last_i - first_i + 1) * (last_j - first_j + 1), 5))
    n = 0
    for i in range(first_i, last_i + 1):
        for j in range(first_j, last_j + 1):
            bits = at(key(seed, S_DISLOCATION), i, j)
            x, y = (i + unit(at(bits, 0, 0))) * pitch, (j + unit(at(bits, 1, 0))) * pitch
            turn = 2 * math.pi * unit(at(bits, 2, 0))
            apart = pitch * (0.1 + 0.15 * unit(at(bits, 3, 0)))
            found[n, 0], found[n, 1] = x, y
            found[n, 2], found[n, 3] = x + apart * math.cos(turn), y + apart * math.sin(turn)
            found[n, 4] = 1.0 if unit(at(bits, 4, 0)) < 0.5 else -1.0
            n += 1
    return found


@numba.njit(cache=True)
def displacement(film, pairs, x, y):
    """What edge dislocations move an atom by, nm, in the frame of the Burgers vector along x.

    Isotropic elasticity (Hirth & Lothe, Theory of Dislocations, eq. 3-45, 3-46). The fields of a pair cancel with
    distance, and are let go smoothly between a half and three quarters of the pitch.

    Returns: whether a core is near (the field then changes from atom to atom), the displacement along x and y.
    """
    ux, uy, at_core = 0.0, 0.0, False
    for n in range(len(pairs)):
        x1, y1, x2, y2, sign = pairs[n]
        away = math.hypot(x - (x1 + x2) / 2, y - (y1 + y2) / 2) / film[DISLOCATION_NM]
        if away >= 0.75:
            continue
        kept = 1.0 if away < 0.5 else 0.5 + 0.5 * math.cos((away - 0.5) * 4 * math.pi)
        # the angle between the two lines of sight jumps by 2π, one Burgers vector, on the line between the pair only
        ax, ay, bx, by = x - x1, y - y1, x - x2, y - y2
        ra, rb = ax * ax + ay * ay + 1e-4, bx * bx + by * by + 1e-4
        at_core = at_core or min(ra, rb) < _CORE_NM**2
        angle = math.atan2(bx * ay - by * ax, ax * bx + ay * by)
        scale = sign * film[BURGERS_NM] / (2 * math.pi) * kept
        ux += scale * (angle + (ax * ay / ra - bx * by / rb) / (2 * (1 - _POISSON_RATIO)))
        uy -= (
            scale
            / (4 * (1 - _POISSON_RATIO))
            * ((1 - 2 * _POISSON_RATIO) * math.log(ra / rb) + (ax * ax - ay * ay) / ra - (bx * bx - by * by) / rb)
        )
    return at_core, ux, uy


@numba.njit(cache=True)
def other_phase(seed, film, x, y):
    """Whether a place lies on the other side of an antiphase boundary."""
    pitch = film[BOUNDARY_NM]
    return pitch > 0 and noise(key(seed, S_BOUNDARY), x / pitch, y / pitch) > 0
