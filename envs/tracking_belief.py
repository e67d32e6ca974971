"""What an environment knows of a changing specimen, and how much a reading has told: the reward of following it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.particles import Array, Measured
    from envs.tracked import TrackLook

_SIZE = np.array([1.0, 1.0, 0.1, 1.0, 0.5])
"""Of each descriptor's changes."""


class Belief(Protocol):
    """Knows, and says what it learned. Theories are handed in from outside; by itself there is ``Wandering``."""

    def wait(self, duration_s: float, holder: Mapping[str, float]) -> None:
        """Time passes under a holder's conditions."""
        ...

    def learn(self, look: TrackLook, place: int, t_s: float, measured: Measured) -> float:
        """Take up what an exposure has told of a place; by how many nats that narrows what is not known."""
        ...


class Wandering:
    """The state of every place, as if each descriptor wandered at random: no theory, in closed form.

    Information is ½ ln of the variance before over that after, summed over what was told.
    """

    def __init__(self, places: int, horizon_s: float) -> None:
        self._variance = np.broadcast_to((3 * _SIZE) ** 2, (places, 5)).copy()
        self._grows_per_s = (3 * _SIZE) ** 2 / horizon_s

    def wait(self, duration_s: float, holder: Mapping[str, float]) -> None:
        del holder
        self._variance += self._grows_per_s * duration_s

    def learn(self, look: TrackLook, place: int, t_s: float, measured: Measured) -> float:
        del look, t_s
        told = np.isfinite(measured.values) & np.isfinite(measured.sds)
        before = self._variance[place, told]
        after = 1 / (1 / before + 1 / measured.sds[told] ** 2)
        self._variance[place, told] = after
        return float(0.5 * np.log(before / after).sum())

    def sds(self) -> Array:
        """(places, descriptors) of what is known now."""
        return np.asarray(np.sqrt(self._variance))
