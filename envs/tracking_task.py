"""What may be done while a specimen is followed, and with which instrument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from envs.keeping import Keeper
from envs.recorder import NullRecorder, Recorder
from envs.streaming import Streaming
from envs.tracked import Sensor, TrackLook
from envs.tracking_belief import Belief
from instruments.clock import Clock
from instruments.protocol import Guarded

Amount: TypeAlias = float
"""In the unit at the end of a condition's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackTask:
    """What may be done, for how long, with how many electrons."""

    looks: Sequence[TrackLook]
    places_nm: Sequence[tuple[float, float]]
    settings: Sequence[tuple[str, Amount]] = ()
    """(condition, value) of the holder that may be ordered."""
    horizon_s: float = 600.0
    tick_s: float = 5.0
    """From one decision to the next at least."""
    electrons: float = 4e8

    def __post_init__(self) -> None:
        if not self.looks or not self.places_nm:
            raise ValueError("a task that follows something needs a look and a place: give one of each at least")
        if not (self.horizon_s >= self.tick_s > 0 and self.electrons > 0):
            raise ValueError(
                f"horizon_s {self.horizon_s}, tick_s {self.tick_s}, electrons {self.electrons}: give a tick above 0, a "
                "horizon of one tick at least, and electrons above 0"
            )

    @property
    def actions(self) -> int:
        """Looks at places, orders to the holder, and last to wait."""
        return len(self.looks) * len(self.places_nm) + len(self.settings) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """What was done before following was cut off."""

    started_s: float | None = None
    """When it began, by the instrument's clock; None: it begins now."""
    electrons: float = 0.0
    fluence_e_per_A2: Sequence[float] = ()
    """Of each place; empty: none."""
    steps: int = 0
    orders: int = 0
    """Of the programme."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSituation:
    """The instrument, what it shows, and what is to be done."""

    guard: Guarded
    clock: Clock
    task: TrackTask
    sensors: Mapping[str, Sensor]
    """By signal."""
    belief: Belief | None = None
    """That judges what was told; None: ``Wandering``."""
    recorder: Recorder = field(default_factory=NullRecorder)
    specimen: str = "specimen"
    program_s: Sequence[tuple[float, str, float]] = ()
    """(at, condition, value): what the holder is ordered to do, whoever decides."""
    so_far: SoFar = SoFar()
    keeper: Keeper | None = None
    """That keeps what is followed in view; None: places are driven to by the stage alone."""
    streaming: Streaming | None = None
    """How looks of several frames are watched, where the instrument hands them out one by one; None: as one burst."""
