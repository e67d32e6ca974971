"""Recorded heating of irradiated titanium: defects against temperature, and when annealing begins, seen in time order.

The movie is an instrument whose time passes (``instruments.movie``), its holder reads the heater's own log. Defects are
found by ``models.segmentation``, fitted to a few labelled frames, and counted by ``models.counting``. Fixed before the
first run: density: frames 1, 5, 9 and 13 labelled, the others asked. Onset: every second frame is taken, from the first
on; the frame after an alarm is taken at once; the first two frames that are taken are labelled, no later one; a rate
of false alarms of 5 %; counts scatter by 1.5 times their root. The onset lies between the last frame taken before the
change and the first one after it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon

from benchmarks.common import DATA
from instruments.clock import SimulatedClock
from instruments.movie import MovieMicroscope, MovieSettings
from instruments.types import Exposure
from models.changes import Steady
from models.counting import count_rule
from models.segmentation import Segmenter

if TYPE_CHECKING:
    import numpy.typing as npt

FOLDER = DATA / "insitu_ti"
PX, WIDE_PX = 512, 2048
LABELLED, MOST = (0, 4, 8, 12), 6
SCATTER = 1.5


def movie() -> tuple[MovieSettings, npt.NDArray[np.float64]]:
    """Its settings, and frame, time, temperature in °C of each."""
    table = np.genfromtxt(FOLDER / "frame_time_temperature.csv", delimiter=",", skip_header=1)
    frames = tuple(FOLDER / "frames" / f"Chip-4-Heat-1-Frame-{int(n)}.jpg" for n in table[:, 0])
    settings = MovieSettings(
        frames=frames, times_s=tuple(map(float, table[:, 1])), pixel_size_nm=1.0, log=FOLDER / "heater_log.txt"
    )
    return settings, table


def experts(frame: float) -> tuple[int, npt.NDArray[np.bool_]]:
    """How many polygons the experts drew, and the mask on the working pixels."""
    mask, part = np.zeros((PX, PX), dtype=bool), 0
    for line in (FOLDER / "polygons" / f"Chip-4-Heat-1-Frame-{int(frame)}.txt").read_text().splitlines():
        if not line.split():
            continue
        corners = np.array(line.split()[1:], dtype=float).reshape(-1, 2) * PX
        rows, columns = polygon(corners[:, 1], corners[:, 0], mask.shape)
        mask[rows, columns] = True
        part += 1
    return part, mask


def look() -> Exposure:
    return Exposure(field_of_view_nm=float(WIDE_PX), shape=(PX, PX), dwell_us=1.0)


def density() -> list[dict[str, Any]]:
    """One row a frame that was not labelled."""
    settings, table = movie()
    images = _all(settings)
    known = [experts(n) for n in table[:, 0]]
    model = Segmenter([images[n][0] for n in LABELLED], [known[n][1] for n in LABELLED], None)
    columns = [model.columns(images[n][0]) for n in LABELLED]
    rule = count_rule(model, columns, [known[n][1] for n in LABELLED])
    rows = []
    for n, (image, kelvin) in enumerate(images):
        if n in LABELLED:
            continue
        count = rule.count(model.probabilities(model.columns(image)))
        rows.append(
            {
                "temperature_C": table[n, 2],
                "holder_K": kelvin,
                "experts": known[n][0],
                "counted": count,
                "off": count / known[n][0] - 1,
            }
        )
    return rows


def _all(settings: MovieSettings) -> list[tuple[Any, float]]:
    """(image, temperature that the holder read) of every frame, as time passes."""
    clock = SimulatedClock()
    scope, found = MovieMicroscope(settings, clock), []
    for t_s in settings.times_s:
        clock.wait(max(t_s - settings.times_s[0] - clock.now_s(), 0.0))
        frame = scope.acquire(look())
        reading = frame.holder["temperature_K"]
        found.append((frame.signals["image"].data, float("nan") if reading.value is None else reading.value))
    return found


def experts_onset(counts: npt.NDArray[np.float64]) -> int:
    """The frame before which the step lies that fits the experts' counts best (least squares)."""
    left = [
        float(((counts[:n] - counts[:n].mean()) ** 2).sum() + ((counts[n:] - counts[n:].mean()) ** 2).sum())
        for n in range(1, len(counts))
    ]
    return int(np.argmin(left)) + 1


def onset() -> dict[str, Any]:
    """Taken in time order, six at most, without looking ahead."""
    settings, table = movie()
    counts = np.array([experts(n)[0] for n in table[:, 0]], dtype=float)
    clock = SimulatedClock()
    scope, taken, told, alarm = MovieMicroscope(settings, clock), [], [], None
    steady = Steady(MOST, 0.05)
    model = rule = None
    n = 0
    while n < len(table) and len(taken) < MOST:
        clock.wait(max(table[n, 1] - clock.now_s(), 0.0))
        taken.append((n, scope.acquire(look()).signals["image"].data))
        if len(taken) == 2:
            masks = [experts(table[k, 0])[1] for k, _ in taken]
            model = Segmenter([image for _, image in taken], masks, None)
            rule = count_rule(model, [model.columns(image) for _, image in taken], masks)
        if model is not None and rule is not None:
            for k, image in taken[len(told) :]:
                count = rule.count(model.probabilities(model.columns(image)))
                told.append(count)
                if steady.learn(float(count), SCATTER * math.sqrt(max(count, 1))) and alarm is None:
                    alarm = (taken[len(told) - 2][0], k)
        n += 1 if alarm is not None and alarm[1] == n else 2
    right = experts_onset(counts)
    return {
        "experts": f"between {table[right - 1, 2]:.0f} and {table[right, 2]:.0f} °C",
        "found": "none" if alarm is None else f"between {table[alarm[0], 2]:.0f} and {table[alarm[1], 2]:.0f} °C",
        "holds_it": alarm is not None and alarm[0] < right <= alarm[1],
        "frames_taken": len(taken),
        "taken_C": ", ".join(f"{table[k, 2]:.0f}" for k, _ in taken),
        "counted": ", ".join(map(str, told)),
    }
