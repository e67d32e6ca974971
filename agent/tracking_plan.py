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
    """(C m, C m) covariance of what is not known of the measuring and of the places, whatever the law."""
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
    """Picks, the best for its cost first, until the budget or ``most`` is reached, or nothing more is told."""
    count, width = offers.noise.shape
    flat = offers.foretold.reshape(len(offers.weights), count * width)
    off = flat - offers.weights @ flat
    everything = offers.common + (off * offers.weights[:, None]).T @ off
    noise, room, left = offers.noise.reshape(-1), offers.room.copy(), budget
    picks: list[Pick] = []
    told = np.flatnonzero(noise < UNTOLD)
    columns = np.full(count * width, len(told))
    columns[told] = np.arange(len(told))
    columns = columns.reshape(count, width)
    noise = np.append(noise[told], UNTOLD)
    everything, measuring = _among(everything, told), _among(offers.common, told)
    while len(picks) < most:
        nats = _told(everything, noise, columns) - _told(measuring, noise, columns)
        open_to = (offers.cost <= left * (1 + 1e-9)) & (room[offers.slot] > 0)
        worth = np.where(open_to, nats / offers.cost, -np.inf)
        best = int(np.argmax(worth))
        if not worth[best] > 0:
            break
        picks.append(Pick(best, float(nats[best])))
        left -= float(offers.cost[best])
        room[offers.slot[best]] -= 1
        everything = _after(everything, noise, columns[best])
        measuring = _after(measuring, noise, columns[best])
    return picks


def _among(covariance: Array, told: Ints) -> Array:
    """Of what is told alone, and a last row and column that stand for all that is not."""
    return np.pad(covariance[np.ix_(told, told)], (0, 1))


def _told(covariance: Array, noise: Array, columns: Ints) -> Array:
    """(C,) ½ ln det (1 + covariance ÷ noise) of each candidate's own descriptors."""
    root = 1 / np.sqrt(noise[columns])
    blocks = covariance[columns[:, :, None], columns[:, None, :]] * root[:, :, None] * root[:, None, :]
    blocks = blocks + np.eye(columns.shape[1])
    return np.asarray(0.5 * np.linalg.slogdet(blocks)[1])


def _after(covariance: Array, noise: Array, columns: Ints) -> Array:
    """What is left unknown of every candidate once the one with these columns was measured."""
    told = columns[noise[columns] < UNTOLD]
    across = covariance[:, told]
    inner = across[told] + np.diag(noise[told] + _SINGULAR)
    return np.asarray(covariance - across @ np.linalg.solve(inner, across.T))
