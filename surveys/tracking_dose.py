"""How much of a change the beam explains: places that were watched against places that were hardly exposed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from models.kinetics import DESCRIPTORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.kinetics_nuisance import Reading

Ratio: TypeAlias = float

_CLEAR = 3.0
"""Standard deviations from which on a change is one."""


@dataclass(frozen=True, slots=True)
class Share:
    """Of one descriptor's change."""

    descriptor: str
    watched: float
    """Change where the beam was, per place in the mean."""
    watched_sd: float
    control: float
    """Change in the same time where it hardly was."""
    control_sd: float
    fluence_e_per_A2: float
    """Mean of the watched places."""
    control_fluence_e_per_A2: float

    @property
    def explained(self) -> Ratio:
        """Part of the change that is there only with the beam."""
        return (self.watched - self.control) / self.watched

    @property
    def explained_sd(self) -> Ratio:
        ratio = self.control / self.watched
        return math.hypot(self.control_sd, ratio * self.watched_sd) / abs(self.watched)

    def __str__(self) -> str:
        return (
            f"the beam explains {self.explained:+.0%} ± {self.explained_sd:.0%} of the change in {self.descriptor} "
            f"({self.fluence_e_per_A2:.3g} against {self.control_fluence_e_per_A2:.3g} e/Å²)"
        )


def explained_by_dose(
    watched: Sequence[Reading], controls: Sequence[Reading], place_sds: Sequence[float]
) -> Share | None:
    """The clearest change between the first and the last control exposure; None: there are no two, or nothing changed.

    ``place_sds``: (descriptors,) by how much the change of one place differs from that of another by chance.
    """
    told = {reading.view.place for reading in controls}
    pairs = [[r for r in controls if r.view.place == place] for place in told]
    pairs = [pair for pair in pairs if len(pair) >= 2]
    if not pairs or not watched:
        return None
    start_s, end_s = min(p[0].t_s for p in pairs), max(p[-1].t_s for p in pairs)
    best: Share | None = None
    for n, name in enumerate(DESCRIPTORS):
        beside = [_change(pair, n, start_s, end_s) for pair in pairs]
        mine = [
            _change([r for r in watched if r.view.place == place], n, start_s, end_s)
            for place in sorted({r.view.place for r in watched})
        ]
        here = _mean([c for c in mine if c is not None], place_sds[n])
        there = _mean([c for c in beside if c is not None], place_sds[n])
        if here is None or there is None or abs(here[0]) < _CLEAR * here[1]:
            continue
        if best is None or abs(here[0]) / here[1] > abs(best.watched) / best.watched_sd:
            best = Share(name, *here, *there, _fluence(watched), _fluence(controls))
    return best


def _change(readings: Sequence[Reading], n: int, start_s: float, end_s: float) -> tuple[float, float] | None:
    """Between the readings nearest to two times, with its standard deviation."""
    told = [r for r in readings if r.told[n] and r.channel == "image"] or [r for r in readings if r.told[n]]
    if len(told) < 2:
        return None
    first = min(told, key=lambda r: abs(r.t_s - start_s))
    last = min(told, key=lambda r: abs(r.t_s - end_s))
    if first is last:
        return None
    return float(last.values[n] - first.values[n]), math.hypot(float(first.sds[n]), float(last.sds[n]))


def _mean(changes: Sequence[tuple[float, float]], place_sd: float) -> tuple[float, float] | None:
    if not changes:
        return None
    variance = sum(sd**2 + place_sd**2 for _, sd in changes) / len(changes) ** 2
    return float(np.mean([change for change, _ in changes])), math.sqrt(variance)


def _fluence(readings: Sequence[Reading]) -> float:
    places = {reading.view.place for reading in readings}
    return sum(r.electrons / (r.view.width_nm * 10.0) ** 2 for r in readings) / max(len(places), 1)
