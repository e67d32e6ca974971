"""What all looks have in common beside the law: pixels and gains known only in size, and places unlike the mean.

In logarithms all of it adds up, so that for each parameter set the best guess follows in closed form (a Kalman filter).
Its covariance is the same for all sets of a law: how chance moves what a look shows (``models.kinetics_sampling``) is
taken in the mean over them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import DESCRIPTORS, FRACTION, NUMBER, RADIUS, SPREAD, VOLUME, Array, Law, State, View
from models.kinetics_sampling import CHANCES, chances, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

CHANNELS = ("image", "spectra")
"""Images tell numbers and sizes, and volumes by their gain; spectra tell volumes by another, and phases."""
_PIXEL, _GAIN = 0, 1
_COMMON = 1 + len(CHANNELS)
_OWN = 5
"""Of each place beyond chance: number, radius, spread, fraction; and how far ahead of the mean it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well the instrument is known: standard deviations of logarithms."""

    pixel_size: Ratio = 0.04
    gain: Ratio = 0.10
    place: tuple[Ratio, Ratio, Ratio, Ratio] = (0.04, 0.015, 0.01, 0.03)
    """How much places differ beyond the chance of which particles lie in them: in number, radius, spread, and in the
    part that has changed where half of it has."""
    wandering: Ratio = 0.7
    """By how much of that the difference changes while the process is followed, beside what stays."""
    theory: Ratio = 0.02
    """How well a law's simulation follows the law, of every descriptor and each time anew."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look has told, with its standard deviations; nan: nothing of it."""

    t_s: float
    view: View
    channel: str
    values: Array
    """(descriptors,)"""
    sds: Array
    """(descriptors,)"""
    electrons: float = 0.0
    signal: str = ""

    @property
    def told(self) -> Bools:
        """(descriptors,) which were measured."""
        return np.isfinite(self.values) & np.isfinite(self.sds)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which common errors there are: of the instrument, of each place, and of the strata of each of its rings.

    Views of one place share a middle: a wide one sees what a narrow one sees, and a ring around it.
    """

    places: int
    widths_nm: tuple[float, ...]
    """Of all views, from the narrowest."""

    @classmethod
    def of(cls, places: int, widths_nm: Sequence[float]) -> Layout:
        return cls(places, tuple(sorted(set(widths_nm))))

    @property
    def each(self) -> int:
        """Errors of one place."""
        return _OWN + CHANCES * len(self.widths_nm)

    @property
    def count(self) -> int:
        return _COMMON + self.places * self.each

    def rings(self, view: View) -> Array:
        """(rings,) by how much chance in each moves a view, over a view of 1 µm².

        Raises ValueError for a view of a width that was not named.
        """
        if view.width_nm not in self.widths_nm:
            named = ", ".join(f"{width:g}" for width in self.widths_nm)
            raise ValueError(f"a view {view.width_nm:g} nm wide was read; the filter was made for {named} nm: name it")
        squares = np.square([0.0, *self.widths_nm]) * 1e-6
        areas = np.diff(squares)
        areas[self.widths_nm.index(view.width_nm) + 1 :] = 0.0
        return np.asarray(np.sqrt(areas) / view.area_um2)

    def effect(self, view: View, channel: str, chance: Chance, fraction: Array | None = None) -> Array:
        """(T, descriptors, M) by how much each error moves each descriptor, at T moments.

        ``fraction`` (T,): changed there, where it was measured.
        """
        moved = np.zeros((len(chance.fraction), len(DESCRIPTORS), self.count))
        first = _COMMON + view.place * self.each
        number, radius, spread, changed, offset = range(first, first + _OWN)
        moved[:, NUMBER, _PIXEL], moved[:, NUMBER, number] = -2.0, 1.0
        moved[:, RADIUS, _PIXEL], moved[:, RADIUS, radius] = 1.0, 1.0
        moved[:, VOLUME, _GAIN + CHANNELS.index(channel)] = 1.0
        moved[:, VOLUME, number], moved[:, VOLUME, radius] = 1.0, 3.0
        moved[:, SPREAD, spread] = 1.0
        part = np.clip(chance.fraction if fraction is None else fraction, 0.0, 1.0)
        moved[:, FRACTION, changed] = 2 * np.sqrt(part * (1 - part))
        moved[:, FRACTION, offset] = chance.ahead
        by_ring = chance.moved[:, :, None, :] * self.rings(view)[:, None]
        moved[:, :, first + _OWN : first + self.each] = by_ring.reshape(*moved.shape[:2], -1)
        return moved


@dataclass(frozen=True, slots=True)
class Chance:
    """How chance moves what a view shows at T moments, in the mean over parameter sets."""

    moved: Array
    """(T, descriptors, CHANCES), as ``chances`` has it."""
    ahead: Array
    """(T,) by how much the fraction moves where a place is ahead of the mean."""
    fraction: Array
    """(T,)"""

    @classmethod
    def of(cls, law: Law, state: State, values: Array, weights: Array, views: Sequence[View]) -> list[Chance]:
        """Of every view. ``state`` and ``values`` of T·P sets, one moment after another; ``weights`` (P,)."""
        parts = joined([law.strata(state, values, view) for view in views])
        shape = (len(views), -1, len(weights))
        told = chances(parts, *views)
        moved = np.einsum("vtpdk,p->vtdk", told.reshape(*shape, *told.shape[1:]), weights)
        fraction = parts.fraction.reshape(shape) @ weights
        ahead = np.zeros_like(fraction) if parts.offset is None else parts.offset.reshape(shape) @ weights
        return [cls(*each) for each in zip(moved, ahead, fraction, strict=True)]


@dataclass(frozen=True, slots=True)
class Nuisance:
    """M common errors; ``covariance`` (M, M) what is not known of them, the same for every parameter set."""

    layout: Layout
    covariance: Array
    theory: Ratio
    wanders_per_s: Array
    """(M,) by which variances grow in time: what places have beyond chance may change."""

    @classmethod
    def begin(cls, calibration: Calibration, layout: Layout, horizon_s: float) -> Nuisance:
        """Nothing seen yet."""
        sds, wanders = np.ones(layout.count), np.zeros(layout.count)
        sds[:_COMMON] = [calibration.pixel_size] + [calibration.gain] * len(CHANNELS)
        for n in range(layout.places):
            own = slice(_COMMON + n * layout.each, _COMMON + n * layout.each + len(calibration.place))
            sds[own] = calibration.place
            wanders[own] = np.square(calibration.wandering * np.array(calibration.place)) / horizon_s
        return cls(layout, np.diag(np.square(sds)), calibration.theory, wanders)

    def later(self, duration_s: float) -> Nuisance:
        """What is known after a time in which nothing was measured."""
        return replace(self, covariance=self.covariance + np.diag(self.wanders_per_s * duration_s))

    def foretold(self, reading: Reading, moved: Array) -> Foretold:
        """How far such a reading may lie from what one parameter set says; ``moved`` as of ``Layout.effect``."""
        told = reading.told
        moved = moved[told]
        reach = moved @ self.covariance
        return Foretold(moved, reach, reach @ moved.T + np.diag(np.square(reading.sds[told]) + self.theory**2))

    def learned(self, foretold: Foretold) -> tuple[Nuisance, Array]:
        """What is left unknown after the measurement, and the gain (M, measured) by which guesses follow it."""
        gain = np.linalg.solve(foretold.covariance, foretold.reach).T
        left = self.covariance - gain @ foretold.reach
        return replace(self, covariance=np.asarray((left + left.T) / 2)), np.asarray(gain)


@dataclass(frozen=True, slots=True)
class Foretold:
    """Of one measurement of m descriptors."""

    moved: Array
    """(m, M)"""
    reach: Array
    """(m, M) covariance with the common errors."""
    covariance: Array
    """(m, m)"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A reading with what does not depend on the parameter set: kept, so that other sets can be judged by it."""

    reading: Reading
    told: Bools
    moved: Array
    gain: Array
    precision: Array
    log_norm: float = field(default=0.0)

    @classmethod
    def of(cls, reading: Reading, foretold: Foretold, gain: Array) -> Seen:
        """From what was foretold of it."""
        sign, logdet = np.linalg.slogdet(foretold.covariance)
        del sign
        norm = -0.5 * (logdet + len(foretold.covariance) * np.log(2 * np.pi))
        return cls(
            reading, reading.told, foretold.moved, gain, np.asarray(np.linalg.inv(foretold.covariance)), float(norm)
        )

    def judge(self, shown: Array, guesses: Array) -> tuple[Array, Array]:
        """Ln of the probability density (P,) under parameter sets that show (P, descriptors), and their new guesses."""
        off = self.reading.values[self.told] - shown[:, self.told] - guesses @ self.moved.T
        likely = self.log_norm - 0.5 * ((off @ self.precision) * off).sum(axis=1)
        return likely, guesses + off @ self.gain.T
