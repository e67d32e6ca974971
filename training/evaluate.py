"""Agents compared on the same specimens: episodes in parallel, every difference paired, all with intervals."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from training.episode import EpisodeSettings, Trace, play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent.settings import AgentSettings

Array: TypeAlias = npt.NDArray[np.float64]
Ratio: TypeAlias = float
Axis: TypeAlias = Literal["dose", "time_s", "area"]
Entrants: TypeAlias = "Mapping[str, AgentSettings | str]"


def evaluate(
    settings: EpisodeSettings,
    entrants: Entrants,
    seeds: Sequence[int],
    *,
    workers: int = 2,
    on_trace: Callable[[Trace], None] = lambda _: None,
) -> dict[str, list[Trace]]:
    """Every entrant (see ``training.episode.play``) on the specimen of every seed; traces in the order of the seeds.

    Worker processes start fresh and each uses one thread, so the result does not depend on ``workers``.
    """
    jobs = [(settings, agent, seed, name) for seed in seeds for name, agent in entrants.items()]
    traces: dict[str, list[Trace]] = {name: [] for name in entrants}
    with contextlib.ExitStack() as stack:
        run: Callable[..., Iterator[Trace]] = map
        if workers > 1:
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            spawn = multiprocessing.get_context("spawn")
            run = stack.enter_context(ProcessPoolExecutor(workers, spawn)).map
        for trace in run(_play, jobs):
            traces[trace.agent].append(trace)
            on_trace(trace)
    return traces


def _play(job: tuple[EpisodeSettings, AgentSettings | str, int, str]) -> Trace:
    return play(*job)


def found_at(traces: Sequence[Trace], axis: Axis, at: Array) -> Array:
    """(S, G) share of the features found by the S traces when ``axis`` reaches each of the (G,) values.

    The step that would overshoot does not count. NaN for a specimen without features.
    """
    rows = []
    for trace in traces:
        done = np.searchsorted(getattr(trace, axis), at, side="right")
        found = np.concatenate([[0.0], trace.found])[done]
        rows.append(found if trace.features else np.full(len(at), np.nan))
    return np.array(rows)


def interval(values: Array) -> tuple[float, float, float]:
    """(mean, low, high) of (S,) specimens, a 95 % bootstrap interval of the mean; NaN specimens are left out.

    One specimen tells nothing of others: low and high are NaN, and the mean too where there is none.
    """
    return _bootstrap(values, np.ones(len(values)))


def ratio_interval(values: Array, others: Array) -> tuple[float, float, float]:
    """(mean ÷ mean, low, high), a 95 % interval that draws specimens, not agents: the two are paired."""
    return _bootstrap(values, others)


def _bootstrap(values: Array, others: Array, draws: int = 4000) -> tuple[float, float, float]:
    """Percentile bootstrap (Efron 1979) of Σ values ÷ Σ others over paired specimens."""
    both = np.column_stack([values, others])
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return (float("nan"),) * 3
    if len(both) == 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(both[0, 0] / both[0, 1]), float("nan"), float("nan")
    chosen = np.random.default_rng(0).integers(len(both), size=(draws, len(both)))
    top, bottom = both[chosen].sum(axis=1).T
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanquantile(top / bottom, (0.025, 0.975), method="inverted_cdf")
        return float(both[:, 0].sum() / both[:, 1].sum()), float(low), float(high)
