"""Are the stated errors of a lattice's strains right? On drawn lattices that are not strained at all.

    python -m benchmarks.lattice_strain            a minute on one core
    python -m benchmarks.lattice_strain --quick    one image of each

Columns are Gaussians on an even ground, 256 × 256 pixels, counted: ``counts`` is what a column's top has in the mean.
Numbers are errors (root mean square over columns and images) over stated uncertainties, 1 is right; below 1, what is
stated is too wide. ``position``: stated uncertainty of a column along one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.common import arguments, finish
from models.lattice import measure_lattice

Array: TypeAlias = npt.NDArray[np.float64]

SIDE_PX, IMAGES, GROUND = 256, 3, 0.2
COUNTS = (10, 100, 1000)


@dataclass(frozen=True)
class Drawn:
    """A lattice by its two vectors in pixels, how it is turned, and the width of its columns."""

    name: str
    first_px: tuple[float, float]
    second_px: tuple[float, float]
    turned_rad: float
    width_px: float


_HEX = 3**0.5 / 2
LATTICES = (
    Drawn("hexagonal along the pixels", (12.0, 0.0), (6.0, 12 * _HEX), 0.0, 2.0),
    Drawn("hexagonal", (12.0, 0.0), (6.0, 12 * _HEX), 0.3, 2.0),
    Drawn("hexagonal, 6 pixels", (6.0, 0.0), (3.0, 6 * _HEX), 0.3, 1.3),
    Drawn("square", (12.0, 0.0), (0.0, 12.0), 0.3, 2.0),
    Drawn("square, 6 pixels", (6.0, 0.0), (0.0, 6.0), 0.3, 1.3),
    Drawn("2.1 : 1", (8.0, 0.0), (0.0, 16.8), 0.1, 1.5),
    Drawn("2.3 : 1", (8.0, 0.0), (0.0, 18.4), 0.1, 1.5),
    Drawn("3 : 1", (8.0, 0.0), (0.0, 24.0), 0.1, 1.5),
)


def drawn(lattice: Drawn, counts: float, rng: np.random.Generator) -> Array:
    """An image (H, W) of counts."""
    c, s = np.cos(lattice.turned_rad), np.sin(lattice.turned_rad)
    vectors = np.array([lattice.first_px, lattice.second_px]) @ np.array([[c, s], [-s, c]])
    index = np.stack(np.meshgrid(*[np.arange(-60, 61)] * 2), axis=-1).reshape(-1, 2)
    places = index @ vectors + SIDE_PX / 2 + np.array([0.3, 0.4])
    places = places[((places > -5) & (places < SIDE_PX + 5)).all(axis=1)]
    at = np.arange(SIDE_PX)
    across, down = (np.exp(-((at - place[:, None]) ** 2) / 2 / lattice.width_px**2) for place in places.T)
    return np.asarray(rng.poisson(counts * (down.T @ across + GROUND)), dtype=np.float64)


def main() -> int:
    options = arguments(__doc__).parse_args()
    rows: list[dict[str, Any]] = []
    for lattice in LATTICES:
        for counts in COUNTS:
            rng = np.random.default_rng(1)
            made = [measure_lattice(drawn(lattice, counts, rng)) for _ in range(1 if options.quick else IMAGES)]
            strain = np.concatenate([one.strain for one in made])
            strain_sd = np.concatenate([one.strain_sd for one in made])
            off = np.sqrt((strain**2).mean(0) / (strain_sd**2).mean(0))
            turn = np.concatenate([one.turn_deg for one in made]) / np.sqrt(
                np.mean(np.concatenate([one.turn_sd_deg for one in made]) ** 2)
            )
            row: dict[str, Any] = {"lattice": lattice.name, "counts": counts}
            row |= {name: float(each) for name, each in zip(("xx", "yy", "xy"), off, strict=True)}
            row |= {"turn": float(np.sqrt((turn**2).mean())), "stated_strain": float(strain_sd.mean())}
            rows.append(row | {"position_px": float(np.mean([one.position_sd_px for one in made]))})
    finish(rows, options, title="errors over stated uncertainties, 1 is right")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
