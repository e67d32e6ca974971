"""What the guard makes of the instrument's read-backs. Unknown, old and invalid count as bad."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from instruments.bounds import LENGTHS, TILTS
from instruments.errors import BusyError

if TYPE_CHECKING:
    from instruments.limits import Limits
    from instruments.types import StagePosition, State

TOUCH_DEG = 0.1  # a tilt further than this from where it should be means a pole touch (SerialEM's TSMaxTiltError)


def check_idle(state: State) -> None:
    """The instrument does not ask to be left alone."""
    if state.busy_until_s is not None and not state.busy_until_s <= state.time_s:
        wait_s = state.busy_until_s - state.time_s
        raise BusyError(f"the instrument is busy for another {wait_s:g} s: wait", until_s=state.busy_until_s)


def check_beam_path(state: State, limits: Limits, *, has_valves: bool) -> None:
    """Blanker, valve and vacuum are known and good."""
    if state.blanked is not True:
        found = "on" if state.blanked is False else "in a state that cannot be read"
        raise BusyError(f"between exposures the beam must be blanked, but it is {found}: blank, then ask again")
    if state.valve_open is False:
        raise BusyError("the column valve is closed: a person opens it once the vacuum is good")
    if state.valve_open is None and has_valves:
        raise BusyError("the column valve does not say whether it is open: see to it")
    vacuum = state.vacuum
    if vacuum is None and limits.max_vacuum_Pa is None:
        return
    if vacuum is None or not vacuum.valid or vacuum.value is None or not math.isfinite(vacuum.value):
        raise BusyError(f"the vacuum reading is not valid ({vacuum}): see to the gauge")
    if not 0 <= vacuum.age_s <= limits.max_reading_age_s:
        allowed = f"allowed is 0 to {limits.max_reading_age_s:g} s"
        raise BusyError(f"the vacuum reading is {vacuum.age_s:g} s old, {allowed}: wait")
    if limits.max_vacuum_Pa is not None and not (vacuum.unit == "Pa" and vacuum.value <= limits.max_vacuum_Pa):
        raise BusyError(f"the vacuum reads {vacuum.value:g} {vacuum.unit}, allowed {limits.max_vacuum_Pa:g} Pa: wait")


def off(expected: StagePosition, found: StagePosition, axes: tuple[str, ...], tolerance: float) -> str | None:
    """The first axis that is not where it should be, in words. Unreadable counts as not there."""
    for axis in axes:
        want, got = getattr(expected, axis), getattr(found, axis)
        if want is not None and (got is None or not abs(got - want) <= tolerance):
            return f"{axis} reads {got} instead of {want:g} (tolerance {tolerance:g})"
    return None


def moved(before: StagePosition, now: StagePosition, tolerance_nm: float) -> str | None:
    """Which axis changed between two read-backs, in words."""
    return off(before, now, LENGTHS, tolerance_nm) or off(before, now, TILTS, TOUCH_DEG)


def touched(expected: StagePosition, found: StagePosition) -> str | None:
    """Whether a tilt is so far from where it should be that it looks like a pole touch, in words."""
    wrong = off(expected, found, TILTS, TOUCH_DEG)
    return wrong and f"pole touch suspected, {wrong}: do not move, see to the stage"
