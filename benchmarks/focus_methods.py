"""Ways to focus, each on the same exposures of a world, and the rows that tell how well they did."""

from __future__ import annotations

import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from rich.progress import track

from instruments.aberrations import NAMES
from models.focus import Search, estimate
from models.focus_classical import Sweep, tune

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.focus_worlds import Array, World

T = TypeVar("T")
Choice: TypeAlias = tuple[tuple[Sweep, ...], tuple[float, float]]
"""A classical series and the band of frequencies per nm that it judges by."""

P95 = partial(np.quantile, q=0.95)


class Found(NamedTuple):
    error_nm: Array
    std_nm: Array
    settled: bool
    cpu_s: float


def ours(world: World, settings_nm: Array, fluence: float, search: Search, depths_nm: tuple[float, ...]) -> Found:
    """The estimator on images of this total fluence; it refuses an image that counts nothing with ValueError."""
    images = world.expose(settings_nm, fluence / len(settings_nm))
    about: dict[str, Any] = {**world.known, "depths_nm": depths_nm}
    start = time.process_time()
    try:
        found = estimate(images, settings_nm, world.aperture, search=search, **about)
    except ValueError:
        return Found(-world.truth_nm, np.full(len(NAMES), np.inf), False, time.process_time() - start)
    error_nm = found.coefficients_nm - world.truth_nm
    return Found(error_nm, found.std_nm, found.settled, time.process_time() - start)


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
    task: str, method: str, images: int, measure: str, values: npt.NDArray[Any], of: Callable[[Array], Any]
) -> dict[str, Any]:
    """One measure ``of`` values (N, ...), with its interval."""
    rng = np.random.default_rng(1)
    some = len(values) > 0
    drawn = [of(values[rng.integers(0, len(values), len(values))]) for _ in range(2000)] if some else [math.nan]
    low, high = np.quantile(drawn, (0.025, 0.975))
    about = {"task": task, "method": method, "images": images, "measure": measure, "worlds": len(values)}
    return {**about, "value": float(of(values)) if some else math.nan, "low": float(low), "high": float(high)}


def root(squares: Array) -> Any:
    return np.sqrt(np.mean(squares))


def over_worlds(measure: Callable[[int], T], count: int, what: str, jobs: int) -> list[T]:
    """``measure`` of worlds 0 to ``count`` − 1, in processes of their own where ``jobs`` are more than 1."""
    if jobs == 1:
        return [measure(n) for n in track(range(count), what)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(track(pool.map(measure, range(count)), what, total=count))
