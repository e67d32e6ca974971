"""What is wrong with the measuring itself, known only in size: pixels, gains, and places that are not like the mean.

In logarithms all of it adds up, so that for each parameter set the best guess follows in closed form (a Kalman filter),
and its covariance is the same for all sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.kinetics import DESCRIPTORS, FRACTION, NUMBER, RADIUS, SPREAD, VOLUME, Array, View

Ratio: TypeAlias = float
Bools: TypeAlias = npt.NDArray[np.bool_]

CHANNELS = ("image", "spectra")
"""Images tell numbers and sizes, and volumes by their gain; spectra tell volumes by another, and phases."""
_PIXEL, _GAIN = 0, 1
_COMMON = 1 + len(CHANNELS)
_USUAL_COUNT = 50.0
"""Particles in view for which it is told how places differ; variances go as one over their number."""
_SCALES = 0.2, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How well the instrument is known: standard deviations of logarithms."""

    pixel_size: Ratio = 0.04
    gain: Ratio = 0.10
    place: tuple[Ratio, Ratio, Ratio, Ratio] = (0.15, 0.05, 0.03, 0.11)
    """How much the particles in view differ from those of the endless specimen: in number, radius, spread, and in the
    part that has changed where half of it has. As of 50 particles in view."""
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
class Nuisance:
    """M common errors; ``covariance`` (M, M) what is not known of them, the same for every parameter set."""

    places: int
    covariance: Array
    theory: Ratio
    wanders_per_s: Array
    """(M,) by which variances grow in time: other particles come, go and change than a law expects."""

    @classmethod
    def begin(cls, calibration: Calibration, places: int, horizon_s: float) -> Nuisance:
        """Nothing seen yet."""
        sds = np.array(
            [calibration.pixel_size]
            + [calibration.gain] * len(CHANNELS)
            + [sd for sd in calibration.place for _ in range(places)]
        )
        wanders = np.square(calibration.wandering * sds) / horizon_s
        wanders[:_COMMON] = 0.0
        return cls(places, np.diag(np.square(sds)), calibration.theory, wanders)

    def later(self, duration_s: float, counts: Array) -> Nuisance:
        """What is known after a time in which nothing was measured; ``counts`` (places,): particles in view."""
        grows = self.wanders_per_s.copy()
        grows[_COMMON:] *= np.tile(np.clip(_USUAL_COUNT / counts, *_SCALES), len(grows[_COMMON:]) // self.places)
        return replace(self, covariance=self.covariance + np.diag(grows * duration_s))

    def effect(self, view: View, channel: str, fraction: float) -> Array:
        """(descriptors, M) by how much each error moves each descriptor, where a part has changed."""
        number, radius, spread, changed = (_COMMON + n * self.places + view.place for n in range(4))
        moved = np.zeros((len(DESCRIPTORS), len(self.covariance)))
        moved[NUMBER, [_PIXEL, number]] = -2.0, 1.0
        moved[RADIUS, [_PIXEL, radius]] = 1.0, 1.0
        moved[VOLUME, [_GAIN + CHANNELS.index(channel), number, radius]] = 1.0, 1.0, 3.0
        moved[SPREAD, spread] = 1.0
        part = min(max(fraction, 0.0), 1.0)
        moved[FRACTION, changed] = 2 * np.sqrt(part * (1 - part))
        return moved

    def foretold(self, reading: Reading) -> Foretold:
        """How far such a reading may lie from what one parameter set says."""
        told, fraction = reading.told, reading.values[FRACTION]
        moved = self.effect(reading.view, reading.channel, float(fraction) if told[FRACTION] else 0.0)[told]
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
        likely = self.log_norm - 0.5 * np.einsum("pi,ij,pj->p", off, self.precision, off)
        return likely, guesses + off @ self.gain.T
