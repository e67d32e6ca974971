"""How much of a change the beam explains: places that were watched against places that were hardly exposed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from models.kinetics import DESCRIPTORS, NUMBER, RADIUS, VOLUME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinetics import Array, View
    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float

_CLEAR = 3.0
"""Standard deviations from which on a change is one."""
_TWO_SIDED_90 = 1.645
_OF_FIFTY = (0.0, 0.04, 0.03, 0.03, 0.05)
"""By how much places of 50 particles differ in their change by chance, beside what follows."""
_UNLIKE = 1.3
"""Root of the mean square of what particles take part in a change of volume by, over the mean."""
_OTHER_VIEW: Ratio = 0.05
"""Of the whole time, by which a look that is not that of the controls is taken for farther off."""
_LOGARITHMS = (NUMBER, RADIUS, VOLUME)


@dataclass(frozen=True, slots=True)
class Share:
    """Of one descriptor's change."""

    descriptor: str
    watched: float
    """Change where the beam was, per place in the mean: of numbers and sizes themselves, not of their logarithms."""
    watched_sd: float
    control: float
    """Change in the same time where it hardly was."""
    control_sd: float
    fluence_e_per_A2: float
    """Mean of the watched places."""
    control_fluence_e_per_A2: float

    @property
    def explained(self) -> Ratio | None:
        """Part of the change that is there only with the beam; None: nothing clear changed under it."""
        return None if self.interval is None else (self.watched - self.control) / self.watched

    @property
    def interval(self) -> tuple[Ratio, Ratio] | None:
        """In which that part lies in 90 %; None: nothing clear changed under the beam.

        Of a ratio of two normal numbers (Fieller, J. R. Stat. Soc. B 16, 175 (1954)).
        """
        if abs(self.watched) < _CLEAR * self.watched_sd:
            return None
        g = (_TWO_SIDED_90 * self.watched_sd / self.watched) ** 2
        ratio = self.control / self.watched
        half = _TWO_SIDED_90 / abs(self.watched)
        half *= math.sqrt(max(self.control_sd**2 * (1 - g) + ratio**2 * self.watched_sd**2, 0.0))
        low, high = (1 - (ratio + side * half) / (1 - g) for side in (1, -1))
        return low, high

    def __str__(self) -> str:
        beside = f"({self.fluence_e_per_A2:.3g} against {self.control_fluence_e_per_A2:.3g} e/Å²)"
        if self.explained is None or self.interval is None:
            return (
                f"{self.descriptor} changed by {self.control:+.3g} where the beam hardly was, and not clearly under it "
                f"{beside}: the beam holds the change up"
            )
        low, high = self.interval
        return (
            f"the beam explains {self.explained:.0%} of the change in {self.descriptor}, in 90 % between {low:.0%} and "
            f"{high:.0%} {beside}"
        )


def explained_by_dose(watched: Sequence[Reading], controls: Sequence[Reading]) -> Share | None:
    """The clearest change between the first and the last control exposure; None: there are no two, or nothing changed.

    Particles come and go one by one, so that changes differ from place to place as Poisson's numbers do.
    """
    told = {reading.view.place for reading in controls}
    pairs = [[r for r in controls if r.view.place == place] for place in told]
    pairs = [pair for pair in pairs if len(pair) >= 2]
    if not pairs or not watched:
        return None
    span_s, usual = (min(p[0].t_s for p in pairs), max(p[-1].t_s for p in pairs)), pairs[0][0].view
    best: Share | None = None
    for n, name in enumerate(DESCRIPTORS):
        beside = [_change(pair, n, span_s, usual) for pair in pairs]
        mine = [
            _change([r for r in watched if r.view.place == place], n, span_s, usual)
            for place in sorted({r.view.place for r in watched})
        ]
        here = _mean([c for c in mine if c is not None])
        there = _mean([c for c in beside if c is not None])
        if here is None or there is None:
            continue
        found = Share(name, *here, *there, _fluence(watched), _fluence(controls))
        if _clearness(found) >= _CLEAR and (best is None or _clearness(found) > _clearness(best)):
            best = found
    return best


def _clearness(share: Share) -> float:
    return max(abs(share.watched) / share.watched_sd, abs(share.control) / share.control_sd)


def _change(
    readings: Sequence[Reading], n: int, span_s: tuple[float, float], usual: View
) -> tuple[float, float] | None:
    """Between the readings nearest to two times, with its standard deviation, chance from place to place included."""
    told = [r for r in readings if r.told[n] and r.channel == "image"] or [r for r in readings if r.told[n]]
    if len(told) < 2:
        return None
    other_s = _OTHER_VIEW * (span_s[1] - span_s[0])

    def nearest(t_s: float) -> Reading:
        return min(told, key=lambda r: abs(r.t_s - t_s) + other_s * (not _alike(r.view, usual)))

    first, last = nearest(span_s[0]), nearest(span_s[1])
    if first is last:
        return None
    (early, early_sd), (late, late_sd) = (_itself(r, n) for r in (first, last))
    area = min(first.view.area_um2, last.view.area_um2)
    seen = max((themselves(r.values, r.view)[NUMBER] * area for r in (first, last) if r.told[NUMBER]), default=50.0)
    chance = _OF_FIFTY[n] * math.sqrt(50.0 / max(seen, 1.0)) * (max(early, late) if n in _LOGARITHMS else 1.0)
    if n == NUMBER:
        chance = math.sqrt(max(abs(late - early) * area, 1.0)) / area
    elif n == VOLUME:
        chance = math.hypot(chance, _UNLIKE * abs(late - early) / math.sqrt(max(seen, 1.0)))
    return late - early, math.sqrt(early_sd**2 + late_sd**2 + chance**2)


def _alike(view: View, other: View) -> bool:
    return (view.width_nm, view.smallest_nm) == (other.width_nm, other.smallest_nm)


def _itself(reading: Reading, n: int) -> tuple[float, float]:
    """A descriptor and its standard deviation, not their logarithms, and without the floor."""
    value, sd = float(reading.values[n]), float(reading.sds[n])
    return float(themselves(reading.values, reading.view)[n]), sd * math.exp(value) if n in _LOGARITHMS else sd


def themselves(told: Array, view: View) -> Array:
    """(descriptors, …) numbers, radii and volumes of the logarithms as which they are told, without their floors."""
    found = np.array(told, dtype=np.float64)
    found[list(_LOGARITHMS)] = np.exp(found[list(_LOGARITHMS)])
    found[NUMBER] -= view.number_floor_per_um2
    found[VOLUME] -= view.volume_floor_nm
    return found


def _mean(changes: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    if not changes:
        return None
    return float(np.mean([change for change, _ in changes])), math.sqrt(sum(sd**2 for _, sd in changes)) / len(changes)


def _fluence(readings: Sequence[Reading]) -> float:
    places = {reading.view.place for reading in readings}
    return sum(r.electrons / (r.view.width_nm * 10.0) ** 2 for r in readings) / max(len(places), 1)
