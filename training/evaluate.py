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
