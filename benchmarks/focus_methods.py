"""Ways to focus, each on the same exposures of a world, and the rows that tell how well they did."""

from __future__ import annotations

import math
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from rich.progress import track

from benchmarks.focus_worlds import CLEAR_nm
from instruments.aberrations import NAMES
from models.focus import Search, estimate
from models.focus_classical import Sweep, tune
from models.focus_network import load_network, read_focus
from models.focus_rings import incoherent, ring_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.focus_worlds import Array, World

LIMIT_nm = 5.0
"""Within which a coarse focus counts as found."""
T = TypeVar("T")
Keep: TypeAlias = "Callable[[list[dict[str, Any]]], None]"
"""Takes the rows of a table."""
Choice: TypeAlias = tuple[tuple[Sweep, ...], tuple[float, float]]
"""A classical series and the band of frequencies per nm that it judges by."""

Method: TypeAlias = "Callable[[Array, Array, World], tuple[Array, Array, bool]]"
"""From images (K, H, W) under changes (K, 8) of a world: coefficients (8,), their deviations, and whether to act on
them."""
P95 = partial(np.quantile, q=0.95)


class Found(NamedTuple):
    error_nm: Array
    std_nm: Array
    settled: bool
    cpu_s: float


def told(world: World, settings_nm: Array, fluence: float, method: Method) -> Found:
    """By a method from images of this total fluence; one that refuses them with ValueError has found nothing."""
    images = world.expose(settings_nm, fluence / len(settings_nm))
    start = time.process_time()
    try:
        found_nm, std_nm, settled = method(images, settings_nm, world)
    except ValueError:
        found_nm, std_nm, settled = np.zeros(len(NAMES)), np.full(len(NAMES), np.inf), False
    return Found(found_nm - world.truth_nm, std_nm, settled, time.process_time() - start)


def by_likelihood(search: Search, depths_nm: tuple[float, ...] | None = None) -> Method:
    """``models.focus``; depths None: as the world's thickness says."""

    def method(images: Array, settings_nm: Array, world: World) -> tuple[Array, Array, bool]:
        about: dict[str, Any] = {**world.known, "depths_nm": depths_nm or world.depths_nm}
        found = estimate(images, settings_nm, world.aperture, search=search, **about)
        return found.coefficients_nm, found.std_nm, found.settled

    return method


def by_rings(c10_nm: float, c12_nm: float, step_nm: float, highest_per_nm: float) -> Method:
    """``models.focus_rings`` on counted images of incoherent contrast."""

    def method(images: Array, settings_nm: Array, world: World) -> tuple[Array, Array, bool]:
        found = ring_fit(
            images,
            settings_nm,
            incoherent(world.aperture, world.camera.source_size_nm),
            world.camera.pixel_nm,
            c10_nm=c10_nm,
            c12_nm=c12_nm,
            step_nm=step_nm,
            highest_per_nm=highest_per_nm,
            counted=True,
        )
        return _among_all(found.found_nm), _among_all(found.std_nm), found.settled

    return method


def by_network(images: Array, settings_nm: Array, world: World) -> tuple[Array, Array, bool]:
    """``models.focus_network`` with the weights that come with it."""
    found = read_focus(load_network(), images, settings_nm[:, 0], world.aperture)
    return _among_all(found.found_nm), _among_all(found.std_nm), found.settled


def _among_all(first_nm: Array) -> Array:
    """(8,) from C10, C12a, C12b."""
    return np.concatenate([first_nm, np.zeros(len(NAMES) - 3)])


def swept(world: World, choice: Choice, fluence: float) -> Array:
    """(8,) errors of a classical series of this total fluence."""
    sweeps, band_per_nm = choice
    each = fluence / sum(sweep.images for sweep in sweeps)
    found = tune(lambda asked: world.expose(asked[None], each)[0], sweeps, world.camera.pixel_nm, band_per_nm)
    return -found.settings_nm - world.truth_nm


def tuned(tried: Sequence[Choice], make: Callable[[int], World], count: int, fluence: float, limit_nm: float) -> Choice:
    """The series that brings most of the tuning worlds' C10 within a limit; of equals, that of least median error."""

    def judged(choice: Choice) -> tuple[float, float]:
        off = np.array([abs(swept(make(n), choice, fluence)[0]) for n in range(count)])
        return float(np.mean(off < limit_nm)), -float(np.median(off))

    return max(tried, key=judged)


def row(
    task: str, method: str, images: int, measure: str, values: npt.NDArray[Any], of: Callable[..., Any]
) -> dict[str, Any]:
    """One measure ``of`` values (N,), which is told the axis over which it goes, with its interval."""
    rng = np.random.default_rng(1)
    some = len(values) > 0
    drawn = of(values[rng.integers(0, len(values), (2000, len(values)))], axis=1) if some else [math.nan]
    low, high = np.quantile(drawn, (0.025, 0.975))
    about = {"task": task, "method": method, "images": images, "measure": measure, "worlds": len(values)}
    return {**about, "value": float(of(values, axis=0)) if some else math.nan, "low": float(low), "high": float(high)}


def root(squares: Array, axis: int) -> Any:
    return np.sqrt(np.mean(squares, axis=axis))


def verdict(
    task: str, name: str, images: int, found: Sequence[Found], clear: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """How well a method found C10; ``clear`` (N,) are the worlds whose bound allows it."""
    off, std = (np.array([getattr(f, part)[0] for f in found]) for part in ("error_nm", "std_nm"))
    claimed = np.array([f.settled for f in found]) & (2 * std < LIMIT_nm)
    near, z, limit = abs(off) < LIMIT_nm, abs(off / std)[claimed], f"within {LIMIT_nm:g} nm"
    told: list[tuple[str, npt.NDArray[Any], Callable[..., Any]]] = [
        (f"{limit} and claimed so, of all", claimed & near, np.mean),
        (f"{limit}, of all", near, np.mean),
        (f"{limit}, of those claimed", near[claimed], np.mean),
        (f"{limit}, of bound < {CLEAR_nm:g} nm", near[clear], np.mean),
        ("not claimed, of all", ~claimed, np.mean),
        ("median error in nm, of those claimed", abs(off[claimed]), np.median),
        ("1.48 median |z|, of those claimed", 1.4826 * z, np.median),
        ("off by over 3 std, of those claimed", z > 3, np.mean),
        ("CPU seconds, median", np.array([f.cpu_s for f in found]), np.median),
    ]
    return [row(task, name, images, *each) for each in told]


def over_worlds(
    measure: Callable[[int], T],
    count: int,
    what: str,
    jobs: int,
    table: Callable[[Sequence[T]], list[dict[str, Any]]],
    keep: Keep,
) -> list[dict[str, Any]]:
    """``table`` of the ``measure`` of worlds 0 to ``count`` − 1, in processes of their own where ``jobs`` are several.

    After each world ``keep`` is given the table so far.
    """
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) if jobs > 1 else None
    seen: list[T] = []
    with pool or nullcontext():
        for each in track((pool.map if pool else map)(measure, range(count)), what, total=count):
            seen.append(each)
            keep(table(seen))
    return table(seen)
