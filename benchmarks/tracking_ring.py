"""A camera of 256 × 256 8-bit pixels at 1,000 frames a second, and 50 events in a minute: is each window whole?

Camera and ring run in a process of their own, first in line where the system grants it (``instruments.priority``): on a
computer that others keep busy a process that asks for nothing waits a tenth of a second for its turn now and then.
Saved is what is on the disk (fsync).
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from instruments.priority import first_in_line
from instruments.ring import FrameRing

SHAPE, RATE_HZ = (256, 256), 1000.0
BEFORE, AFTER, EVENTS = 100, 20, 50


def turn(seconds: float) -> list[dict[str, Any]]:
    """One row; a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as own:
        return own.submit(_turn, seconds).result()


def _turn(seconds: float) -> list[dict[str, Any]]:
    """Frames carry their number, so that a window is checked frame by frame; each burst is written to disk."""
    granted = first_in_line()
    ring = FrameRing(2000, SHAPE, np.uint8, before=BEFORE, after=AFTER, every=50)
    stop, late_s = threading.Event(), []

    def camera() -> None:
        picture, began = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8), time.perf_counter()
        while not stop.is_set():
            number = ring.pushed
            due = began + number / RATE_HZ
            if (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
            else:
                late_s.append(-wait)
            picture[0, :4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
            ring.push(picture)

    thread = threading.Thread(target=camera)
    thread.start()
    rng, whole, before, lost, saved_s, asked = np.random.default_rng(1), 0, 0, 0, [], 0
    count = max(round(EVENTS * seconds / 60), 3)
    with tempfile.TemporaryDirectory() as folder:
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for at in np.sort(rng.uniform(0.5, seconds - 0.5, count)):
            time.sleep(max(began_s + at - time.perf_counter(), 0.0))
            ring.event()
            event_s, asked = time.perf_counter(), asked + 1
            burst = ring.burst(5.0)
            if burst is None:
                continue
            with (Path(folder) / f"{asked}.npy").open("wb") as file:
                np.save(file, burst.frames)
                file.flush()
                os.fsync(file.fileno())
            saved_s.append(time.perf_counter() - event_s)
            kept = np.load(Path(folder) / f"{asked}.npy")
            numbers = kept[:, 0, :4].copy().view(np.uint32).ravel()
            wanted = np.arange(burst.event - BEFORE, burst.event + AFTER + 1)
            whole += bool(np.array_equal(numbers, wanted))
            before += bool(np.isin(np.arange(burst.event - BEFORE, burst.event), numbers).all())
            lost += burst.lost
            (Path(folder) / f"{asked}.npy").unlink()
        took_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        rate = ring.pushed / took_s
        stop.set()
        thread.join()
    return [
        {
            "seconds": took_s,
            "frames_per_s": rate,
            "events": asked,
            "windows_whole": whole,
            "frames_before_there": before,
            "frames_lost": lost,
            "saved_median_ms": 1e3 * float(np.median(saved_s)),
            "saved_worst_ms": 1e3 * float(np.max(saved_s)),
            "latest_frame_ms": 1e3 * float(max(late_s, default=0.0)),
            "cores_used": used_s / took_s,
            "first_in_line": granted,
        }
    ]
