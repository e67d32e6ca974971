"""Which looks, now and later, tell most about a process for the electrons that are left.

What every candidate would show is foretold by the posterior's parameter sets. As far as these are Gaussian, what a
number of looks tell together follows from covariances, and a greedy choice by information per cost is near the best
plan (Krause, Singh & Guestrin, J. Mach. Learn. Res. 9, 235 (2008)). Only what would be done now is done; then all is
planned anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]

UNTOLD = 1e6
"""Variance of a descriptor that a look does not tell."""
_SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class Offers:
    """C candidates of m descriptors each, foretold by P parameter sets."""

    foretold: Array
    """(P, C, m)"""
    weights: Array
    """(P,)"""
    common: Array
    """(n, n) covariance of what is not known of the measuring and of the places, whatever the law, of the n numbers
    that are told: in the order of ``noise``, those below UNTOLD."""
    noise: Array
    """(C, m) variances of one measurement."""
    cost: Array
    """(C,) > 0."""
    slot: Ints
    """(C,) when: 0 is now."""
    room: Ints
    """(slots,) how many looks fit into each."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One planned look."""

    candidate: int
    nats: float
    """About laws and parameters, beyond what the picks before it tell."""


def plan(offers: Offers, budget: float, most: int) -> list[Pick]:
    """Picks, the best for its cost first, until the budget or ``most`` is reached, or nothing more is told.

    Ends with the first that is for now: what comes after that is planned anew.
    """
    count, width = offers.noise.shape
    noise, room, left = offers.noise.reshape(-1), offers.room.copy(), budget
    told = np.flatnonzero(noise < UNTOLD)
    flat = offers.foretold.reshape(len(offers.weights), count * width)[:, told]
    off = flat - offers.weights @ flat
    columns = np.full(count * width, len(told))
    columns[told] = np.arange(len(told))
    columns = columns.reshape(count, width)
    noise = np.append(noise[told], UNTOLD)
    # of everything, and of the measuring alone; the last row and column stand for all that is not told
    unknown = np.zeros((2, len(noise), len(noise)))
    unknown[:, :-1, :-1] = offers.common
    unknown[0, :-1, :-1] += (off * offers.weights[:, None]).T @ off
    root = 1 / np.sqrt(noise[columns])
    scale, one = root[:, :, None] * root[:, None, :], np.eye(width)
    picks: list[Pick] = []
    while len(picks) < most:
        blocks = unknown[:, columns[:, :, None], columns[:, None, :]] * scale + one
        logdets = np.linalg.slogdet(blocks)[1]
        nats = 0.5 * (logdets[0] - logdets[1])
        open_to = (offers.cost <= left * (1 + 1e-9)) & (room[offers.slot] > 0)
        worth = np.where(open_to, nats / offers.cost, -np.inf)
        best = int(np.argmax(worth))
        if not worth[best] > 0:
            break
        picks.append(Pick(best, float(nats[best])))
        if offers.slot[best] == 0:
            break
        left -= float(offers.cost[best])
        room[offers.slot[best]] -= 1
        _learn(unknown, noise, columns[best])
    return picks


def _learn(unknown: Array, noise: Array, columns: Ints) -> None:
    """Takes from covariances (2, n, n) what is known once the candidate with these columns was measured."""
    told = columns[noise[columns] < UNTOLD]
    across = unknown[:, :, told]
    inner = across[:, told] + np.diag(noise[told] + _SINGULAR)
    unknown -= across @ np.linalg.solve(inner, across.swapaxes(1, 2))
