"""The batch renderer on a CPU and on a GPU: how fast, and how nearly the same.

    python -m benchmarks.devices            needs a GPU for its second half; a minute
    OMP_NUM_THREADS=1 python -m benchmarks.devices            one thread, as training workers run

Frames a second by the clock on the wall, medians: a GPU's seconds are no CPU's. Specimens are painted by compiled code
on as many threads as torch has; optics and counting are the device's. Every frame has a new place and new optics.
"""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import arguments, finish, print_table
from benchmarks.simulator import CRYSTAL, PIXEL_NM, views
from instruments.simulated.library import named
from instruments.simulated.memory import keep_memory
from instruments.simulated.renderer import Camera, Renderer, open_device

if TYPE_CHECKING:
    from instruments.simulated.recipe import Recipe

PIXELS = 128


def wall_s(renderer: Renderer, batch: int, times: int) -> float:
    """Median seconds of a batch, after one that warms up."""
    rng, spent = np.random.default_rng(20000), []
    for turn in range(times + 1):
        asked = views(rng, batch, 0)
        start = time.perf_counter()
        renderer.electrons(asked)
        if renderer.device.type == "cuda":
            torch.cuda.synchronize()
        if turn:
            spent.append(time.perf_counter() - start)
    return median(spent)


def speeds(
    specimens: dict[str, Recipe], devices: list[str], batches: tuple[int, ...], times: int
) -> list[dict[str, Any]]:
    camera = Camera(shape=(PIXELS, PIXELS), pixel_nm=PIXEL_NM)
    return [
        {
            "specimen": name,
            "device": device,
            "threads": torch.get_num_threads(),
            "batch": batch,
            "frames_per_s": batch / wall_s(Renderer(recipe, camera, open_device(device)), batch, times),
        }
        for name, recipe in specimens.items()
        for device in devices
        for batch in batches
    ]


def agreement(specimens: dict[str, Recipe]) -> list[dict[str, Any]]:
    """Of the same frames, at two pixel sizes: where waves are drawn, and where rays are."""
    rows = []
    for name, recipe in specimens.items():
        for pixel_nm in (PIXEL_NM, 1.0):
            camera = Camera(shape=(PIXELS, PIXELS), pixel_nm=pixel_nm)
            asked = views(np.random.default_rng(20000), 64, 0)
            cpu, gpu = (Renderer(recipe, camera, open_device(device)) for device in ("cpu", "cuda"))
            one, other = cpu.shares(asked), gpu.shares(asked).cpu()
            first, second = cpu.electrons(asked), gpu.electrons(asked).cpu()
            rows.append(
                {
                    "specimen": name,
                    "pixel_nm": pixel_nm,
                    "largest_difference_over_largest": float((one - other).abs().max() / one.max()),
                    "pixels_counted_alike": float((first == second).float().mean()),
                    "largest_difference_electrons": float((first - second).abs().max()),
                }
            )
    return rows


def main() -> None:
    options = arguments(__doc__).parse_args()
    keep_memory()
    torch.manual_seed(0)
    specimens = {"SrTiO3 film": CRYSTAL, "pt_on_ceria": named("pt_on_ceria"), "au_on_carbon": named("au_on_carbon")}
    there = torch.cuda.is_available()
    devices = ["cpu", "cuda"] if there else ["cpu"]
    batches, times = ((16, 64), 3) if options.quick else ((16, 256, 1024), 9)
    rows = speeds(specimens, devices, batches, times)
    if there:
        print(f"cuda: {torch.cuda.get_device_name()}, torch {torch.__version__}")
        print_table(agreement(specimens), title="The same frames on both")
    else:
        print("torch finds no GPU here: the CPU only")
    finish(rows, options, title=f"Batch renderer, HAADF, {PIXELS} × {PIXELS}, Poisson counted")


if __name__ == "__main__":
    main()
