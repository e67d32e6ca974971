"""An instrument as a process of its own, a runner with guard and watchdog on it, and the truth about the beam."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash_truth import rows_of

from instruments.limits import INTERLOCKS, Limits

HERE = Path(__file__).parent
ENV = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}

LIMITS = Limits(
    x_nm=(-2e3, 2e3),
    y_nm=(-2e3, 2e3),
    backlash_nm=100.0,
    stage_uncertainty_nm=50.0,
    max_current_pA=60.0,
    max_electrons=1e15,
    max_fluence_e_per_A2=1e9,
    max_time_s=1e6,
    max_exposures_per_min=100_000,
    waived=dict.fromkeys(
        INTERLOCKS, "what stands behind this is simulated, or recorded"
    ),  # temscript tells no emission
)
"""Roomy: what is tested here is who blanks, and how soon."""

EXPOSURE_US = 1000.0
"""Per pixel of 64 × 64: 4 s of beam."""


NAME = "rig"
"""Of the instrument, at both ends."""

HANDS = 5
"""Sleepers that the news passes through, each as late as the machine makes it: guard, server, blanker, test, spare."""


MOST_LATE_S = 0.5
"""Of a limit, all that the machine's own lateness may add: what took longer was us, or shows nothing."""


class Lag:
    """How late this machine wakes a sleeper meanwhile: what no program on it can be faster than."""

    def __enter__(self) -> Lag:
        self.worst_s, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def allowance_s(self, hands: int) -> float:
        """By how much so many sleepers, one after the other, may have been late."""
        return min(hands * self.worst_s, MOST_LATE_S)

    def _sample(self) -> None:
        while not self._over.is_set():
            start_s = time.monotonic()
            time.sleep(0.005)
            self.worst_s = max(self.worst_s, time.monotonic() - start_s - 0.005)


class Instrument:
    """A simulated microscope in real time behind its driver server."""

    ON, OFF = "unblank", "blank"
    """Rows of the truth that tell when the beam came on, and when it went off."""
    HANDS = HANDS

    def __init__(self, folder: Path, driver: str = "instruments.hosted", allow_s: float = 1.0, instrument: Any = None):
        """``allow_s``: what an exposure may take beyond its own time, rendering included."""
        self.folder, self.truth, self.token_file = folder, folder / "truth.jsonl", folder / "token"
        settings = folder / "settings.json"
        specimen = {"heavy_per_um2": 0, "light_per_um2": 0}
        instrument = instrument or {"kind": "simulated", "real_time": True, "specimen": specimen}
        settings.write_text(json.dumps({"instrument": instrument, "seed": 1, "truth": str(self.truth)}))
        words = ["--driver", driver, "--settings", settings, "--token-file", self.token_file, "--until-stdin-closes"]
        words += ["--overhead-s", allow_s, "--name", NAME]
        with (folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "instruments.server", *map(str, words)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**ENV, "ADAPTEM_STATE": str(folder / "state")},  # each rig is a column of its own
            )
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        return rows_of(self.truth)[since:]

    def beam_on(self) -> bool:
        """Whether the last that happened to the beam is that it came on."""
        beam = [row["row"] for row in self.rows() if row["row"] in (self.ON, self.OFF)]
        return beam[-1:] == [self.ON]

    def went_off_s(self) -> float:
        """When it last did, on the monotonic clock."""
        return self.monotonic_s([row for row in self.rows() if row["row"] == self.OFF][-1])

    def monotonic_s(self, row: dict[str, Any]) -> float:
        boot = self.rows()[0]
        return float(boot["monotonic_s"] + row["t_s"] - boot["t_s"])


class Runner:
    """The runner's process, and through it the guard's and the watchdog's."""

    def __init__(self, instrument: Instrument, number: int, port: int | None = None, dwell_us: float = EXPOSURE_US):
        self.instrument = instrument
        self.state = instrument.folder / "state"
        order = {
            "port": port or instrument.port,
            "token_file": str(instrument.token_file),
            "ledger": str(instrument.folder / "ledger.sqlite"),
            "state": str(self.state),
            "dwell_us": dwell_us,
            "first_id": 1000 * number,
        }
        with (instrument.folder / "runner.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, HERE / "guard_runner.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=ENV,
            )
        self.tell(json.dumps(order))
        word, _, rest = self.word().partition(" ")
        assert word == "P", rest
        pids = json.loads(rest)
        self.pids = {"runner": self.process.pid, "guard": pids["guard_process"], "watchdog": pids["watchdog"]}

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def word(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def wait_for_beam(self) -> None:
        wait_for(self.instrument.beam_on)

    def strike(self, number: signal.Signals, *victims: str) -> float:
        """Send a signal to each; returns when, on the monotonic clock."""
        start_s = time.monotonic()
        for victim in victims:
            os.kill(self.pids[victim], number)
        return start_s

    def clear(self) -> None:
        """Nothing of it is left."""
        for pid in self.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        wait_for(lambda: not any(alive(pid) for pid in self.pids.values()))


def alive(pid: int) -> bool:
    """A process that has ended and was not asked for is as good as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(condition: Any, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.005)
