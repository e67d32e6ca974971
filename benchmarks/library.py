"""The library at 100,000 experiments: likeness, words with conditions, adds, by the clock; what kill -9 loses.

Experiments are made from a seed: 400 kinds of specimen (a formula of 2 to 4 elements, words, a cluster of embeddings),
techniques and settings as a laboratory has them. Answers are checked against a plain search through everything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archive.library import Library
from archive.library_records import Conditions, Experiment, Outcome
from archive.library_search import Query, numbers
from archive.likeness import MODEL, SIZE
from benchmarks.common import arguments, finish
from configs.elements import SYMBOLS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

KINDS = 400
WORDS = ("film particle defect boundary dopant catalyst oxide membrane annealed cooled precipitate void interface"
         " lamella powder nanorod strain vacancy").split()  # fmt: skip
TECHNIQUES = ("HAADF", "BF", "CTEM", "EELS", "EDS", "4D-STEM")


class Made:
    """Experiments from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        symbols = SYMBOLS[2:83]
        self.kinds = [
            (tuple(str(s) for s in self._random.choice(symbols, self._random.integers(2, 5), replace=False)),
             tuple(str(w) for w in self._random.choice(WORDS, 3, replace=False)))
            for _ in range(KINDS)
        ]  # fmt: skip
        self.centres = self._random.normal(0, 3, (KINDS, SIZE)).astype(np.float32)

    def one(self, number: int) -> tuple[Experiment, dict[str, Any], str]:
        """The experiment of this number."""
        random = np.random.default_rng((7, number))
        kind = int(random.integers(KINDS))
        elements, words = self.kinds[kind]
        frames = int(random.integers(1, 200))
        experiment = Experiment(
            uid=f"made:{number}",
            kind="survey",
            title=f"survey {number} of {''.join(elements)}",
            technique=str(random.choice(TECHNIQUES)),
            material="".join(elements),
            elements=elements,
            specimen=f"specimen-{number % 5000}",
            words=" ".join(words),
            created_utc="2026-01-01T00:00:00+00:00",
            operator=f"operator{number % 50}",
            conditions=Conditions(
                voltage_kV=float(random.choice([60, 80, 120, 200, 300])),
                current_pA=float(10 ** random.uniform(0.5, 3)),
                dwell_us=float(10 ** random.uniform(-1, 2)),
                pixel_size_nm=float(10 ** random.uniform(-2, 1)),
                fluence_e_per_A2=float(10 ** random.uniform(0, 5)),
            ),
            outcome=Outcome(frames=frames, usable_frames=int(frames * random.uniform(0.2, 1)), snr=5.0),
        )
        vector = self.centres[kind] + random.normal(0, 1, SIZE).astype(np.float32)
        return experiment, {MODEL: vector}, "made"


Times = tuple[float, float, float]


def timed(call: Callable[[int], object], times: int) -> Times:
    """Median and 99th percentile by the clock, and mean of the processor's time, in ms, after one call uncounted."""
    call(0)
    spent = []
    busy = time.process_time()
    for number in range(1, times + 1):
        start = time.perf_counter()
        call(number)
        spent.append(1e3 * (time.perf_counter() - start))
    busy = 1e3 * (time.process_time() - busy) / times
    return float(np.median(spent)), float(np.percentile(spent, 99)), busy


def questions(made: Made) -> dict[str, Callable[[int], Query]]:
    """Kinds of question: a rare word, a frequent one, conditions with and without words."""

    def elements(number: int) -> tuple[str, ...]:
        return made.kinds[number % KINDS][0][:2]

    ranges = {"voltage_kV": (190.0, 310.0), "dwell_us": (1.0, 10.0), "fluence_e_per_A2": (None, 1e3)}
    return {
        "words + elements + technique + 3 ranges": lambda n: Query(
            words=made.kinds[n % KINDS][1][0], elements=elements(n), technique=TECHNIQUES[n % 6], ranges=ranges
        ),
        "two words of every sixth experiment + 3 ranges": lambda n: Query(
            words=" ".join(made.kinds[n % KINDS][1][:2]), ranges=ranges
        ),
        "one word of every sixth experiment + technique": lambda n: Query(
            words=WORDS[n % len(WORDS)], technique=TECHNIQUES[n % 6]
        ),
        "three narrow ranges, no word": lambda n: Query(
            ranges={"voltage_kV": (299.0, 301.0), "dwell_us": (1.0, 1.2), "pixel_size_nm": (0.1, 0.2)}
        ),
        "a specimen's name": lambda n: Query(words=f"specimen-{n}"),
    }


def brute(library: Library, query: Query) -> set[int]:
    """What ``query`` must find, by reading everything."""
    found = set()
    for kept in library.all():
        one = kept.experiment
        text = f"{one.title} {one.material} {one.specimen} {one.words} {one.operator}".lower().replace("-", " ").split()
        words = [part for word in query.words.lower().split() for part in word.replace("-", " ").split()]
        if not all(word in text for word in words) or not set(query.elements) <= set(one.elements):
            continue
        if query.technique not in (None, one.technique):
            continue
        values = {name: getattr(one.conditions, name) for name in query.ranges}
        if all((a is None or values[n] >= a) and (b is None or values[n] <= b) for n, (a, b) in query.ranges.items()):
            found.add(kept.id)
    return found


def rows_of(size: int, times: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Every measurement."""
    made = Made(1)
    start = time.perf_counter()
    with Library(folder / "library.sqlite") as library:
        library.add_all((made.one(n) for n in range(size)), iter(()))
        filled_ms = 1e3 * (time.perf_counter() - start) / size
        library.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        megabytes = (folder / "library.sqlite").stat().st_size / 1e6
        yield row("filled in one transaction, each", size, (filled_ms, None, None), None, f"{megabytes:.0f} MB")
        vectors = [made.one(size + n)[1][MODEL] for n in range(times + 1)]
        start = time.perf_counter()
        library.like(MODEL, vectors[0])
        first_ms = 1e3 * (time.perf_counter() - start)
        yield row("first likeness query, which reads the matrix", size, (first_ms, None, None), None, "")
        taken = timed(lambda n: library.like(MODEL, vectors[n]), times)
        yield row("likeness, 10 nearest, exact", size, taken, 20, agrees_nearest(library, vectors[:5]))
        for name, ask in questions(made).items():
            query = ask(3)
            exact = set(numbers(library, query, size + 1)) == brute(library, query)
            taken = timed(lambda n, ask=ask: numbers(library, ask(n)), times)  # type: ignore[misc]
            yield row(name, size, taken, 10, "finds what reading all finds" if exact else "WRONG FINDS")
        fresh = [made.one(size + n) for n in range(times + 1)]
        taken = timed(lambda n: library.add(fresh[n][0], fresh[n][1]), times)
        yield row("add one, durably", size, taken, 20, "")
        more = [made.one(2 * size + n)[:2] for n in range(times + 1)]
        taken = timed(lambda n: (library.add(*more[n]), library.like(MODEL, vectors[n])), times)
        yield row("add one, then a likeness query", size, taken, None, "")


def agrees_nearest(library: Library, vectors: list[Any]) -> str:
    """Whether the nearest by the matrix are the nearest by a plain loop, by the same scale."""
    stored = library.database.execute("SELECT experiment, vector FROM embeddings WHERE model = ?", (MODEL,)).fetchall()
    raw = np.stack([np.frombuffer(blob, "<f4") for _, blob in stored]).astype(np.float64)
    ids = [number for number, _ in stored]
    median = np.median(raw, axis=0)
    spread = 1.4826 * np.median(np.abs(raw - median), axis=0)
    right = 0
    for vector in vectors:
        far = (np.clip((raw - median) / spread, -20, 20) - np.clip((vector - median) / spread, -20, 20)) ** 2
        plain = np.argsort(far.sum(axis=1), kind="stable")[:10]
        right += [ids[n] for n in plain] == [number for number, _ in library.like(MODEL, vector)]
    return f"same ten as a plain loop in {right} of {len(vectors)}"


def row(
    name: str, size: int, taken: tuple[float | None, float | None, float | None], bound: float | None, told: str
) -> dict[str, Any]:
    median, worst, busy = ("" if each is None else each for each in taken)
    bound_ms = "" if bound is None else bound
    return {"what": name, "experiments": size, "median_ms": median, "p99_ms": worst, "cpu_ms": busy,
            "bound_ms": bound_ms, "checked": told}  # fmt: skip


_WRITER = """
import sys
from pathlib import Path
from archive.library import Library
from benchmarks.library import Made
made, first = Made(1), int(sys.argv[2])
with Library(Path(sys.argv[1])) as library:
    for number in range(first, first + 100_000):
        assert library.add(*made.one(number)[:2]) == "new"
        print(number, flush=True)
"""


def kill_row(kills: int, folder: Path) -> dict[str, Any]:
    """A process that adds and says so, killed at a random moment; what it said is looked for afterwards."""
    path = folder / "killed.sqlite"
    said: set[int] = set()
    random = np.random.default_rng(5)
    for kill in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(1_000_000 * kill)], stdout=subprocess.PIPE, text=True
        )
        if child.stdout is None:
            raise RuntimeError("the writer has no pipe")
        said.add(int(child.stdout.readline()))
        time.sleep(float(random.uniform(0.05, 0.6)))
        os.kill(child.pid, signal.SIGKILL)
        said |= {int(line) for line in child.stdout.read().splitlines() if line.strip()}
        child.stdout.close()
        child.wait()
    with Library(path) as library:
        there = {int(kept.experiment.uid.removeprefix("made:")) for kept in library.all()}
        (verdict,) = library.database.execute("PRAGMA integrity_check").fetchone()
        embedded = library.database.execute("SELECT count(*) FROM embeddings").fetchone()[0]
    lost = len(said - there)
    told = f"{kills} kills: {lost} of {len(said)} acknowledged lost, {len(there - said)} more, integrity {verdict}"
    return row("kill -9 during adds", len(there), (None, None, None), None, told + f", {embedded} embeddings")


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    options: argparse.Namespace = parser.parse_args()
    size, times, kills = (2_000, 20, 2) if options.quick else (100_000, 300, 10)
    with tempfile.TemporaryDirectory() as folder:
        rows = [*rows_of(size, times, Path(folder)), kill_row(kills, Path(folder))]
    finish(rows, options, title="The library of prior experiments")


if __name__ == "__main__":
    main()
