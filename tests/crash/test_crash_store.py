"""Killed at any moment, the archive has every frame and row it ever acknowledged."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from archive_samples import frame, recorder

from archive.folder import SurveyFolder
from archive.reader import SurveyReader

HERE = Path(__file__).parent


class Nursery:
    """Runs writers and remembers what they acknowledged."""

    def __init__(self) -> None:
        path = os.pathsep.join(map(str, HERE.parents[:2]))  # tests/ and the root
        self._process = subprocess.Popen(
            [sys.executable, HERE / "store_nursery.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        self.forget()

    def forget(self):
        """What was acknowledged so far: another survey comes."""
        self.intents: list[int] = []
        self.committed: list[int] = []
        self.steps: list[int] = []

    def write(self, path, *, kill_at=0, count=2, end=None):
        """Let a writer live; return how many calls it made, None when it was killed.

        ``end`` = (commits, delay_s, action): after so many commits and so long, ``action(pid)``.
        """
        self._process.stdin.write(f"{path} {kill_at} {count}\n")
        self._process.stdin.flush()
        pid, calls, commits = 0, None, 0
        for line in self._process.stdout:
            word, *rest = line.split()
            match word:
                case "P":
                    pid = int(rest[0])
                case "I":
                    self.intents.append(int(rest[0]))
                case "C":
                    self.committed.append(int(rest[0]))
                    commits += 1
                    if end and commits == end[0]:
                        time.sleep(end[1])
                        end[2](pid)
                case "S":
                    self.steps.append(int(rest[0]))
                case "T":
                    calls = int(rest[0])
                case "D":
                    return calls
        raise AssertionError("the nursery died")

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def check(path, nursery):
    """What was acknowledged is there, bit by bit; nothing was used twice; what was not is lost, not blank."""
    assert nursery.intents == sorted(set(nursery.intents))
    with SurveyFolder.open(path) as folder:
        keeper = recorder(folder)
        assert keeper.recovery.damaged == ()
        assert keeper.rows.intents() == ()
        keeper.journal.close()
    with SurveyReader(path) as reader:
        rows = {row.id: row for row in reader.exposures()}
        assert set(nursery.intents) <= rows.keys()
        assert {row.state for row in rows.values()} <= {"committed", "lost"}
        committed = {row.id for row in rows.values() if row.state == "committed"}
        assert set(nursery.committed) <= committed
        for exposure_id in committed:
            for name, data in reader.frame(exposure_id).items():
                np.testing.assert_array_equal(data, frame(exposure_id).signals[name].data)
        numbers = [step.number for step in reader.steps()]
        assert numbers == list(range(len(numbers)))
        assert set(nursery.steps) <= set(numbers)
    assert not list(path.rglob("*.partial"))


def test_killed_at_every_part_of_an_exposure(tmp_path, nursery):
    """20 kills spread evenly over all calls of a start, two exposures and a close, in one and the same survey."""
    path = tmp_path / "s"
    calls = nursery.write(path)
    assert calls > 500
    for kill_at in np.linspace(1, calls - 1, 20).astype(int):
        assert nursery.write(path, kill_at=int(kill_at)) is None
    assert nursery.write(path) is not None
    check(path, nursery)
    assert len(nursery.committed) > 15


def test_killed_at_the_first_start(tmp_path, nursery):
    """A survey that died before its first frame goes on, or was never there."""
    calls = nursery.write(tmp_path / "whole", count=1)
    for kill_at in np.linspace(1, calls - 1, 10).astype(int):
        path = tmp_path / f"s{kill_at}"
        nursery.forget()
        nursery.write(path, kill_at=int(kill_at), count=1)
        nursery.write(path, count=1)
        check(path, nursery)


def test_killed_at_random_moments(tmp_path, nursery):
    moments = np.random.default_rng(5)
    path = tmp_path / "s"
    for _ in range(15):
        end = (int(moments.integers(1, 8)), float(moments.uniform(0, 0.05)), kill)
        assert nursery.write(path, count=1000, end=end) is None
    nursery.write(path)
    check(path, nursery)
    assert len(nursery.committed) > 15


def kill(pid):
    os.kill(pid, signal.SIGKILL)


FS_IOC_SHUTDOWN = 0x8004587D
WITHOUT_LOG_FLUSH = struct.pack("I", 2)


def run(*command):
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path):
    """A real ext4 of its own, whose power can be cut."""
    image, mount = tmp_path / "disk.img", tmp_path / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    for command in (("/usr/sbin/mkfs.ext4", "-q", image), ("/bin/mount", "-o", "loop", image, mount)):
        try:
            done = run(*command)
        except FileNotFoundError as error:
            pytest.skip(f"cannot make a disk here: {error}")
        if done.returncode:
            pytest.skip(f"cannot make a disk here: {done.stderr.strip()}")
    yield image, mount
    run("/bin/umount", "--lazy", mount)


@pytest.mark.slow
def test_power_cuts(disk, nursery):
    """What is not synced is gone (the file system is shut down and its log not flushed); every frame is."""
    image, mount = disk
    moments = np.random.default_rng(6)
    path = mount / "s"

    def cut(pid):
        descriptor = os.open(mount, os.O_RDONLY)
        fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, WITHOUT_LOG_FLUSH)
        os.close(descriptor)
        kill(pid)

    for _ in range(10):
        end = (int(moments.integers(1, 60)), float(moments.uniform(0, 0.05)), cut)
        nursery.write(path, count=10_000, end=end)
        assert run("/bin/umount", mount).returncode == 0
        assert run("/bin/mount", "-o", "loop", image, mount).returncode == 0
        check(path, nursery)
    assert len(nursery.committed) > 50
