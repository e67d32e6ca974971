"""A metal grid's bars, compiled: they stop every electron; an opening whose film broke shows nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba

from instruments.simulated.counter import at, key, unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from instruments.simulated.recipe import GridBars

_STREAM = 950
_EDGE_NM = 60.0


def draw_bars(
    shares: npt.NDArray[np.float32],
    bars: GridBars,
    place: npt.NDArray[np.float64],
    turn_rad: float,
    pixel_nm: float,
    seed: int,
    stopped: npt.NDArray[np.float32],
) -> None:
    """Draw the grid over (S, H, W) shares, in place. ``stopped`` (S,): what a signal shows where all is stopped."""
    pitch, opening = bars.pitch_um * 1e3, (bars.pitch_um - bars.bar_um) * 1e3
    half = math.hypot(*shares.shape[1:]) * pixel_nm / 2 + _EDGE_NM
    middle = (place + pitch / 2) % pitch - pitch / 2
    i, j = (math.floor((at_nm + pitch / 2) / pitch) for at_nm in place)
    clear = max(abs(middle[0]), abs(middle[1])) + half < opening / 2
    if not clear or _broken(int(seed), i, j, bars.broken):
        _draw(shares, place, turn_rad, pixel_nm, int(seed), pitch, opening, bars.broken, stopped)


@numba.njit(cache=True)
def _broken(seed, i, j, share):
    return (i != 0 or j != 0) and unit(at(key(seed, _STREAM), i, j)) < share


@numba.njit(cache=True)
def _draw(shares, place, turn, pixel, seed, pitch, opening, broken, stopped):
    height, width = shares.shape[1:]
    cos, sin = math.cos(turn) * pixel, math.sin(turn) * pixel
    edge = max(pixel, _EDGE_NM)
    for r in range(height):
        for c in range(width):
            dc, dr = c - (width - 1) / 2, r - (height - 1) / 2
            x, y = place[0] - cos * dc + sin * dr, place[1] - sin * dc - cos * dr
            i, j = math.floor((x + pitch / 2) / pitch), math.floor((y + pitch / 2) / pitch)
            inside = opening / 2 - max(abs(x - i * pitch), abs(y - j * pitch))
            open_share = min(max(inside / edge + 0.5, 0.0), 1.0)
            film = 0.0 if _broken(seed, int(i), int(j), broken) else 1.0
            for s in range(shares.shape[0]):
                shares[s, r, c] = open_share * film * shares[s, r, c] + (1 - open_share) * stopped[s]
