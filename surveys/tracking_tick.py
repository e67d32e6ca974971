"""What one tick of following came to, as it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.tracking_mission import Order
from envs.step import Fault
from envs.streaming import Event
from models.kinetics_nuisance import Reading
from surveys.tracking_rows import Failed, Passed

if TYPE_CHECKING:
    from models.kinetics import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one tick came to, of the agent's or beside it."""

    began_s: float
    decided_by: str
    why: str
    passed: tuple[Sequence[Passed], Sequence[Passed]]
    """Before what was read, and after."""
    look: str | None = None
    reading: Reading | None = None
    exposures: Sequence[int | None] = ()
    nats: float = 0.0
    fault: Fault | None = None
    failed: Failed | None = None
    away_nm: float | None = None
    """How far the feature stood from where it is kept."""
    order: Order | None = None
    events: tuple[Event, ...] = ()
    focus: dict[str, Any] | None = None

    @property
    def t_s(self) -> float:
        """Of what was read; else when it began."""
        return self.began_s if self.reading is None else self.reading.t_s

    @property
    def electrons(self) -> float:
        """Of what was read, or of a sweep of the focus."""
        return float((self.focus or {}).get("electrons", 0.0)) if self.reading is None else self.reading.electrons

    def row(self) -> dict[str, Any]:
        """Plain values."""
        reading = self.reading
        return {
            "t_s": self.t_s,
            "look": self.look,
            "place": None if reading is None else reading.view.place,
            "exposures": list(self.exposures),
            "decided_by": self.decided_by,
            "why": self.why,
            "nats": self.nats,
            "electrons": self.electrons,
            "values": None if reading is None else _plain(reading.values),
            "sds": None if reading is None else _plain(reading.sds),
            "x_nm": None if reading is None else reading.view.x_nm,
            "passed": self.passed,
            "failed": None if self.failed is None else asdict(self.failed),
            "focus": self.focus,
            "order": None if self.order is None else asdict(self.order),
            "bursts": [asdict(each) for each in self.events],
        }


def _plain(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
