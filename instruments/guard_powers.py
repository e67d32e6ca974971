"""The optional powers the guard has a rule for. One without a rule here is not handed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruments.bounds import within
from instruments.limits import Limits
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasSpectra, HasTilt, HasValves

if TYPE_CHECKING:
    from instruments.types import Outcome


def guarded(
    kind: type, power: object, limits: Limits, blank: Callable[[], None], stopping: Callable[[], None]
) -> object:
    """The power in its guarded form, or None. ``stopping`` is told before motion is stopped."""
    if kind is HasValves and isinstance(power, HasValves):
        return GuardedValves(power, blank)
    if kind is HasTilt and isinstance(power, HasTilt):
        return GuardedTilt(power, limits)
    if kind is CanStop and isinstance(power, CanStop):
        return GuardedStop(power, stopping)
    if kind is HasHolder and isinstance(power, HasHolder):
        return GuardedHolder(power, limits)
    if kind is HasSpectra and isinstance(power, HasSpectra):
        return GuardedSpectra(dict(power.channels()))
    if kind is HasDiffraction and isinstance(power, HasDiffraction):
        return GuardedDiffraction(dict(power.patterns()))
    return None


@dataclass(frozen=True, slots=True)
class GuardedValves:
    """Closing is always allowed; it blanks first, and closes even where blanking failed."""

    valves: HasValves
    blank: Callable[[], None]

    def close_valves(self) -> None:
        try:
            self.blank()
        finally:
            self.valves.close_valves()


@dataclass(frozen=True, slots=True)
class GuardedStop:
    """Stopping is always allowed, from any thread."""

    motion: CanStop
    stopping: Callable[[], None]

    def stop(self) -> None:
        self.stopping()
        self.motion.stop()


@dataclass(frozen=True, slots=True)
class GuardedHolder:
    """Conditions that the limits name, within their ranges."""

    holder: HasHolder
    limits: Limits

    def set_condition(self, name: str, value: float) -> Outcome[float]:
        """Raises LimitError for a condition that the limits do not name, or a value outside what they allow."""
        return self.holder.set_condition(name, within(name, value, self.limits.conditions.get(name)))


@dataclass(frozen=True, slots=True)
class GuardedSpectra:
    """What there is to be named; the exposure itself goes through the guard's ``acquire``."""

    known: Mapping[str, int]

    def channels(self) -> Mapping[str, int]:
        return self.known


@dataclass(frozen=True, slots=True)
class GuardedDiffraction:
    """What there is to be named; the exposure itself goes through the guard's ``acquire``."""

    known: Mapping[str, tuple[int, int]]

    def patterns(self) -> Mapping[str, tuple[int, int]]:
        return self.known


@dataclass(frozen=True, slots=True)
class GuardedTilt:
    """The tilt that both holder and limits allow; the motion itself goes through the guard's ``move``."""

    tilt: HasTilt
    limits: Limits

    def tilt_range_deg(self) -> Mapping[str, tuple[float, float]]:
        allowed = {"alpha_deg": self.limits.alpha_deg, "beta_deg": self.limits.beta_deg}
        below = self.limits.backlash_deg  # a tilt passes this far below its target, and may not leave the limits there
        both = {
            axis: (max(low, limit[0] + below), min(high, limit[1]))
            for axis, (low, high) in self.tilt.tilt_range_deg().items()
            if (limit := allowed.get(axis)) is not None
        }
        return {axis: (lowest, highest) for axis, (lowest, highest) in both.items() if lowest <= highest}
