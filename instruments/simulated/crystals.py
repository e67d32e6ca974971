"""Crystal structures and what they look like along a zone axis: a plane lattice of atomic columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ratio: TypeAlias = float
Array: TypeAlias = npt.NDArray[np.float64]
Direction: TypeAlias = tuple[int, int, int]
Atom: TypeAlias = tuple[str, float, float, float]


@dataclass(frozen=True, slots=True)
class Crystal:
    """A unit cell and all the atoms in it."""

    lengths_nm: tuple[float, float, float]
    angles_deg: tuple[float, float, float]
    """α, β, γ."""
    atoms: tuple[Atom, ...]
    """Element and fractional coordinates."""

    def vectors_nm(self) -> Array:
        """(3, 3) lattice vectors in rows: a along x, b in the plane of x and y."""
        a, b, c = self.lengths_nm
        cos_a, cos_b, cos_g = (math.cos(math.radians(angle)) for angle in self.angles_deg)
        sin_g = math.sqrt(1 - cos_g**2)
        cy = (cos_a - cos_b * cos_g) / sin_g
        cz = math.sqrt(1 - cos_b**2 - cy**2)
        return np.array([[a, 0, 0], [b * cos_g, b * sin_g, 0], [c * cos_b, c * cy, c * cz]])


@dataclass(frozen=True, slots=True)
class Columns:
    """A crystal seen along a zone axis."""

    cell_nm: tuple[tuple[float, float], tuple[float, float]]
    """The two lattice vectors of the projection, (x, y) each."""
    repeat_nm: float
    """Period along the zone axis."""
    elements: tuple[str, ...]
    """Of each kind of column site; where two elements share a column they are two sites at one place."""
    places: tuple[tuple[Ratio, Ratio], ...]
    """Fractional, along the two vectors."""
    atoms: tuple[Ratio, ...]
    """In one period of each site."""

    @property
    def area_nm2(self) -> float:
        (ax, ay), (bx, by) = self.cell_nm
        return abs(ax * by - ay * bx)

    def density_per_nm3(self) -> dict[str, float]:
        """Atoms per volume by element."""
        found: dict[str, float] = {}
        for element, count in zip(self.elements, self.atoms, strict=True):
            found[element] = found.get(element, 0.0) + count / (self.area_nm2 * self.repeat_nm)
        return found


@lru_cache(maxsize=64)
def columns(crystal: Crystal, zone: Direction) -> Columns:
    """Project a crystal along [uvw].

    A unimodular change of basis makes [uvw] the third lattice vector; the projections of the other two, Lagrange
    reduced, span the plane lattice, and atoms that fall on each other are one column.

    Raises ValueError where the zone is (0, 0, 0).
    """
    divisor = math.gcd(*zone)
    if divisor == 0:
        raise ValueError("the zone axis (0, 0, 0) was asked; give three whole numbers that are not all zero")
    basis = _with_third((zone[0] // divisor, zone[1] // divisor, zone[2] // divisor))
    vectors = basis @ crystal.vectors_nm()
    along = vectors[2] / np.linalg.norm(vectors[2])
    across = vectors[0] - (vectors[0] @ along) * along
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(along, across)])
    plane = _reduced(vectors[:2] @ frame.T)
    sites: dict[tuple[str, float, float], float] = {}
    for element, *place in crystal.atoms:
        flat = (np.array(place) @ crystal.vectors_nm()) @ frame.T
        u, v = np.round(np.linalg.solve(plane.T, flat), 3) % 1.0
        sites[element, float(u), float(v)] = sites.get((element, float(u), float(v)), 0.0) + 1.0
    return Columns(
        cell_nm=((float(plane[0, 0]), float(plane[0, 1])), (float(plane[1, 0]), float(plane[1, 1]))),
        repeat_nm=float(np.linalg.norm(vectors[2])),
        elements=tuple(key[0] for key in sites),
        places=tuple(key[1:] for key in sites),
        atoms=tuple(sites.values()),
    )


def _with_third(zone: Direction) -> npt.NDArray[np.int64]:
    """A whole-number matrix of determinant ±1 whose third row is the zone."""
    size = max(2, *map(abs, zone))
    rows = sorted(product(range(-size, size + 1), repeat=3), key=lambda row: sum(x * x for x in row))
    for n, first in enumerate(rows):
        for second in rows[:n]:
            matrix = np.array([second, first, zone])
            if abs(round(float(np.linalg.det(matrix)))) == 1:
                return matrix
    raise ValueError(f"the zone axis {zone} was asked, found no lattice plane across it: give smaller indices")


def _reduced(plane: Array) -> Array:
    """Lagrange's reduction of two vectors (2, 2), rows."""
    a, b = plane
    while True:
        if a @ a > b @ b:
            a, b = b, a
        steps = round(float(a @ b) / float(a @ a))
        if steps == 0:
            return np.stack([a, b])
        b = b - steps * a


def cubic(a_nm: float, *atoms: Atom) -> Crystal:
    """A primitive cubic cell."""
    return Crystal((a_nm,) * 3, (90.0,) * 3, atoms)


def _at(places: tuple[tuple[float, float, float], ...], *atoms: Atom) -> tuple[Atom, ...]:
    return tuple((e, x + u, y + v, z + w) for u, v, w in places for e, x, y, z in atoms)


def _symmetric(element: str, x: float, y: float, z: float) -> tuple[Atom, ...]:
    """All places that the 48 operations of m3̄m make of one."""
    found = {
        tuple(round(sign * part, 5) % 1.0 for sign, part in zip(signs, place, strict=True))
        for place in permutations((x, y, z))
        for signs in product((1, -1), repeat=3)
    }
    return tuple((element, u, v, w) for u, v, w in sorted(found))


_FCC = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
_RHOMBOHEDRAL = ((0.0, 0.0, 0.0), (2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3))


def _hexagonal(a_nm: float, c_nm: float, *atoms: Atom) -> Crystal:
    return Crystal((a_nm, a_nm, c_nm), (90.0, 90.0, 120.0), atoms)


CRYSTALS = {
    "SrTiO3": cubic(
        0.3905, ("Sr", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0), ("O", 0.5, 0, 0.5), ("O", 0, 0.5, 0.5)
    ),
    "Ge": cubic(0.5658, *_at(_FCC, ("Ge", 0, 0, 0), ("Ge", 0.25, 0.25, 0.25))),
    "Au": cubic(0.4078, *_at(_FCC, ("Au", 0, 0, 0))),
    "Pt": cubic(0.3924, *_at(_FCC, ("Pt", 0, 0, 0))),
    "Ag": cubic(0.4086, *_at(_FCC, ("Ag", 0, 0, 0))),
    "Cu": cubic(0.3615, *_at(_FCC, ("Cu", 0, 0, 0))),
    "Fe": cubic(0.2866, *_at(_BCC, ("Fe", 0, 0, 0))),
    "NbC": cubic(0.4470, *_at(_FCC, ("Nb", 0, 0, 0), ("C", 0.5, 0.5, 0.5))),
    "MgO": cubic(0.4211, *_at(_FCC, ("Mg", 0, 0, 0), ("O", 0.5, 0.5, 0.5))),
    "CeO2": cubic(0.5411, *_at(_FCC, ("Ce", 0, 0, 0), ("O", 0.25, 0.25, 0.25), ("O", 0.75, 0.75, 0.75))),
    "Ti": _hexagonal(0.2951, 0.4684, ("Ti", 1 / 3, 2 / 3, 0.25), ("Ti", 2 / 3, 1 / 3, 0.75)),
    "MoS2": _hexagonal(
        0.3160,
        1.2294,
        ("Mo", 1 / 3, 2 / 3, 0.25),
        ("S", 2 / 3, 1 / 3, 0.371),
        ("S", 2 / 3, 1 / 3, 0.129),
        ("Mo", 2 / 3, 1 / 3, 0.75),
        ("S", 1 / 3, 2 / 3, 0.871),
        ("S", 1 / 3, 2 / 3, 0.629),
    ),
    "graphene": _hexagonal(0.2460, 0.3354, ("C", 0, 0, 0), ("C", 1 / 3, 2 / 3, 0)),
    "LiCoO2": _hexagonal(
        0.2816, 1.4054, *_at(_RHOMBOHEDRAL, ("Co", 0, 0, 0), ("Li", 0, 0, 0.5), ("O", 0, 0, 0.26), ("O", 0, 0, -0.26))
    ),
    "LTA": cubic(
        1.1919,
        *_symmetric("Si", 0, 0.1823, 0.3684),
        *_symmetric("O", 0, 0.2122, 0.5),
        *_symmetric("O", 0, 0.2967, 0.2967),
        *_symmetric("O", 0.1103, 0.1103, 0.3385),
    ),
}
"""Room-temperature structures: Wyckoff, Crystal Structures (1963); MoS₂: Bronsema et al., Z. Anorg. Allg. Chem. 540/541
(1986) 15; LTA: Database of Zeolite Structures (IZA), idealised siliceous framework."""
