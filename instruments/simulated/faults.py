"""The script of what goes wrong, and when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instruments.simulated.settings import Fault
    from instruments.simulated.truth import TruthLog


class FaultScript:
    """Tells which fault is on now. The first time a fault is felt, the truth gets a row."""

    def __init__(self, faults: tuple[Fault, ...], truth: TruthLog) -> None:
        self._faults = faults
        self._truth = truth
        self._felt: set[int] = set()

    def restore(self, index: int) -> None:
        """This fault was felt by an earlier process."""
        self._felt.add(index)

    def due(self, kind: str, now_s: float) -> Fault | None:
        """The fault of a kind that is felt now for the first time."""
        for index, fault in enumerate(self._faults):
            over = fault.duration_s > 0 and now_s >= fault.at_s + fault.duration_s
            if fault.kind == kind and fault.at_s <= now_s and not over and index not in self._felt:
                self._felt.add(index)
                self._truth.append("fault", now_s, index=index, kind=kind)
                return fault
        return None

    def on(self, kind: str, now_s: float) -> Fault | None:
        """The fault of a kind that is on: within its duration, or, if it has none, due and not yet felt."""
        felt = self.due(kind, now_s)
        lasting = (f for f in self._faults if f.kind == kind and f.at_s <= now_s < f.at_s + f.duration_s)
        return next(lasting, felt)  # one that is over at once does not end one that lasts

    def drift_nm(self, now_s: float) -> float:
        """Displacement along +x by drift bursts: it grows through the burst and relaxes as slowly after it."""
        total = 0.0
        for fault in self._faults:
            if fault.kind == "drift_burst" and fault.duration_s and now_s > fault.at_s:
                gone = min(now_s - fault.at_s, fault.duration_s)
                after = now_s - fault.at_s - gone
                total += fault.drift_nm_per_s * gone * math.exp(-after / fault.duration_s)
        return total
