"""A process that adds to the library is killed: what it was told is kept is there, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np

from archive.library import Library

WRITER = """
import sys
from pathlib import Path
from archive.library import Library
from archive.library_records import Experiment
first = int(sys.argv[2])
with Library(Path(sys.argv[1])) as library:
    for number in range(first, first + 100_000):
        one = Experiment(uid=f"file:{number}", kind="file", title=f"number{number}", technique="HAADF")
        assert library.add(one, {"m": [number % 1_000, number // 1_000_000]}) == "new"
        print(number, flush=True)
"""


def test_nothing_acknowledged_is_lost_to_kill_9(root, tmp_path):
    path, said = tmp_path / "library.sqlite", set()
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
        assert library.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert library.database.execute("INSERT INTO words (words) VALUES ('integrity-check')").rowcount is not None
        for number in list(said)[:50]:
            nearest, far = library.like("m", [number % 1_000, number // 1_000_000], 1)[0]
            assert (nearest, far) == (there[number], 0.0)
