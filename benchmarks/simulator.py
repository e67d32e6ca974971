"""How fast the batch renderer is, against a bare Fourier transform, other simulators, and larger specimens.

    python -m benchmarks.simulator            some minutes; peers are timed where they are installed
    python -m benchmarks.simulator --quick    a few frames

One thread, CPU seconds, medians. Every frame has a new place, new optics (C10 within 5 nm and seven more) and Poisson
noise, and a margin as wide as its probe, so that borders do not wrap. Peers run as their own documents show them.
"""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.cells import unit_cell
from benchmarks.common import arguments, finish, print_table
from instruments.simulated.library import named
from instruments.simulated.memory import keep_memory
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

if TYPE_CHECKING:
    from collections.abc import Callable

CRYSTAL = Recipe(
    title="SrTiO3, 2.7 nm",
    materials={"titanate": Material(crystal="SrTiO3")},
    film=Film(material="titanate", thickness_nm=2.7335),
)
"""The frame that multislice is timed on."""
RANGES_NM = (5.0, 1.0, 1.0, 20.0, 20.0, 20.0, 20.0, 500.0)
PIXEL_NM = 0.02


def cpu_s(call: Callable[[], object], times: int) -> float:
    """Median CPU seconds of a call, after one that warms up."""
    call()
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return median(spent)


def views(rng: np.random.Generator, batch: int, openings: int) -> Views:
    """Within 1 µm in the middle of the openings of a grid, the first or any of as many to either side."""
    coefficients = rng.uniform(-1, 1, (batch, len(RANGES_NM))) * RANGES_NM
    return Views(
        seeds=rng.integers(0, 1 << 62, batch),
        places_nm=rng.integers(-openings, openings + 1, (batch, 2)) * 83e3 + rng.uniform(-500.0, 500.0, (batch, 2)),
        coefficients_nm=torch.from_numpy(coefficients).float(),
        electrons=torch.full((batch,), 700.0),
        frames=np.arange(batch),
    )


def ours(recipe: Recipe, pixels: int, batch: int, times: int, pixel_nm: float = PIXEL_NM, openings: int = 0) -> float:
    """CPU seconds a frame."""
    rng = np.random.default_rng(20000)
    renderer = Renderer(recipe, Camera(shape=(pixels, pixels), pixel_nm=pixel_nm))
    return cpu_s(lambda: renderer.electrons(views(rng, batch, openings)), times) / batch


def floor(pixels: int, batch: int, times: int) -> float:
    """CPU seconds a frame of nothing but the two transforms that any convolution needs."""
    objects = torch.rand(batch, pixels, pixels)
    return cpu_s(lambda: torch.fft.irfft2(torch.fft.rfft2(objects)), times) / batch


def sizes(times: int) -> list[dict[str, Any]]:
    rows = []
    for pixels in (64, 128, 256):
        for batch in (1, 8, 16):
            bare, full = floor(pixels, batch, times), ours(CRYSTAL, pixels, batch, times)
            rows.append(
                {
                    "pixels": pixels,
                    "batch": batch,
                    "frames_per_cpu_s": 1 / full,
                    "transforms_per_cpu_s": 1 / bare,
                    "cost_in_transforms": full / bare,
                }
            )
    return rows


def library(times: int) -> list[dict[str, Any]]:
    """Of every kind of specimen, at 128 × 128, batch 16, over 1 µm and over 3 mm of it."""
    rows = []
    for name in ("srtio3_on_ge", "mos2", "au_on_carbon", "pt_on_ceria", "steel_lamella"):
        for pixel_nm in (PIXEL_NM, 1.0):
            small, large = (ours(named(name), 128, 16, times, pixel_nm, openings) for openings in (0, 18))
            rows.append(
                {
                    "specimen": name,
                    "pixel_nm": pixel_nm,
                    "frames_per_cpu_s": 1 / small,
                    "cost_of_3_mm_over_1_um": large / small,
                }
            )
    return rows


def peers(pixels: int, times: int) -> list[dict[str, Any]]:
    """Frames of other simulators, where they are installed."""
    own = ours(CRYSTAL, pixels, 16, times)
    rows = [
        {"simulator": "adaptem, batch 16", "pixels": pixels, "cpu_ms_per_frame": own * 1e3, "ratio_to_adaptem": 1.0}
    ]
    for name, timed in (
        ("nionswift-usim, rectangles without optics", lambda: usim("RectangleFlakeSample", pixels, times)),
        ("nionswift-usim, gold balls without optics", lambda: usim("CombinedTestSample", pixels, min(times, 5))),
        ("de-twin, virtual HAADF, new stage", lambda: detwin(pixels, min(times, 3))),
        ("abTEM multislice, 16 probes scaled", lambda: multislice(pixels)),
        ("abTEM PRISM, interpolation 4, 64 probes scaled", lambda: prism(pixels)),
    ):
        with suppress(ImportError):
            seconds = timed()
            rows.append(
                {
                    "simulator": name,
                    "pixels": pixels,
                    "cpu_ms_per_frame": seconds * 1e3,
                    "ratio_to_adaptem": seconds / own,
                }
            )
    return rows


def usim(sample_name: str, pixels: int, times: int) -> float:
    from nion.usim_device import SampleSimulator
    from nion.utils import Geometry

    sample = getattr(SampleSimulator, sample_name)(1000.0)
    rng = np.random.default_rng(20000)
    nowhere, size = Geometry.FloatPoint(), Geometry.IntSize(pixels, pixels)

    def frame() -> None:
        data = np.zeros((pixels, pixels), np.float32)
        y, x = rng.uniform(-2e-7, 2e-7, 2)
        sample.plot_features(data, Geometry.FloatPoint(y, x), Geometry.FloatSize(128.0, 128.0), nowhere, nowhere, size)
        data += rng.standard_normal(data.shape) * 0.3

    return cpu_s(frame, times)


def detwin(pixels: int, times: int) -> float:
    from de_twin import DigitalTwin
    from de_twin.state import AcquisitionRequest, ScanRequest

    twin = DigitalTwin(camera="DESim", seed=1)  # dense gold on holey carbon
    twin.column.set_tem_stem(1)
    rng = np.random.default_rng(20000)

    def frame() -> None:
        x, y = rng.uniform(-5, 5, 2)
        twin.column.move_stage(x=float(x), y=float(y), wait=True)
        twin.virtual_image(
            AcquisitionRequest(camera_model="DESim", scan=ScanRequest(enabled=True, size=(pixels, pixels))), 60, 200
        )

    return cpu_s(frame, times)


def _abtem() -> tuple[Any, Any]:
    import abtem

    abtem.config.set({"device": "cpu", "local_diagnostics.progress_bar": False, "dask.lazy": True})
    return abtem, abtem.Potential(unit_cell("SrTiO3") * (7, 7, 7), gpts=384, slice_thickness=2.73)


def _scan(abtem: Any, waves: Any, potential: Any, across: int) -> float:
    grid = abtem.GridScan((4.0, 4.0), (4.0 + 0.2 * across, 4.0 + 0.2 * across), gpts=(across, across))
    detector = abtem.AnnularDetector(60, 110)
    start = time.process_time()
    through = () if potential is None else (potential,)
    waves.scan(*through, scan=grid, detectors=detector).compute(scheduler="single-threaded", progress_bar=False)
    return (time.process_time() - start) / across**2


def multislice(pixels: int) -> float:
    abtem, potential = _abtem()
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=21.4)
    _scan(abtem, probe, potential, 2)
    return _scan(abtem, probe, potential, 4) * pixels**2


def prism(pixels: int) -> float:
    abtem, potential = _abtem()
    matrix = abtem.SMatrix(potential=potential, energy=200e3, semiangle_cutoff=21.4, interpolation=4)
    one, many = (_scan(abtem, matrix, None, across) * across**2 for across in (2, 10))
    each = max(many - one, 0.0) / (100 - 4)  # what is left of the first is building the matrix, once a frame
    return one + each * (pixels**2 - 4)


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    keep_memory()
    times = 3 if options.quick else 15
    rows = sizes(times)
    print_table(library(times), title="By specimen, 128 × 128, batch 16")
    if not options.quick:
        print_table(peers(128, times), title="Against other simulators, 128 × 128")
    finish(rows, options, title="Batch renderer: SrTiO3, HAADF, 0.02 nm a pixel")


if __name__ == "__main__":
    main()
