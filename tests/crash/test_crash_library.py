"""A process that adds to the library is killed: what it was told is kept is there, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from archive.library import Library

WRITER = """
import sys
from archive.library import Library
from archive.library_records import Experiment
first = int(sys.argv[2])
with Library(sys.argv[1]) as library:
    for number in range(first, first + 100_000):
        one = Experiment(uid=f"file:{number}", kind="file", title=f"number{number}", technique="HAADF")
        assert library.add(one, {"m": [number % 1_000, number // 1_000_000]}) == "new"
        print(number, flush=True)
"""


def test_nothing_acknowledged_is_lost_to_kill_9(root, place):
    path, said = place("library"), set()
    chance = np.random.default_rng(3)
    for kill in range(4):
        command = [sys.executable, "-c", WRITER, str(path), str(1_000_000 * kill)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
        said.add(int(child.stdout.readline()))
        time.sleep(chance.uniform(0.01, 0.3))
        os.kill(child.pid, signal.SIGKILL)
        said |= {int(line) for line in child.stdout.read().splitlines() if line}
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    with Library(path) as library:
        there = {int(kept.experiment.uid.removeprefix("file:")): kept.id for kept in library.all()}
        assert said - set(there) == set()
        assert len(there) - len(said) <= 4  # one a kill, on disk and not yet told
        if isinstance(path, Path):
            assert library.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert library.database.execute("INSERT INTO words (words) VALUES ('integrity-check')").rowcount is not None
        for number in list(said)[:50]:
            nearest, far = library.like("m", [number % 1_000, number // 1_000_000], 1)[0]
            assert (nearest, far) == (there[number], 0.0)


TWO = """
import sys
from archive.library import Library
from archive.library_records import Experiment
from collections import Counter
with Library(sys.argv[1]) as library:
    said = Counter()
    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 60):
        one = Experiment(uid=f"file:{number}", kind="file", title=f"number{number}", technique="HAADF")
        said[library.add(one, {"m": [number, 1.0]})] += 1
print(said["new"], said["same"], sum(said.values()))
"""


def test_two_writers_at_once_add_each_experiment_once(root, place):
    path = place("library")
    Library(path).close()
    children = [
        subprocess.Popen([sys.executable, "-c", TWO, str(path), first], stdout=subprocess.PIPE, text=True, cwd=root)
        for first in ("0", "30")
    ]
    told = [tuple(map(int, child.communicate()[0].split())) for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum(new for new, _, _ in told) == 90
    assert sum(same for _, same, _ in told) == 30
    with Library(path) as library:
        assert len(library) == 90
        assert [number for number, far in library.like("m", [45.0, 1.0], 1) if far == 0.0]
