"""What the night does about trouble: a table, and the little memory that repeats and hold-offs need.

    step ─► trouble(step) ─► TABLE ─► retry after 1, 2, 4 s ─► skip the target ─► park, blanked ─► stop

A place whose dose may have been spent is never exposed again by a retry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from pydantic import PositiveFloat, PositiveInt

from configs.load import Settings
from envs.belief import MASKED
from envs.deeds import SKILL_FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envs.step import Step


class Verb(StrEnum):
    """What to do about trouble."""

    CARRY_ON = "carry on"
    RETRY = "retry"
    """The same action again, after a wait."""
    SKIP = "skip"
    """Block the target and let the agent choose again."""
    PARK = "park"
    """Blank and wait; then try the same action again if its dose was not spent."""
    STOP = "stop"
    """Blank and end; a person must look."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The reply to one kind of trouble."""

    then: Verb
    """When the retries are used up."""
    waits_s: tuple[float, ...] = ()
    """One retry after each of these."""


LATCHING = "HardwareFault, latching"
BLANK = "blank frame"
DRIFT = "drift burst"
MASKED_ACTION = "masked action"

SOON = (1.0, 2.0, 4.0)

TABLE: Mapping[str, Rule] = {
    "LimitError": Rule(Verb.SKIP),
    "NotSupported": Rule(Verb.SKIP),
    "NotCalibrated": Rule(Verb.SKIP),
    "BudgetError": Rule(Verb.SKIP),
    "ReachError": Rule(Verb.SKIP, SOON),
    "Timeout": Rule(Verb.SKIP, SOON),
    "Disconnected": Rule(Verb.PARK, (*SOON, 8.0, 16.0, 32.0)),
    "BusyError": Rule(Verb.PARK),
    "NoRoom": Rule(Verb.PARK),
    "HardwareFault": Rule(Verb.PARK),
    "Held": Rule(Verb.CARRY_ON),  # to where the loop hears the stop that it comes from
    LATCHING: Rule(Verb.STOP),
    BLANK: Rule(Verb.PARK),
    DRIFT: Rule(Verb.PARK),
    SKILL_FAILED: Rule(Verb.SKIP),
    MASKED_ACTION: Rule(Verb.SKIP),
}
"""By the class of ``Fault.error``, or the name of what was wrong with a frame; anything else is parked upon."""


class RecoverySettings(Settings):
    """How patient the night is."""

    skips_before_parking: PositiveInt = 3
    """So many targets skipped in a row mean that something else is wrong."""
    hold_off_s: PositiveFloat = 30.0
    """First wait when parked; doubles with every further one for the same trouble."""
    hold_off_max_s: PositiveFloat = 900.0
    calm_s: PositiveFloat = 300.0
    """Trouble that stays away for so long after a wait is over; what comes back sooner is the same, and flaps."""
    most_relapses: PositiveInt = 10
    """So often may one trouble come back soon after it was over; then a person must look."""
    parked_max_s: PositiveFloat = 4 * 3600.0
    """After so long in trouble without a single success, stop."""
    drift_nm_per_s: PositiveFloat = 2.0
    """Faster is a burst of drift, and no stage that still settles. Read from looks of two frames or more."""
    drift_px: PositiveFloat = 3.0
    """So is what shifts the second frame of a look by more pixels: slow frames are blurred by less speed."""
    drifting_frames: PositiveInt = 3
    """So many looks in a row must drift: one may be in error, or its stage still creeping."""
    drift_wait_s: PositiveFloat = 60.0
    """First wait for the drift to end."""
    most_tries: PositiveInt = 8
    """Failures at one target after which it is left alone for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to do now."""

    verb: Verb
    trouble: str = ""
    wait_s: float = 0.0
    again: bool = False
    """Repeat the same action afterwards."""
    give_up: bool = False
    """Never look at this target again."""
    reason: str = ""

    def __str__(self) -> str:
        wait = f", wait {self.wait_s:g} s" if self.wait_s else ""
        return f"{self.verb}{wait}{', then the same again' if self.again else ''}: {self.reason}"


class Recovery:
    """Counts repeats. Its memory need not survive a restart: it only makes the night more patient."""

    def __init__(self, settings: RecoverySettings) -> None:
        self._settings = settings
        self._attempts = 0
        self._skips = 0
        self._parks = self._relapses = 0
        self._well = True
        self._parked_for = ""
        self._parked_until_s = 0.0
        self._in_trouble_since_s: float | None = None
        self._drifting = 0

    def reply(self, step: Step, now_s: float) -> Reply:
        """What to do after ``step``."""
        trouble = self._trouble(step)
        if trouble is None:
            self._attempts = self._skips = 0
            self._well = True
            self._in_trouble_since_s = None
            return Reply(verb=Verb.CARRY_ON)
        if self._in_trouble_since_s is None:
            self._in_trouble_since_s = step.start_s
        message = step.fault.message if step.fault else f"seen in the {step.look} of target {step.target}"
        rule = TABLE.get(trouble, Rule(Verb.PARK))
        lasted_s = now_s - self._in_trouble_since_s
        failed, spent = step.fault is not None, step.electrons > 0
        if rule.then is Verb.CARRY_ON and not any(r.electrons > 0 and not r.committed for r in step.exposures):
            return Reply(verb=Verb.CARRY_ON)
        give_up = failed and (spent or (rule.then is Verb.SKIP and trouble != MASKED_ACTION))
        reply = partial(Reply, trouble=trouble, give_up=give_up)
        if rule.then is Verb.STOP:
            return reply(verb=Verb.STOP, reason=f"{message}; a person must look and clear it")
        if lasted_s > self._settings.parked_max_s:
            return reply(verb=Verb.STOP, reason=f"no success for {lasted_s / 3600:.1f} h: {message}")
        if not spent and self._attempts < len(rule.waits_s):
            self._attempts += 1
            wait_s = rule.waits_s[self._attempts - 1]
            return reply(verb=Verb.RETRY, wait_s=wait_s, again=True, give_up=False, reason=message)
        self._attempts = 0
        if rule.then is Verb.SKIP:
            self._skips += 1
            if self._skips < self._settings.skips_before_parking:
                return reply(verb=Verb.SKIP, reason=message)
            message, self._skips = f"{self._skips} failures in a row, the last: {message}", 0
        again = failed and not spent and rule.then is not Verb.SKIP
        wait_s = self._hold_off_s(trouble, step, now_s)
        if self._relapses > self._settings.most_relapses:
            return reply(verb=Verb.STOP, reason=f"it has come back {self._relapses} times, each time soon: {message}")
        return reply(verb=Verb.PARK, wait_s=wait_s, again=again, reason=message)

    def _hold_off_s(self, trouble: str, step: Step, now_s: float) -> float:
        """Until the time that the instrument names; else longer each time that the same trouble comes back soon."""
        until_s = step.fault.until_s if step.fault else None
        if until_s is not None and until_s > now_s:
            return until_s - now_s
        if trouble != self._parked_for or now_s - self._parked_until_s > self._settings.calm_s:
            self._parks = self._relapses = 0
        elif self._well:
            self._relapses += 1
        self._well = False
        first_s = self._settings.drift_wait_s if trouble == DRIFT else self._settings.hold_off_s
        wait_s = min(first_s * 2.0**self._parks, self._settings.hold_off_max_s)
        self._parks += 1
        self._parked_for, self._parked_until_s = trouble, now_s + wait_s
        return wait_s

    def _trouble(self, step: Step) -> str | None:
        """Name of the row of the table; None when all is well."""
        if step.fault is not None:
            if step.fault.message.startswith(MASKED):
                return MASKED_ACTION
            return LATCHING if step.fault.latching else step.fault.error
        quality = step.score.quality if step.score else {}
        if quality.get("blank", 0.0) > 0:
            return BLANK
        drift_nm_per_s = quality.get("drift_nm_per_s")
        if drift_nm_per_s is None:  # this frame does not tell
            return None
        exposure = step.exposures[-1].exposure
        shift_px = drift_nm_per_s * exposure.duration_s / exposure.frames / exposure.pixel_size_nm
        drifts = drift_nm_per_s > self._settings.drift_nm_per_s or shift_px > self._settings.drift_px
        self._drifting = self._drifting + 1 if drifts else 0
        return DRIFT if self._drifting >= self._settings.drifting_frames else None
