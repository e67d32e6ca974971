"""Jobs of a benchmark, by several processes; each result is kept as a line of JSON, so that a run cut short goes on.

Results come back in the order of the jobs, and do not depend on how many processes there are. What is kept is kept by
what was asked: whoever changes the code that flies begins with a new file.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Result: TypeAlias = "dict[str, Any]"
"""Numbers, words and lists of them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One call in a process of its own."""

    asked: dict[str, Any]
    """All that the result follows from, as JSON."""
    run: Callable[[], Result]
    """A function of a module, or ``functools.partial`` of one: it is sent to another process."""

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.asked, sort_keys=True).encode()).hexdigest()[:16]


def done(jobs: Sequence[Job], workers: int, keep: Path | None = None, seconds: float | None = None) -> list[Result]:
    """Results of the jobs in their order, with ``cpu_s``, what each took of a processor.

    ``keep``: what lies in this file is not done again, and what is done is added. ``seconds``: no job begins later; the
    list then ends with the last job before which all are done.
    """
    found = read(keep)
    torn = keep is not None and keep.exists() and not keep.read_bytes().endswith(b"\n")
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    for number, (job, result) in enumerate(_done([job for job in jobs if job.key not in found], workers, until_s)):
        found[job.key] = result
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
            with keep.open("a", encoding="utf-8") as file:
                file.write("\n" * torn + json.dumps({"key": job.key, **result}) + "\n")
            torn = False
        if number % 20 == 0 and sys.stderr.isatty():
            print(f"\r{len(found)} of {len(jobs)}    ", end="", file=sys.stderr, flush=True)
    results = []
    for job in jobs:
        if job.key not in found:
            break
        results.append(found[job.key])
    return results


def read(keep: Path | None) -> dict[str, Result]:
    """By key; a line that was torn when its run was cut off is none."""
    found = {}
    for line in keep.read_text("utf-8").splitlines() if keep is not None and keep.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row.pop("key")] = row
    return found


def _done(jobs: Sequence[Job], workers: int, until_s: float) -> Iterator[tuple[Job, Result]]:
    """As they come."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    waiting = iter(jobs)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[Result], Job] = {}
        while True:
            while len(running) < 2 * workers and time.monotonic() < until_s:
                job = next(waiting, None)
                if job is None:
                    break
                running[pool.submit(_timed, job.run)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


def _timed(run: Callable[[], Result]) -> Result:
    begun_s = time.process_time()
    result = run()
    return {**result, "cpu_s": round(time.process_time() - begun_s, 3)}
