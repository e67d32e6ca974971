"""A specimen of de-twin as a picture, with the sites of its largest particles: a world that we did not write.

    python -m benchmarks.detwin_picture FILE.tif        prints the truth as JSON; a process of its own, for the licences

Gold on a holey film ("Dense Au on holey C", de-twin's own preset and seed), bright field, 1 µm under focus, without
noise: replay counts electrons itself. Sizes are log-normal there, 24 nm in the median. Rare is what de-twin's own scene
says is five times that or more, one particle in fifty; nobody outlined anything, and no other size was tried.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import tifffile

from instruments.clock import SimulatedClock
from instruments.drivers.detwin import TwinClock

if TYPE_CHECKING:
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.float64]"

SPECIMEN, SEED = "Dense Au on holey C", 3
MAGNIFICATION, DEFOCUS_UM = 2500.0, -1.0
PIXEL_NM, SITE_PX = 4.0, 64
TILES, TILE_PX = 3, 512
"""The beam lights 3.9 µm: of each of 3 × 3 views the middle is kept."""
RARE_NM = 120.0


def rendered() -> tuple[npt.NDArray[np.float32], Array]:
    """The picture (H, W), and (N, 3) of each particle in it: row and column of its middle, diameter in nm."""
    twin = import_module("de_twin").DigitalTwin(SPECIMEN, "DESim", seed=SEED, clock=TwinClock(SimulatedClock()))
    column = twin.column
    column.set("Magnification", MAGNIFICATION)
    column.set_screen(False)  # up: the camera sees the beam
    column.set_beam_blank(False)
    column.set_defocus_um(DEFOCUS_UM)
    start, side = column.state().stage, TILES * TILE_PX
    picture = np.zeros((side, side), dtype=np.float32)
    step_um, cut = TILE_PX * PIXEL_NM * 1e-3, slice((1024 - TILE_PX) // 2, (1024 + TILE_PX) // 2)
    for row in range(TILES):
        for tile in range(TILES):
            column.move_stage(x=start.x_um - (tile - 1) * step_um, y=start.y_um - (row - 1) * step_um, wait=True)
            there = (slice(row * TILE_PX, (row + 1) * TILE_PX), slice(tile * TILE_PX, (tile + 1) * TILE_PX))
            picture[there] = twin.flux(twin.request())[cut, cut]
    found = _particles(twin.specimen.scene, -start.x_um, -start.y_um, side * PIXEL_NM * 0.5e-3)
    twin.close()
    return picture, found


def _particles(scene: Any, x_um: float, y_um: float, half_um: float) -> Array:
    """Of the scene's own list of what it draws; a stage at x shows what lies at −x."""
    rows = []
    for area in scene.holder.areas:
        if max(abs(area.center[0] - x_um) - area.half[0], abs(area.center[1] - y_um) - area.half[1]) < half_um:
            drawn = scene.preparation_for(area).populate(scene.holder, area, scene.area_seed(area.index)).prims
            rows.append(np.stack([drawn.cy - y_um, drawn.cx - x_um, drawn.thickness], axis=1))
    found = np.concatenate(rows).astype(np.float64)
    found = found[(np.abs(found[:, :2]) < half_um).all(axis=1)]
    found[:, :2] = (found[:, :2] + half_um) * 1e3 / PIXEL_NM
    return found


def sites_of(particles: Array) -> list[tuple[int, int]]:
    """Row and column, in pixels, of the upper left corners of sites in which a rare particle has its middle."""
    rare = particles[particles[:, 2] >= RARE_NM, :2]
    return sorted({(int(row // SITE_PX) * SITE_PX, int(column // SITE_PX) * SITE_PX) for row, column in rare})


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the picture, a TIFF of 32-bit floats")
    options = parser.parse_args()
    picture, particles = rendered()
    tifffile.imwrite(options.file, picture)
    json.dump({"sites": sites_of(particles), "particles": len(particles)}, sys.stdout)


if __name__ == "__main__":
    main()
