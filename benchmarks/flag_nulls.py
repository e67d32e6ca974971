"""Does the rate of ``adaptem flag`` hold where nothing is rare? ``benchmarks.flag_folders`` tells what it finds.

    python -m benchmarks.flag_nulls            seven minutes on one core
    python -m benchmarks.flag_nulls --quick    three folders of each

A folder is 12 images of 256 × 256 pixels of one kind, counted, cut into cells of 64: every flag on it is false.
``any``: share of folders with any flag, to be at most the rate of 0.1; lows and highs are exact, 95 %. Discs are all
alike: what differs between cells is how many of them lie there, and how they are cut. Constants were fixed on other
seeds of these kinds.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from scipy import ndimage

from benchmarks.common import arguments, finish
from models.encoder import load_encoder
from surveys.folder import flag_images
from surveys.pictures import images_in
from training.statistics import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

Array: TypeAlias = npt.NDArray[np.float64]

SIDE_PX, IMAGES, FOLDERS, RATE = 256, 12, 30, 0.1
ROWS, COLUMNS = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float64)


def discs(many: int, apart_px: float, rng: np.random.Generator) -> Array:
    """So many discs of a radius of 5 pixels, no two nearer than ``apart_px``."""
    shown, places = np.full((SIDE_PX, SIDE_PX), 20.0), np.zeros((0, 2))
    while len(places) < many:
        place = rng.uniform(0, SIDE_PX, 2)
        if (np.linalg.norm(places - place, axis=1) > apart_px).all():
            places = np.vstack([places, place])
            shown += 25 * (np.hypot(ROWS - place[0], COLUMNS - place[1]) < 5)
    return shown


def film(width_px: float, rng: np.random.Generator) -> Array:
    """A grainy film."""
    grain = ndimage.gaussian_filter(rng.normal(size=(SIDE_PX, SIDE_PX)), width_px)
    return np.asarray(30 * (1 + 0.15 * grain / grain.std()).clip(0.1))


def lattice(rng: np.random.Generator) -> Array:
    """A square lattice of columns, turned as it likes."""
    turn, origin = rng.uniform(0, np.pi / 2), rng.uniform(0, 10, 2)
    phases = (
        2 * np.pi * ((ROWS - origin[0]) * np.cos(turn + t) + (COLUMNS - origin[1]) * np.sin(turn + t)) / 10.0
        for t in (0.0, np.pi / 2)
    )
    return np.asarray(5 + 20 * np.prod([(1 + np.cos(phase)) / 2 for phase in phases], axis=0))


def rings(many: int, rng: np.random.Generator) -> Array:
    """So many equal rings anywhere."""
    shown = np.full((SIDE_PX, SIDE_PX), 20.0)
    for place in rng.uniform(0, SIDE_PX, (many, 2)):
        far = np.hypot(ROWS - place[0], COLUMNS - place[1])
        shown += 25 * ((far < 8) & (far > 5))
    return shown


def grains(many: int, rng: np.random.Generator) -> Array:
    """Grains of a polycrystal, each as bright as it is turned."""
    places, bright = rng.uniform(0, SIDE_PX, (many, 2)), rng.uniform(20, 40, many)
    far = (ROWS[..., None] - places[:, 0]) ** 2 + (COLUMNS[..., None] - places[:, 1]) ** 2
    return np.asarray(bright[far.argmin(axis=-1)])


def steps(rng: np.random.Generator) -> Array:
    """Terraces of a surface, parted by straight steps in one direction of any turn."""
    turn, edges = rng.uniform(0, np.pi), rng.uniform(-300, 300, 6)
    across = (ROWS - SIDE_PX / 2) * np.cos(turn) + (COLUMNS - SIDE_PX / 2) * np.sin(turn)
    return np.asarray(20 + 5 * (across[..., None] > edges).sum(axis=-1))


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "8 discs, none touching": partial(discs, 8, 16.0),
    "8 discs anywhere": partial(discs, 8, 0.0),
    "40 discs anywhere": partial(discs, 40, 0.0),
    "smooth film": partial(film, 8.0),
    "grainy film": partial(film, 1.5),
    "one lattice, turned": lattice,
    "6 rings anywhere": partial(rings, 6),
    "10 grains": partial(grains, 10),
    "terraces": steps,
}


def main() -> int:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    encoder, rows = load_encoder(), []
    for number, (kind, draw) in enumerate(KINDS.items()):
        flags = []
        for seed in range(3 if options.quick else FOLDERS):
            with tempfile.TemporaryDirectory() as folder:
                for n in range(IMAGES):
                    rng = np.random.default_rng((number, seed, n))
                    tifffile.imwrite(Path(folder) / f"{n:02}.tif", rng.poisson(draw(rng)).astype(np.float32))
                flags.append(len(flag_images(encoder, images_in(Path(folder)), rate=RATE).flags))
        hits = sum(count > 0 for count in flags)
        low, high = clopper_pearson(hits, len(flags))
        row: dict[str, Any] = {"images": kind, "folders": len(flags), "any": hits / len(flags)}
        rows.append(row | {"any_low": low, "any_high": high, "flags_a_folder": float(np.mean(flags))})
    finish(rows, options, title=f"any flag on folders where nothing is rare, at a rate of {RATE:g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
