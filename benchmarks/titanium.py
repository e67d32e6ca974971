"""The recorded heating of irradiated titanium: 13 frames, experts' polygons, and how well experts agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.draw import polygon
from skimage.registration import phase_cross_correlation

from benchmarks.common import DATA
from instruments.images import read_image
from instruments.movie import MovieSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

Objects: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]

FOLDER = DATA / "insitu_ti"
PX, WIDE_PX = 512, 2048
_ONE_AREA = 3
"""The first frames show one area and, within 0.98 and 0.96 of correlation, one picture."""


def table() -> npt.NDArray[np.float64]:
    """(T, 3) frame, time in s, temperature in °C."""
    return np.genfromtxt(FOLDER / "frame_time_temperature.csv", delimiter=",", skip_header=1)


def movie() -> MovieSettings:
    """All frames with their times and the heater's log."""
    known = table()
    frames = tuple(FOLDER / "frames" / f"Chip-4-Heat-1-Frame-{int(n)}.jpg" for n in known[:, 0])
    return MovieSettings(
        frames=frames, times_s=tuple(map(float, known[:, 1])), pixel_size_nm=1.0, log=FOLDER / "heater_log.txt"
    )


def objects(frame: float) -> Objects:
    """(PX, PX) the number of the expert's polygon that covers each working pixel, 0 outside."""
    found = np.zeros((PX, PX), dtype=np.int32)
    lines = (FOLDER / "polygons" / f"Chip-4-Heat-1-Frame-{int(frame)}.txt").read_text().splitlines()
    for number, line in enumerate((each for each in lines if each.split()), start=1):
        corners = np.array(line.split()[1:], dtype=float).reshape(-1, 2) * PX
        found[polygon(corners[:, 1], corners[:, 0], found.shape)] = number
    return found


def images() -> list[Floats]:
    """All frames, on the working pixels."""
    binned = WIDE_PX // PX
    return [read_image(path).data.reshape(PX, binned, PX, binned).mean(axis=(1, 3)) for path in movie().frames]


def experts_agree(seen: Sequence[Floats], judged: Any) -> list[dict[str, float]]:
    """Experts' outlines of one frame held against those of the next, moved with the picture: three like frames."""
    drawn, rows = [objects(n) for n in table()[:_ONE_AREA, 0]], []
    for n in range(_ONE_AREA - 1):
        down, right, alike = drift(seen[n], seen[n + 1])
        moved, kept = _moved(drawn[n + 1], down, right)
        rows.append(judged(moved, drawn[n][kept]) | {"alike": alike})
    return rows


def drift(one: Floats, other: Floats) -> tuple[int, int, float]:
    """Rows and columns by which the other frame has to be moved to fit, and the correlation of the two then."""
    flat = [gaussian_filter(each, 1.0) - gaussian_filter(each, 20.0) for each in (one, other)]
    faded = [each * np.hanning(PX)[:, None] * np.hanning(PX) for each in flat]
    down, right = (round(float(each)) for each in phase_cross_correlation(*faded, normalization=None)[0])
    moved, kept = _moved(flat[1], down, right)
    return down, right, float(np.corrcoef(flat[0][kept].ravel(), moved.ravel())[0, 1])


def _moved(frame: npt.NDArray[Any], down: int, right: int) -> tuple[npt.NDArray[Any], tuple[slice, slice]]:
    """The frame, moved, where it lies within the other, and that part of the other."""
    kept = np.s_[max(down, 0) : PX + min(down, 0), max(right, 0) : PX + min(right, 0)]
    return np.roll(frame, (down, right), axis=(0, 1))[kept], kept
