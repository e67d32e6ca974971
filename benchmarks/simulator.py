"""How fast the batch renderer is, against a bare Fourier transform, other simulators, and larger specimens.

    python -m benchmarks.simulator            some minutes; peers are timed where they are installed
    python -m benchmarks.simulator --quick    a few frames

One thread, CPU seconds, medians; what is compared takes turns. Every frame has a new place, new optics (C10 within 5 nm
and seven more) and Poisson noise, and a margin as wide as its probe, so that borders do not wrap. Peers run as their
own documents show them. abTEM's probes are timed once, 16 of multislice and 1024 of PRISM, and scaled to the frame.
"""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from benchmarks.cells import unit_cell
from benchmarks.common import arguments, finish, print_table
from instruments.annuli import Annulus
from instruments.simulated.brightfield import Phases
from instruments.simulated.coherent import PhaseObject
from instruments.simulated.detector_settings import CameraSettings
from instruments.simulated.diffraction import patterns_at
from instruments.simulated.library import named
from instruments.simulated.memory import keep_memory
from instruments.simulated.patches import Window
from instruments.simulated.patterns import detect, masks_of
from instruments.simulated.recipe import Film, Material, Recipe
from instruments.simulated.renderer import Camera, Renderer, Views

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
CRYSTAL = Recipe(
    title="SrTiO3, 2.7 nm",
    materials={"titanate": Material(crystal="SrTiO3")},
    film=Film(material="titanate", thickness_nm=2.7335),
)
"""The frame that multislice is timed on."""
RANGES_NM = (5.0, 1.0, 1.0, 20.0, 20.0, 20.0, 20.0, 500.0)
PIXEL_NM = 0.02


def cpu_s(*calls: Callable[[], object], times: int) -> list[float]:
    """Median CPU seconds of each call, in turns, after one that warms up."""
    spent: list[list[float]] = [[] for _ in calls]
    for turn in range(times + 1):
        for call, found in zip(calls, spent, strict=True):
            start = time.process_time()
            call()
            if turn:
                found.append(time.process_time() - start)
    return [median(found) for found in spent]


def views(rng: np.random.Generator, batch: int, openings: int) -> Views:
    """Within 1 µm in the middle of the openings of a grid, the first or any of as many to either side.

    Whichever it is, the same numbers are drawn for the rest.
    """
    coefficients = rng.uniform(-1, 1, (batch, len(RANGES_NM))) * RANGES_NM
    seeds, within_nm = rng.integers(0, 1 << 62, batch), rng.uniform(-500.0, 500.0, (batch, 2))
    opening = np.floor(rng.uniform(-openings, openings + 1, (batch, 2)))
    return Views(
        seeds=seeds,
        places_nm=opening * 83e3 + within_nm,
        coefficients_nm=torch.from_numpy(coefficients).float(),
        electrons=torch.full((batch,), 700.0),
        frames=np.arange(batch),
    )


def ours(
    recipe: Recipe, pixels: int, batch: int, times: int, pixel_nm: float = PIXEL_NM, openings: int = 0, n: int = 0
) -> Callable[[], object]:
    """Renders another batch whenever it is called, as often as ``cpu_s`` does; ``n`` makes them others."""
    rng = np.random.default_rng(20000 + n)
    renderer = Renderer(recipe, Camera(shape=(pixels, pixels), pixel_nm=pixel_nm))
    asked = iter([views(rng, batch, openings) for _ in range(times + 1)])
    return lambda: renderer.electrons(next(asked))


def floor(pixels: int, batch: int) -> Callable[[], object]:
    """Nothing but the two transforms that any convolution needs."""
    objects = torch.rand(batch, pixels, pixels)
    return lambda: torch.fft.irfft2(torch.fft.rfft2(objects))


def sizes(times: int) -> list[dict[str, Any]]:
    rows = []
    for pixels in (64, 128, 256):
        for batch in (1, 8, 16):
            bare, full = cpu_s(floor(pixels, batch), ours(CRYSTAL, pixels, batch, times), times=times)
            rows.append(
                {
                    "pixels": pixels,
                    "batch": batch,
                    "frames_per_cpu_s": batch / full,
                    "transforms_per_cpu_s": batch / bare,
                    "cost_in_transforms": full / bare,
                }
            )
    return rows


def library(times: int) -> list[dict[str, Any]]:
    """Of every kind of specimen, at 128 × 128, batch 16, over 1 µm and over 3 mm of it.

    Frames cost what lies in them, so that places cost differently: the last column is what other places of the same
    1 µm make of it.
    """
    rows = []
    for name in ("srtio3_on_ge", "mos2", "au_on_carbon", "pt_on_ceria", "steel_lamella"):
        for pixel_nm in (PIXEL_NM, 1.0):
            drawn = ((0, 0), (18, 0), (0, 1))
            calls = [ours(named(name), 128, 16, times, pixel_nm, *which) for which in drawn]
            small, large, other = cpu_s(*calls, times=times)
            rows.append(
                {
                    "specimen": name,
                    "pixel_nm": pixel_nm,
                    "frames_per_cpu_s": 16 / small,
                    "cost_of_3_mm_over_1_um": large / small,
                    "cost_of_other_places_of_1_um": other / small,
                }
            )
    return rows


def scans(times: int) -> list[dict[str, Any]]:
    """4D-STEM: 16 × 16 patterns of 64 × 64 pixels on eight virtual detectors, each scan of new phases and optics.

    The floor is as many transforms of 64 × 64 waves, their squares, and one matrix product with the detectors.
    """
    window = Window(size_px=64, pixel_nm=PIXEL_NM, voltage_kV=200.0, convergence_mrad=21.4)
    rings = ((0, 8), (8, 16), (12, 21), (0, 21), (22, 30), (25, 35), (30, 38), (35, 41))
    masks = masks_of(window, [Annulus(inner, outer) for inner, outer in rings])
    across = torch.arange(16.0) * 2 + 32
    places = torch.cartesian_prod(across, across)
    optics = iter(views(np.random.default_rng(20000), times + 1, 0).coefficients_nm[:, None])
    phases = iter([PhaseObject(torch.rand(1, 96, 96)) for _ in range(times + 1)])
    waves, twice = torch.randn(256, 64, 64, dtype=torch.complex64), masks.repeat_interleave(2, dim=0).T.contiguous()

    def bare() -> None:
        for some in torch.split(waves, 32):  # as many as stay near the processor
            seen = torch.view_as_real(torch.fft.fft2(some)).square_()
            torch.nn.functional.linear(seen.flatten(1), twice)

    least, full = cpu_s(bare, lambda: detect(next(phases), places, next(optics), window, masks), times=times)
    return [{"scans_per_cpu_s": 1 / full, "floor_per_cpu_s": 1 / least, "cost_in_floors": full / least}]


def cameras(times: int) -> list[dict[str, Any]]:
    """Scans of 16 × 16 patterns of 64 × 64 by the microscope's own camera, absorption and phonons and all."""
    rows, settings = [], CameraSettings(pixels=64)
    camera = Camera(shape=(16, 16), pixel_nm=0.04)
    for title, crystal, thick_nm in (("MoS2, one slice", "MoS2", 0.65), ("SrTiO3, four", "SrTiO3", 4.0)):
        film = Film(material="it", thickness_nm=thick_nm)
        phases = Phases(Recipe(title=title, materials={"it": Material(crystal=crystal)}, film=film), 200.0)
        asked = iter([views(np.random.default_rng(n), 1, 0) for n in range(times + 1)])
        scan = lambda: patterns_at(phases, next(asked), camera, settings, thickness_nm=thick_nm)  # noqa: B023, E731
        rows.append({"specimen": title, "thick_nm": thick_nm, "scans_per_cpu_s": 1 / cpu_s(scan, times=times)[0]})
    return rows


def peers(times: int) -> list[dict[str, Any]]:
    """Frames of other simulators, where they are installed, beside ours and the floor."""
    slow, few = min(times, 5), min(times, 3)
    spent: dict[int, dict[str, float | None]] = {}
    for pixels in (64, 128, 256):  # before any other: some of them set how many threads there are for all
        calls = [floor(pixels, 16), *(ours(CRYSTAL, pixels, batch, times) for batch in (1, 8, 16))]
        bare, one, eight, sixteen = cpu_s(*calls, times=times)
        spent[pixels] = {
            "bare transforms, batch 16": bare / 16,
            "adaptem, batch 1": one,
            "adaptem, batch 8": eight / 8,
            "adaptem, batch 16": sixteen / 16,
        }
    for name, sample, turns in (
        ("rectangles", "RectangleFlakeSample", times),
        ("gold balls", "CombinedTestSample", slow),
    ):
        for pixels, found in spent.items():
            found[f"nionswift-usim, {name} without optics"] = _if_there(usim, sample, pixels, turns)
    probe_s, matrix = _if_there(multislice), _if_there(prism)
    for pixels, found in spent.items():
        area = pixels**2
        found["abTEM multislice, 16 probes scaled"] = None if probe_s is None else probe_s * area
        found["abTEM PRISM, interpolation 4, 1024 probes scaled"] = matrix and matrix[0] + matrix[1] * area
        found["de-twin, virtual HAADF, new stage"] = _if_there(detwin, pixels, few)
    return [
        {
            "pixels": pixels,
            "simulator": name,
            "frames_per_cpu_s": 1 / seconds,
            "cost_over_adaptem": seconds / (found["adaptem, batch 16"] or seconds),
        }
        for pixels, found in spent.items()
        for name, seconds in found.items()
        if seconds is not None
    ]


def _if_there(timed: Callable[..., T], *asked: object) -> T | None:
    with suppress(ImportError):
        return timed(*asked)
    return None


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

    return cpu_s(frame, times=times)[0]


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

    return cpu_s(frame, times=times)[0]


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


def multislice() -> float:
    """CPU seconds a probe."""
    abtem, potential = _abtem()
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=21.4)
    _scan(abtem, probe, potential, 2)
    return _scan(abtem, probe, potential, 4)


def prism() -> tuple[float, float]:
    """CPU seconds for the matrix, once a frame, and for each probe."""
    abtem, potential = _abtem()
    matrix = abtem.SMatrix(potential=potential, energy=200e3, semiangle_cutoff=21.4, interpolation=4)
    _scan(abtem, matrix, None, 2)
    few, many = (_scan(abtem, matrix, None, across) * across**2 for across in (2, 32))
    each = max(many - few, 0.0) / (1024 - 4)
    return few - 4 * each, each


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(1)
    keep_memory()
    times = 3 if options.quick else 21
    rows = sizes(times)
    print_table(library(3 * times), title="By specimen, 128 × 128, batch 16")
    print_table(scans(times), title="4D-STEM, 16 × 16 patterns of 64 × 64, eight virtual detectors")
    print_table(cameras(min(times, 5)), title="The same by the microscope's camera")
    if not options.quick:
        print_table(peers(times), title="Against other simulators, and the transforms alone")
    finish(rows, options, title="Batch renderer: SrTiO3, HAADF, 0.02 nm a pixel")


if __name__ == "__main__":
    main()
