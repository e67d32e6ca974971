"""What the guard makes of the instrument's read-backs. Unknown, old and invalid count as bad."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from instruments.bounds import LENGTHS, TILTS
from instruments.errors import BudgetError, BusyError
from instruments.limits import INTERLOCKS
from instruments.powers import HasValves

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from instruments.clock import Clock
    from instruments.limits import Interlock, Limits
    from instruments.protocol import Microscope
    from instruments.types import Footprint, Reading, StagePosition, State

_READBACK_INTERVAL_S = 0.2  # between the two read-backs that must agree before a stage counts as still
TOUCH_DEG = 0.1  # a tilt further than this from where it should be means a pole touch (SerialEM's TSMaxTiltError)
GUN: frozenset[Interlock] = frozenset({"emission", "high_tension"})
"""Interlocks that say nothing of the way of a specimen."""


def has_valves(microscope: Microscope) -> bool:
    """Whether it has column valves that can be asked for."""
    return microscope.power(HasValves) is not None


def check_idle(state: State) -> None:
    """The instrument does not ask to be left alone."""
    if state.busy_until_s is not None and not state.busy_until_s <= state.time_s:
        wait_s = state.busy_until_s - state.time_s
        raise BusyError(f"the instrument is busy for another {wait_s:g} s: wait", until_s=state.busy_until_s)


def interlocks(state: State) -> dict[Interlock, bool | Reading | float | None]:
    """What the instrument tells of each; None: nothing at all."""
    return {
        "blanker": state.blanked,
        "valve": state.valve_open,
        "vacuum": state.vacuum,
        "emission": state.emission,
        "high_tension": state.optics.voltage_kV,
    }


def unread(state: State) -> frozenset[Interlock]:
    """The interlocks of which the instrument tells nothing at all."""
    return frozenset(name for name, found in interlocks(state).items() if found is None)


def may_lack(limits: Limits, has_read: Set[str], *, hardware: bool) -> set[Interlock]:
    """The interlocks that need not read. One that has read must again, also where the guard that has read it is gone.

    A world that is no instrument may have none of them but the blanker.
    """
    waived = {name for name in limits.waived if name not in has_read}
    return waived if hardware else waived | (set(INTERLOCKS) - {"blanker"})


def check_read(state: State, lacking: Set[str]) -> None:
    """Every interlock reads, but for those that may be lacking."""
    if missing := sorted(unread(state) - lacking):
        raise _untold(missing[0])


def _untold(name: str) -> BusyError:
    return BusyError(
        f"{name}: the instrument tells nothing of it, so nothing is done: see to its reading; where it never has one, "
        f"say who looks at it instead (limits.waived.{name}: REASON)"
    )


def check_dark(state: State, lacking: Set[str]) -> None:
    """The beam reads blanked; where the blanker may be lacking, that it took the last blank has to do."""
    if state.blanked is False:
        raise BusyError("between exposures the beam must be blanked, but it is on: blank, then ask again")
    if state.blanked is None and "blanker" not in lacking:
        raise _untold("blanker")


def check_beam_path(state: State, limits: Limits, lacking: Set[str], *, has_valves: bool) -> None:
    """Blanker, valve, vacuum and gun are good, where they are known."""
    check_dark(state, lacking)
    if state.valve_open is False:
        raise BusyError("the column valve is closed: a person opens it once the vacuum is good")
    if state.valve_open is None and has_valves:
        raise BusyError("the column valve does not say whether it is open: see to it")
    _check_vacuum(state.vacuum, limits)
    _check_gun(state, limits)


def _check_vacuum(vacuum: Reading | None, limits: Limits) -> None:
    if vacuum is None and limits.max_vacuum_Pa is None:
        return
    value = believed("vacuum", vacuum, "Pa" if limits.max_vacuum_Pa is not None else None, limits)
    if limits.max_vacuum_Pa is not None and not value <= limits.max_vacuum_Pa:
        raise BusyError(f"the vacuum reads {value:g} Pa, allowed {limits.max_vacuum_Pa:g} Pa: wait")


def _check_gun(state: State, limits: Limits) -> None:
    """A gun that has tripped gives frames of nothing, and a dose that is booked for nothing."""
    voltage_kV, least_uA = state.optics.voltage_kV, limits.min_emission_uA
    if voltage_kV is not None and not voltage_kV > 0:
        raise BusyError(f"the high tension reads {voltage_kV:g} kV: a person brings it up again")
    if state.emission is None and least_uA is None:
        return
    told_on = state.emission is not None and state.emission.unit == "on" and least_uA is None
    value = believed("emission", state.emission, None if told_on else "µA", limits)
    if not (value > 0 and value >= (least_uA or 0.0)):
        raise BusyError(f"the emission reads {value:g} µA, asked is {least_uA or 'any'} µA: wait for the gun")


def believed(what: str, reading: Reading | None, unit: str | None, limits: Limits) -> float:
    """The value of a reading that is valid, young enough, and in this unit."""
    if reading is None or not reading.valid or reading.value is None or not math.isfinite(reading.value):
        raise BusyError(f"the {what} reading is not valid ({reading}): see to its sensor")
    if not 0 <= reading.age_s <= limits.max_reading_age_s:
        allowed = f"allowed is 0 to {limits.max_reading_age_s:g} s"
        raise BusyError(f"the {what} reading is {reading.age_s:g} s old, {allowed}: wait")
    if unit is not None and reading.unit != unit:
        raise BusyError(f"the {what} reads {reading.value:g} {reading.unit}, judged in {unit}: see to the driver")
    return reading.value


def check_pause(wait_s: float, state: State, limits: Limits) -> None:
    """So many exposures were made that there are seconds to wait before the next."""
    if wait_s > 0:
        most = f"{limits.max_exposures_per_min} exposures a minute are allowed, and were made"
        raise BusyError(f"{most}: wait {wait_s:.1f} s", until_s=state.time_s + wait_s)


def check_electrons(electrons_used: float, electrons: float, limits: Limits, overhead_s: float = 0.0) -> None:
    """What is asked and what is spent stay within the budget."""
    if not electrons_used + electrons <= limits.max_electrons:
        used = f"{electrons_used:.3g} are spent of {limits.max_electrons:.3g}"
        raise BudgetError(
            f"{electrons:.3g} electrons were asked{_with(overhead_s)} and {used}: {_less(overhead_s)}, or stop"
        )


def _with(overhead_s: float) -> str:
    """In words, for how long beyond the exposure itself the beam is booked."""
    return f", {overhead_s:g} s of beam beyond the exposure among them (exposure_overhead_s)" if overhead_s else ""


def check_time(used_s: float, duration_s: float, limits: Limits) -> None:
    """There is time left, and enough of it."""
    if not (used_s < limits.max_time_s and used_s + duration_s <= limits.max_time_s):
        used = f"{used_s:g} s are used of {limits.max_time_s:g} s"
        raise BudgetError(f"{duration_s:g} s were asked and {used}: stop here")


def _less(overhead_s: float) -> str:
    return (
        "use a shorter dwell_us, less current or a shorter exposure_overhead_s"
        if overhead_s
        else "use a shorter dwell_us"
    )


def check_fluence(
    place: Footprint, before_e_per_A2: float, more_e_per_A2: float, limits: Limits, overhead_s: float = 0.0
) -> None:
    """No point of a place gets more than any may have, e/Å². Raises BudgetError."""
    after = before_e_per_A2 + more_e_per_A2
    if not after <= limits.max_fluence_e_per_A2:
        raise BudgetError(
            f"the place ({place.x_nm:.1f}, {place.y_nm:.1f}) nm would reach {after:.4g} e/Å², over its limit of "
            f"{limits.max_fluence_e_per_A2:.4g} (now {before_e_per_A2:.4g}{_with(overhead_s)}): "
            f"{_less(overhead_s)}, or move on"
        )


def check_transfer(state: State, limits: Limits, lacking: Set[str], *, has_valves: bool) -> None:
    """A specimen may go in or out: dark, behind a closed valve, the stage level and at its middle.

    An axis that neither reads nor is allowed is one that this stage lacks.
    """
    check_idle(state)
    check_dark(state, lacking)
    if state.valve_open is not False and (has_valves or state.valve_open is not None):
        found = "open" if state.valve_open else "in a state that cannot be read"
        raise BusyError(f"a specimen is moved behind a closed column valve, but it is {found}: close it (HasValves)")
    if state.vacuum is not None:
        believed("vacuum", state.vacuum, None, limits)
    for axis in (*LENGTHS, *TILTS):
        found_at, tolerance = getattr(state.stage, axis), TOUCH_DEG if axis in TILTS else limits.reach_tolerance_nm
        if found_at is None and axis not in LENGTHS[:2] and getattr(limits, axis) is None:
            continue
        if found_at is None or not abs(found_at) <= tolerance:
            raise BusyError(f"a specimen is moved with the stage at zero, but {axis} reads {found_at}: move it there")


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


def check_still(change: str | None) -> None:
    """Nothing changed between two read-backs of the stage."""
    if change:
        raise BusyError(f"the stage is not still: {change} a moment ago; wait and ask again")


def come_to_rest(read: Callable[[], StagePosition], clock: Clock, limits: Limits) -> tuple[StagePosition, str | None]:
    """The stage once two read-backs in a row agree, or with what still changes after the time for it."""
    deadline_s = clock.now_s() + limits.settle_timeout_s
    stage, change = read(), None
    while clock.now_s() < deadline_s:
        clock.wait(_READBACK_INTERVAL_S)
        before, stage = stage, read()
        if (change := moved(before, stage, limits.stage_uncertainty_nm)) is None:
            break
    return stage, change


class Rest:
    """Whether the stage is at rest: two read-backs that agree, as a driver's "ready" alone is not believed."""

    def __init__(self, read: Callable[[], State], clock: Clock, limits: Limits) -> None:
        self._read, self._clock, self._limits = read, clock, limits
        self.seen: StagePosition | None = None
        """Where it was last; None: it is to be waited for."""

    def settled(self, state: State) -> State:
        """The state; read anew where the stage had to be waited for, as what was told before is old by then."""
        if self.seen is not None:
            return state
        stage, change = self.wait()
        check_still(change)
        self.seen = stage
        return self._read()

    def check(self, stage: StagePosition, tolerance_nm: float) -> None:
        """The read-back agrees with the one before it."""
        before, self.seen = self.seen or stage, stage
        check_still(moved(before, stage, tolerance_nm))

    def wait(self) -> tuple[StagePosition, str | None]:
        """``come_to_rest``."""
        return come_to_rest(lambda: self._read().stage, self._clock, self._limits)


def stopped_at(start: StagePosition, expected: StagePosition, found: StagePosition) -> StagePosition:
    """Where the tilts should be after a motion that was stopped: where they are, if that lies on the way."""
    places = {}
    for axis in TILTS:
        begin, end, at = (getattr(place, axis) for place in (start, expected, found))
        on_its_way = None not in (begin, end, at) and min(begin, end) - TOUCH_DEG <= at <= max(begin, end) + TOUCH_DEG
        places[axis] = at if on_its_way else end
    return replace(expected, **places)


def touched(expected: StagePosition, found: StagePosition) -> str | None:
    """Whether a tilt is so far from where it should be that it looks like a pole touch, in words."""
    wrong = off(expected, found, TILTS, TOUCH_DEG)
    return wrong and f"pole touch suspected, {wrong}: do not move, see to the stage"
