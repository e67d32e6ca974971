"""What one unblanking really did to the specimen, as the truth keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.types import Footprint

if TYPE_CHECKING:
    from instruments.simulated.truth import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueExposure:
    """What one unblanking really did to the specimen."""

    id: int | None
    """The exposure's id, where the recorder gave one."""
    footprint: Footprint
    electrons: float
    start_s: float
    end_s: float | None
    """None where the process died with the beam on: the electrons are then those that were planned."""

    @property
    def duration_s(self) -> float:
        """0 where nobody knows when it ended."""
        return 0.0 if self.end_s is None else self.end_s - self.start_s

    @property
    def fluence_e_per_A2(self) -> float:
        return self.electrons / (self.footprint.area_nm2 * 100.0)


def exposure_of(row: Row, start_s: float, end_s: float | None) -> TrueExposure:
    """From a row of the truth file; ``end_s`` None where the process died with the beam on."""
    return TrueExposure(
        id=row["id"],
        footprint=Footprint(**row["footprint"]),
        electrons=row["electrons"],
        start_s=start_s,
        end_s=end_s,
    )
