"""Stepping the holder while a specimen is followed: to where the looks that are left would tell most.

now and then: each set-point a step away ─► the laws go on under it ─► nats of the looks that are left ─► an order

A set-point is worth what a plan of looks would tell under it about laws and parameters, activation energies among
them; it is held to the end in that thought, and thought over again a while later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from agent.tracking_mission import Choice, Order

if TYPE_CHECKING:
    from agent.tracking import Forecast, Tracker
    from models.kinetics import Conditions
    from models.kinetics_nuisance import Reading

Amount: TypeAlias = float
"""In the unit at the end of a condition's name."""
_NEAR: float = 0.25
"""Of a step: a set-point nearer than this to what is held is where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Of which condition, how far, how often."""

    condition: str
    values: Sequence[Amount]
    """That may be ordered."""
    step: Amount
    """How far an order may lie from what is held."""
    every_s: float
    least_nats: float
    """By how much a set-point must be worth more than staying."""
    from_s: float = 0.0


class Stepper:
    """A tracker that also orders the holder. Deterministic; ``act`` has no side effect."""

    def __init__(self, tracker: Tracker, steps: Steps, under: Callable[[Mapping[str, Amount]], Forecast]) -> None:
        """``under``: what is expected to hold from now on, where this is held now."""
        self._tracker, self._steps, self._under = tracker, steps, under
        self._held: dict[str, Amount] = {}

    def wait(self, duration_s: float, conditions: Conditions) -> None:
        self._held = dict(conditions)
        self._tracker.wait(duration_s, conditions)

    def observe(self, reading: Reading) -> None:
        self._tracker.observe(reading)

    def failed(self, look: int, place: int, electrons: float, *, lasting: bool) -> None:
        self._tracker.failed(look, place, electrons, lasting=lasting)

    def settle(self) -> None:
        self._tracker.settle()

    def act(self) -> Choice:
        """An order where one is due and worth it, else what the tracker chooses."""
        found = self._order() if self._due() else None
        return self._tracker.act() if found is None else found

    def _due(self) -> bool:
        """Once in each period, at its first tick."""
        now_s, steps = self._tracker.now_s, self._steps
        tick_s = self._tracker.mission.tick_s
        gone_s = now_s - steps.from_s
        return gone_s >= steps.every_s and gone_s // steps.every_s != (gone_s - tick_s) // steps.every_s

    def _order(self) -> Choice | None:
        steps, tracker = self._steps, self._tracker
        held = self._held.get(steps.condition)
        if held is None:
            return None
        offered = [v for v in steps.values if _NEAR * steps.step < abs(v - held) <= steps.step * (1 + 1e-9)]
        stays = tracker.worth(self._under(self._held))
        worth = {v: tracker.worth(self._under({**self._held, steps.condition: v})) for v in offered}
        best = max(worth, key=worth.__getitem__, default=None)
        if best is None or worth[best] < stays + steps.least_nats:
            return None
        others = ", ".join(f"{value:g}: {nats:.2f}" for value, nats in sorted(worth.items()))
        why = (
            f"{steps.condition} to {best:g}: the looks that are left would tell {worth[best] - stays:.2f} nats more "
            f"than at {held:.4g} ({stays:.2f}; {others})"
        )
        order = Order(steps.condition, best, worth[best] - stays)
        return replace(Choice(None, 0, 0.0, 0.0, why), order=order, known=tracker.known())
