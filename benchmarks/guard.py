"""What a guard in its own process costs an exposure, and how soon the beam is off when something dies.

    python -m benchmarks.guard                 a quarter of an hour; --minutes bounds it
    python -m benchmarks.guard --quick         a few exposures and kills, to see that it runs

Overhead: the same exposures of a recorded image behind a driver server, through a guard in this process and
through one in its own, in turns; the median of the differences should be under 5 ms. Times to blank are read from the
truth of a world that is a process of its own: in the driver server, behind temscript's own server with a second one for
the blanker, and behind one alone, where frames are short (0.35 s of 0.4 allowed). `lag` is how late this machine woke a
sleeper meanwhile.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import mean, median, quantiles
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image

from benchmarks.common import arguments, finish
from instruments.clock import RealClock
from instruments.guard import Guard
from instruments.guard_client import GuardClient, Plan
from instruments.latches import InstrumentLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED
from instruments.remote import RemoteMicroscope, RemoteSettings
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard_rig import Instrument

    from instruments.protocol import Guarded

CRASH = Path(__file__).resolve().parents[1] / "tests" / "crash"
LOOKS = {
    "64 × 64": Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=0.05),
    "256 × 256": Exposure(field_of_view_nm=100.0, shape=(256, 256), dwell_us=0.05),
    "1024 × 1024": Exposure(field_of_view_nm=100.0, shape=(1024, 1024), dwell_us=0.05),
}
STRIKES = (
    ("SIGKILL", ("runner",)),
    ("SIGKILL", ("guard",)),
    ("SIGKILL", ("runner", "guard")),
    ("SIGSTOP", ("runner",)),
    ("SIGSTOP", ("guard",)),
    ("SIGSTOP", ("runner", "guard")),
)


def overhead(exposures: int) -> list[dict[str, Any]]:
    """Milliseconds of an exposure, by frame: through either guard, and the difference.

    Median and 95 % quantile of the differences of exposures made one after the other; CPU time.
    """
    from guard_rig import (  # the tests' instrument; its folder is on the path only while this runs
        LIMITS,
        NAME,
        Instrument,
    )

    rows = []
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        os.environ["ADAPTEM_STATE"] = str(folder / "state")
        (folder / "inside").mkdir()
        (folder / "process").mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (2048, 2048), np.uint8)).save(folder / "image.png")
        recorded = {"kind": "replay", "image": str(folder / "image.png"), "pixel_size_nm": 0.1, "overhead_s": 0.0}
        recorded["real_time"] = True
        servers = {name: Instrument(folder / name, allow_s=60.0, instrument=recorded) for name in ("inside", "process")}
        guards: dict[str, Guarded] = {}
        for name, server in servers.items():
            settings = RemoteSettings(port=server.port, token_file=server.token_file, name=NAME)
            if name == "process":
                plan = Plan(instrument=settings, limits=LIMITS, ledger=folder / name / "ledger.sqlite")
                guards[name] = GuardClient(plan)
            else:
                clock = RealClock()
                scope = RemoteMicroscope(settings, server.token_file.read_text().strip(), clock)
                ledgers = (SqliteLedger(folder / name / f"{part}.sqlite") for part in ("ledger", "latches"))
                guards[name] = Guard(scope, LIMITS, InstrumentLedger(*ledgers), clock, SIMULATED)
        for look, exposure in LOOKS.items():
            took: dict[str, list[float]] = {name: [] for name in guards}
            spent: dict[str, list[float]] = {name: [] for name in guards}
            for number in range(exposures + 2):
                for name, guard in guards.items():
                    start_s, cpu_s = time.perf_counter(), cpu_of(guard)
                    guard.acquire(exposure)
                    if number >= 2:  # the first ones open files
                        took[name].append(1e3 * (time.perf_counter() - start_s))
                        spent[name].append(1e3 * (cpu_of(guard) - cpu_s))
            row: dict[str, Any] = {"frame": look}
            for part, ms in took.items():
                row |= {f"{part}_median_ms": median(ms), f"{part}_p95_ms": p95(ms)}
            extra_ms = [process - inside for inside, process in zip(took["inside"], took["process"], strict=True)]
            row |= {
                "overhead_median_ms": median(extra_ms),
                "overhead_p95_ms": p95(extra_ms),
                "overhead_cpu_ms": mean(spent["process"]) - mean(spent["inside"]),
                "exposures": exposures,
            }
            rows.append(row)
        for guard in guards.values():
            guard.close()
        for server in servers.values():
            server.close()
    return rows


def cpu_of(guard: Guarded) -> float:
    """CPU seconds that this process and the guard's have spent."""
    pids = [os.getpid(), *([guard.pids["guard_process"]] if isinstance(guard, GuardClient) else [])]
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def p95(values: Sequence[float]) -> float:
    """The 95 % quantile."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def blanking(times: int, minutes: float) -> list[dict[str, Any]]:
    """Milliseconds from the signal to the blanked beam: so many times each, or as many as there is time for."""
    from guard_rig import Instrument
    from guard_strikes import EXPOSURE_US, cable_fails, goes_off
    from temscript_rig import SHORT_US, Temscript

    opened: dict[str, tuple[Callable[[Path], Instrument], float]] = {
        "driver server": (Instrument, EXPOSURE_US),
        "temscript": (Temscript, EXPOSURE_US),
        "temscript, one server": (partial(Temscript, blanker=False), SHORT_US),
    }
    strikes: list[tuple[str, Callable[[Instrument, float], list[tuple[float, float]]]]] = [
        (f"{how} {' and '.join(victims)}", partial(_struck, goes_off, signal.Signals[how], victims))
        for how, victims in STRIKES
    ]
    strikes += [(f"cable {how}", partial(_cable, cable_fails, how)) for how in ("cut", "freeze")]
    rows = []
    for name, (open_one, dwell_us) in opened.items():
        with tempfile.TemporaryDirectory() as parent:
            instrument = open_one(Path(parent))
            for strike, act in strikes:
                found: list[tuple[float, float]] = []
                give_up_s = time.monotonic() + 60.0 * minutes / (len(opened) * len(strikes))  # each has its share
                while len(found) < times and (not found or time.monotonic() < give_up_s):
                    found += act(instrument, dwell_us)
                took_ms = [1e3 * took_s for took_s, _ in found]
                rows.append(
                    {
                        "instrument": name,
                        "strike": strike,
                        "median_ms": median(took_ms),
                        "p95_ms": p95(took_ms),
                        "worst_ms": max(took_ms),
                        "worst_lag_ms": 1e3 * max(lag_s for _, lag_s in found),
                        "times": len(found),
                    }
                )
            instrument.close()
    return rows


def _struck(
    goes_off: Any, how: signal.Signals, victims: tuple[str, ...], instrument: Any, dwell_us: float
) -> list[tuple[float, float]]:
    return list(goes_off(instrument, how, victims, math.inf, 1, dwell_us))


def _cable(cable_fails: Any, how: str, instrument: Any, dwell_us: float) -> list[tuple[float, float]]:
    return list(cable_fails(instrument, how, 1, dwell_us))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("overhead", "blanking"), help="one of the two tables")
    parser.add_argument("--minutes", type=float, default=15.0, help="the most that the kills and hangs may take")
    options = parser.parse_args()
    sys.path.insert(0, str(CRASH))
    rows: list[dict[str, Any]] = []
    if options.only != "blanking":
        rows = overhead(5 if options.quick else 300)
        finish(rows, options, title="An exposure through a guard in this process, and in its own")
    if options.only != "overhead":
        rows = blanking(1 if options.quick else 100, options.minutes)
        finish(rows, options, title="From the signal to the blanked beam")


if __name__ == "__main__":
    main()
