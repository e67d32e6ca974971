"""What is to be followed, and what is chosen and known on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from envs.tracked import Sensor, TrackLook
from models.kinetics import Law, View
from models.kinetics_nuisance import Calibration, Reading

if TYPE_CHECKING:
    from envs.particles import Measured

Ratio: TypeAlias = float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mission:
    """What is followed, with what, for how long."""

    laws: Sequence[Law]
    looks: Sequence[TrackLook]
    sensors: Mapping[str, Sensor]
    """By signal."""
    places_nm: Sequence[tuple[float, float]]
    current_pA: float
    electrons: float
    """To spend in all."""
    horizon_s: float
    tick_s: float
    """Between two decisions."""
    max_fluence_e_per_A2: float = math.inf
    """Of a place."""
    calibration: Calibration = field(default_factory=Calibration)
    false_alarms: Ratio = 0.05
    """Of "none of these" in a whole run: half for bets against all laws, half for changes that none foretold."""
    sets: int = 256
    seed: int = 0
    axis_deg: float = 0.0
    """Direction along which places lie for a front, counter-clockwise from +x."""

    def electrons_of(self, look: TrackLook) -> float:
        """Of one exposure."""
        return look.exposure.electrons(self.current_pA)

    def along_nm(self, place: int) -> float:
        """Where a place lies along the axis."""
        x_nm, y_nm = self.places_nm[place]
        angle = math.radians(self.axis_deg)
        return x_nm * math.cos(angle) + y_nm * math.sin(angle)

    def view(self, look: TrackLook, place: int) -> View:
        """How a look shows a place."""
        sight = self.sensors[look.signal].sight(look, self.electrons_of(look))
        return View(
            place,
            self.along_nm(place),
            look.field_of_view_nm,
            sight.smallest_nm,
            sight.volume_floor_nm,
            sight.new_contrast,
        )

    def reading(self, look: TrackLook, place: int, t_s: float, measured: Measured) -> Reading:
        """What an exposure has told, for the filter."""
        channel = self.sensors[look.signal].sight(look, self.electrons_of(look)).channel
        view = self.view(look, place)
        return Reading(t_s, view, channel, measured.values, measured.sds, self.electrons_of(look), look.signal)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is done now."""

    look: int | None
    """None: nothing yet."""
    place: int
    nats: float
    """That it is expected to tell."""
    electrons: float
    why: str
    known: Known | None = None
    """At the moment of choosing."""
    order: Order | None = None
    """To the holder, in place of a look."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the holder is to be set to."""

    condition: str
    value: float
    """In the unit at the end of the condition's name."""
    nats: float
    """That the looks which are left are expected to tell more."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known at one moment."""

    probabilities: tuple[float, ...]
    """Of the laws, given that it is one of them."""
    log_against_all: float
    changes: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was not foretold."""

    t_s: float
    place: int
    what: str
