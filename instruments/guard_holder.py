"""What the guard makes of an in-situ holder: which orders go through, which readings end exposing, how it is left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from instruments.bounds import within
from instruments.errors import InstrumentError, LimitError
from instruments.guard_checks import believed
from instruments.limits import Limits
from instruments.powers import HasHolder
from instruments.types import State

if TYPE_CHECKING:
    from instruments.protocol import Microscope
    from instruments.types import Outcome

Acting: TypeAlias = Callable[[], AbstractContextManager[State]]


@dataclass(frozen=True, slots=True)
class GuardedHolder:
    """Conditions that the limits name, within their ranges and no farther from what is read than they say."""

    holder: HasHolder
    limits: Limits
    acting: Acting
    """Judges latch and time, latches what the driver latches, and hands in what is read."""

    def set_condition(self, name: str, value: float) -> Outcome[float]:
        """Raises LimitError for a condition that the limits do not name, and for what they do not allow of it."""
        with self.acting() as state:
            found = self.limits.conditions.get(name)
            asked = within(name, value, None if found is None else found.allowed)
            if found is not None and found.most_change is not None:
                read = believed(name, state.holder.get(name), None, self.limits)
                if not abs(asked - read) <= found.most_change:
                    raise LimitError(
                        f"{name} = {asked:g} was asked and {read:g} is read; {found.most_change:g} more or less are "
                        "allowed at once: go there in steps"
                    )
            return self.holder.set_condition(name, asked)


def check_holder(state: State, limits: Limits) -> None:
    """What the limits judge by reads, and reads well. Raises BusyError."""
    for name, condition in limits.conditions.items():
        if condition.runaway is not None:
            believed(name, state.holder.get(name), None, limits)


def runaway(state: State, microscope: Microscope, limits: Limits) -> str | None:
    """The first condition that reads outside what it may, in words; the holder is ordered to be safe then."""
    for name, condition in limits.conditions.items():
        reading, wide = state.holder.get(name), condition.runaway
        if wide is None or reading is None or not reading.valid or reading.value is None:
            continue
        if not wide[0] <= reading.value <= wide[1]:
            told = f"the holder reads {name} = {reading.value:g}, outside {wide[0]:g} to {wide[1]:g}: see to the holder"
            try:
                make_safe(microscope, limits)
            except InstrumentError as error:
                return f"{told}; it could not be ordered to be safe ({error})"
            return told
    return None


def make_safe(microscope: Microscope, limits: Limits) -> None:
    """Order what the limits call safe, every condition of it. Raises what the last of those that failed raised."""
    failed: InstrumentError | None = None
    holder = microscope.power(HasHolder) if any(each.safe is not None for each in limits.conditions.values()) else None
    for name, condition in limits.conditions.items():
        if holder is not None and condition.safe is not None:
            try:
                holder.set_condition(name, condition.safe)
            except InstrumentError as error:
                failed = error
    if failed is not None:
        raise failed
