"""A metal grid's bars, compiled: they stop every electron; an opening whose film broke shows nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

from instruments.simulated.counter import at, key, unit
from instruments.simulated.painting import view

if TYPE_CHECKING:
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
    half = math.hypot(*shares.shape[1:]) * pixel_nm / 2 + max(_EDGE_NM, pixel_nm)
    middle = (place + pitch / 2) % pitch - pitch / 2
    i, j = (math.floor((at_nm + pitch / 2) / pitch) for at_nm in place)
    if max(abs(middle[0]), abs(middle[1])) + half < opening / 2:
        if _broken(seed, i, j, bars.broken):
            shares.fill(0.0)
    else:
        seen = view(place[0], place[1], shares.shape[1], shares.shape[2], pixel_nm, turn_rad, 0.0, 0.0, 1.0, 1.0)
        _draw(shares, seen, seed, pitch, opening, bars.broken, stopped)


def passed(
    bars: GridBars, place: npt.NDArray[np.float64], turn_rad: float, pixel_nm: float, shape: tuple[int, int], seed: int
) -> npt.NDArray[np.float32]:
    """(H, W) share of the electrons that no bar stops; nothing comes through as if scattered."""
    whole = np.ones((1, *shape), dtype=np.float32)
    draw_bars(whole, bars, place, turn_rad, pixel_nm, seed, np.zeros(1, dtype=np.float32))
    return whole[0]


@numba.njit(cache=True)
def _broken(seed, i, j, share):
    return (i != 0 or j != 0) and unit(at(key(seed, _STREAM), i, j)) < share


@numba.njit(cache=True)
def _draw(shares, view, seed, pitch, opening, broken, stopped):
    edge = max(math.sqrt(view[10]), _EDGE_NM)
    for r in range(shares.shape[1]):
        for c in range(shares.shape[2]):
            x, y = view[0] + view[2] * c + view[4] * r, view[1] + view[3] * c + view[5] * r
            i, j = math.floor((x + pitch / 2) / pitch), math.floor((y + pitch / 2) / pitch)
            inside = opening / 2 - max(abs(x - i * pitch), abs(y - j * pitch))
            open_share = min(max(inside / edge + 0.5, 0.0), 1.0)
            film = 0.0 if _broken(seed, int(i), int(j), broken) else 1.0
            for s in range(shares.shape[0]):
                shares[s, r, c] = open_share * film * shares[s, r, c] + (1 - open_share) * stopped[s]
