"""What all looks have in common beside the law: pixels and gains known only in size, and places unlike the mean.

In logarithms all of it adds up, so that for each parameter set the best guess follows in closed form
(``models.kinetics_told``): how chance moves what a look shows (``models.kinetics_sampling``) is taken in the mean over
the sets of a law.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
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
    beam: Ratio = 0.0
    """By how much the beam itself may have moved descriptors at ``beam_at_e_per_A2``; 0: not at all."""
    beam_at_e_per_A2: float = 1.0


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
    before_e_per_A2: float = 0.0
    """What the view had been exposed to by then; it counts where the beam may have moved descriptors."""

    @property
    def told(self) -> Bools:
        """(descriptors,) which were measured."""
        return np.isfinite(self.values) & np.isfinite(self.sds)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which common errors there are: of the instrument, of each place, of the strata of each of its rings, of the beam.

    Views of one place share a middle: a wide one sees what a narrow one sees, and a ring around it. What the beam does
    is a smooth function of the fluence, whatever it is, and the same at all places.
    """

    places: int
    widths_nm: tuple[float, ...]
    """Of all views, from the narrowest."""
    beam_at_e_per_A2: float | None = None
    """None: the beam moves nothing."""

    @classmethod
    def of(cls, places: int, widths_nm: Sequence[float], calibration: Calibration | None = None) -> Layout:
        beam = calibration is not None and calibration.beam > 0
        return cls(
            places, tuple(sorted(set(widths_nm))), calibration.beam_at_e_per_A2 if calibration and beam else None
        )

    @property
    def each(self) -> int:
        """Errors of one place."""
        return _OWN + CHANCES * len(self.widths_nm)

    @property
    def count(self) -> int:
        return _COMMON + self.places * self.each + self.beams

    @property
    def beams(self) -> int:
        """Errors of what the beam does."""
        return 0 if self.beam_at_e_per_A2 is None else len(_POWERS) * len(DESCRIPTORS)

    def rings(self, view: View) -> Array:
        """(rings,) by how much chance in each moves a view, over a view of 1 µm².

        Raises ValueError for a view of a width that was not named.
        """
        if view.width_nm not in self.widths_nm:
            named = ", ".join(f"{width:g}" for width in self.widths_nm)
            raise ValueError(f"a view {view.width_nm:g} nm wide was read; the filter was made for {named} nm: name it")
        return _rings(self.widths_nm, self.widths_nm.index(view.width_nm), view.area_um2)

    def effect(
        self,
        view: View,
        channel: str,
        chance: Chance,
        fraction: Array | None = None,
        before_e_per_A2: float = 0.0,
    ) -> Array:
        """(T, descriptors, M) by how much each error moves each descriptor, at T moments.

        ``fraction`` (T,): changed there, where it was measured.
        """
        times, first = len(chance.fraction), _COMMON + view.place * self.each
        moved = np.zeros((times, len(DESCRIPTORS), self.count))
        moved[:, :, :_COMMON] = _INSTRUMENT[channel]
        moved[:, :, first : first + _OWN] = _PLACE
        part = np.minimum(np.maximum(chance.fraction if fraction is None else fraction, 0.0), 1.0)
        moved[:, FRACTION, first + _OWN - 2] = 2 * np.sqrt(part * (1 - part))
        moved[:, FRACTION, first + _OWN - 1] = chance.ahead
        by_ring = chance.moved[:, :, None, :] * self.rings(view)[:, None]
        moved[:, :, first + _OWN : first + self.each] = by_ring.reshape(times, len(DESCRIPTORS), -1)
        if self.beam_at_e_per_A2 is not None:
            powers = np.power(before_e_per_A2 / self.beam_at_e_per_A2, _POWERS)
            moved[:, :, -self.beams :] = np.kron(powers, _BEAM)
        return moved


@lru_cache(maxsize=64)
def _rings(widths_nm: tuple[float, ...], widest: int, area_um2: float) -> Array:
    areas = np.diff(np.square([0.0, *widths_nm]) * 1e-6)
    areas[widest + 1 :] = 0.0
    return np.asarray(np.sqrt(areas) / area_um2)


def _moves(count: int, *cells: tuple[int, int, float]) -> Array:
    """(descriptors, count) of which these cells are not 0."""
    found = np.zeros((len(DESCRIPTORS), count))
    for descriptor, error, by in cells:
        found[descriptor, error] = by
    return found


_INSTRUMENT = {
    channel: _moves(_COMMON, (NUMBER, _PIXEL, -2.0), (RADIUS, _PIXEL, 1.0), (VOLUME, _GAIN + n, 1.0))
    for n, channel in enumerate(CHANNELS)
}
_POWERS = np.array([0.5, 1.0, 2.0])
"""Of the fluence: what begins at once, goes on evenly, or comes late."""
_BEAM = _moves(
    len(DESCRIPTORS),
    *((NUMBER, 0, 1.0), (RADIUS, 1, 0.5), (SPREAD, 2, 0.2), (FRACTION, 4, 0.5)),
    *((VOLUME, 0, 1.0), (VOLUME, 1, 1.5), (VOLUME, 3, 0.5)),
)
"""As much as the beam may do: particles that come or go take their volume with them, and so do those that shrink."""
_PLACE = _moves(_OWN, (NUMBER, 0, 1.0), (RADIUS, 1, 1.0), (VOLUME, 0, 1.0), (VOLUME, 1, 3.0), (SPREAD, 2, 1.0))


@dataclass(frozen=True, slots=True)
class Chance:
    """How chance moves what a view shows at T moments, in the mean over parameter sets."""

    moved: Array
    """(T, descriptors, CHANCES), as ``chances`` has it."""
    ahead: Array
    """(T,) by how much the fraction moves where a place is ahead of the mean."""
    fraction: Array
    """(T,)"""

    def of_moment(self, n: int) -> Chance:
        """Of the nth moment alone."""
        return Chance(self.moved[n : n + 1], self.ahead[n : n + 1], self.fraction[n : n + 1])

    @classmethod
    def of(cls, law: Law, state: State, values: Array, weights: Array, views: Sequence[View]) -> list[Chance]:
        """Of every view; ``state`` of P sets at T moments, (T, P, …), ``weights`` (P,)."""
        parts = joined([law.strata(state, values, view) for view in views])
        told = chances(parts, *views)
        moved = (weights @ told.reshape(*told.shape[:3], -1)).reshape(*told.shape[:2], *told.shape[3:])
        ahead = np.zeros_like(parts.fraction) if parts.offset is None else parts.offset
        return [cls(*each) for each in zip(moved, ahead @ weights, parts.fraction @ weights, strict=True)]


@dataclass(frozen=True, slots=True)
class Nuisance:
    """What is not known of M common errors before anything was seen: they are independent, and some wander."""

    layout: Layout
    variances: Array
    """(M,) at the beginning."""
    wanders_per_s: Array
    """(M,) by which variances grow in time: what places have beyond chance may change."""
    theory: Ratio

    @classmethod
    def begin(cls, calibration: Calibration, layout: Layout, horizon_s: float) -> Nuisance:
        """Nothing seen yet."""
        sds, wanders = np.ones(layout.count), np.zeros(layout.count)
        sds[:_COMMON] = [calibration.pixel_size] + [calibration.gain] * len(CHANNELS)
        for n in range(layout.places):
            own = slice(_COMMON + n * layout.each, _COMMON + n * layout.each + len(calibration.place))
            sds[own] = calibration.place
            wanders[own] = np.square(calibration.wandering * np.array(calibration.place)) / horizon_s
        if layout.beams:
            sds[-layout.beams :] = calibration.beam
        return cls(layout, np.square(sds), wanders, calibration.theory)

    def at(self, t_s: Array) -> Array:
        """(…, M) variances at times (…,)."""
        return np.asarray(self.variances + self.wanders_per_s * t_s[..., None])

    def noise(self, reading: Reading) -> Array:
        """(m,) variances of what a reading tells, beside what it has in common with others."""
        return np.asarray(np.square(reading.sds[reading.told]) + self.theory**2)
