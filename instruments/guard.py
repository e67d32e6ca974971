"""The only way to an instrument. Refuses, never clamps; blanks by default; books dose before the beam.

A refusal moves nothing, unblanks nothing and books nothing.
    latch → time → request → state of the instrument → dose → reserve (durable) → expose → blank → settle
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, cast

from instruments import booking, errors, guard_holder
from instruments import guard_checks as checks
from instruments.bounds import LENGTHS, TILTS, check_exposure, check_move, check_optics, legs, merged
from instruments.dose import lit, told
from instruments.errors import BusyError, HardwareFault, Held, InstrumentError, LimitError, ReachError
from instruments.guard_powers import Own, guarded
from instruments.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from instruments.clock import Clock
    from instruments.dose import Price
    from instruments.ledger import Ledger
    from instruments.limits import Limits, Rig
    from instruments.protocol import Microscope, P
    from instruments.types import Exposure, Frame, Optics, StagePosition, State


class Guard:
    """A Microscope that owns another one and lets through what the limits and the ledger allow."""

    def __init__(self, microscope: Microscope, limits: Limits, ledger: Ledger, clock: Clock, rig: Rig) -> None:
        self.limits, self.ledger, self._overhead_s = limits, ledger, rig.overhead_s
        self._lacking = checks.may_lack(limits, ledger.has_read(), hardware=rig.hardware)
        self.denials = 0  # requests refused by the guard itself
        self.last_denial: str | None = None
        self._microscope, self._clock, self._counted_s = microscope, clock, clock.now_s()
        self._starts: deque[float] = deque(maxlen=limits.max_exposures_per_min)
        self._rest = checks.Rest(self.state, clock, limits)
        self._stopped, self._closed = threading.Event(), False
        self._held: Held | None = None
        self.blank()

    def state(self) -> State:
        with self._driver() as microscope:
            return microscope.state()

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        """Refuses a way that leaves the limits anywhere. Latches where a tilt is not where it should be then."""
        self._stopped.clear()  # before anything is read: who stops from now on means this move
        with self._permitted() as state:
            with self._judging():
                check_move(target, state.stage, self.limits)
                checks.check_idle(state)
                self._rest.check(state.stage, self.limits.reach_tolerance_nm)  # who moved it is there: yield
            self._darken()
            self._rest.seen, expected = None, merged(target, state.stage)
            if (target.alpha_deg, target.beta_deg) != (None, None):
                self.ledger.intend_tilt(expected)
            held = self._held
            try:
                with self._driver() as microscope:
                    for leg in legs(target, self.limits):
                        if self._held is not held or self.ledger.latched() is not None:
                            self._stopped.set()  # on its way: as if it had been stopped there
                        if not self._stopped.is_set():  # nothing else would keep the second back
                            microscope.move(leg)
            except errors.REFUSALS:
                self.ledger.intend_tilt(state.stage)  # so a driver says that nothing moved
                raise
            except Exception:
                with suppress(BusyError, ReachError, errors.Timeout, errors.Disconnected):
                    self._arrive(target, state.stage, expected)
                raise
            return Outcome(target, self._arrive(target, state.stage, expected))

    def tune(self, target: Optics) -> Outcome[Optics]:
        with self._permitted() as state:
            with self._judging():
                check_optics(target, self.limits)
                checks.check_idle(state)
            self._darken()
            with self._driver() as microscope:
                return microscope.tune(target)

    def acquire(self, exposure: Exposure) -> Frame:
        """Book, expose, blank. Whatever is raised once it is booked, the dose counts as spent."""
        return self._expose(exposure, self._microscope.acquire)

    def _expose(self, exposure: Exposure, make: Callable[[Exposure], Frame]) -> Frame:
        with self._turn() as state:
            with self._judging():
                price = self._plan(exposure, state, state.stage)
                if (settled := self._rest.settled(state)) is not state:
                    state, price = settled, self._plan(exposure, settled, settled.stage)
                self._rest.check(state.stage, self.limits.stage_uncertainty_nm)
                if self._held:  # at the last moment: what is refused here is not booked
                    raise self._held
                ticket = self.ledger.reserve(lit(exposure, state), price.place, price.most_electrons)
            self._starts.append(self._clock.now_s())
            try:
                with self._driver():
                    if self._held:
                        raise self._held
                    frame = told(make(exposure), price)
            finally:
                self.blank()
            return booking.settle(self.ledger, ticket, price, frame, state, self.limits)

    def hold(self, reason: str) -> None:
        """Blank, and refuse every exposure from now on: whatever is on its way must not unblank again."""
        self._held = Held(f"the beam is held off: {reason}; resume the survey to expose again")
        self.blank()

    def release(self) -> None:
        """Whoever held the beam off for a reason that is over lets go of it."""
        self._held = None

    def blank(self) -> None:
        """Blank and look. Latches where it fails or the beam reads on: nobody knows what the beam does then."""
        if not self._closed:
            self._shut()

    def _darken(self) -> None:
        """Blank, and see that it is so, before anything changes: what does not read counts as on."""
        state = self._shut() or self.state()
        with self._judging():
            checks.check_dark(state, self._lacking)

    def _shut(self) -> State | None:
        """``blank``; what the instrument reads then, None where it cannot be read: then nothing is exposed."""
        try:
            self._microscope.blank()
        except Exception as error:
            raise self._latch(f"the beam could not be blanked ({error}): close the valves, see to it") from error
        try:
            state = self.state()
        except InstrumentError:
            return None
        if state.blanked is False:
            raise self._latch("the beam was blanked but reads on: close the valves, see to it")
        return state

    def close(self) -> None:
        if not self._closed:
            with ExitStack() as parting:  # each, whatever became of the one before
                parting.callback(self._microscope.close)
                parting.callback(setattr, self, "_closed", True)
                parting.callback(guard_holder.make_safe, self._microscope, self.limits)
                parting.callback(self.blank)

    def power(self, kind: type[P]) -> P | None:
        """Only the powers the guard has a rule for (``guard_powers``)."""
        with self._driver() as microscope:
            halt, carry = self._stopped.set, self._transferring
            own = Own(self.limits, self.blank, halt, self.ledger, carry, self._acting, self._driver, self._expose)
            return cast("P | None", guarded(kind, microscope.power(kind), own))

    def why_not(
        self, exposure: Exposure, stage: StagePosition | None = None, *, state: State | None = None
    ) -> str | None:
        """Why this exposure would be refused now, here or after a move to ``stage``; None where it would be made.

        Changes nothing. ``state``: a read-back to judge many places by, instead of one each.
        """
        try:
            found = self.state() if state is None else state
            if stage is not None:
                check_move(stage, found.stage, self.limits)
            self._plan(exposure, found, found.stage if stage is None else merged(stage, found.stage))
        except InstrumentError as refusal:
            return str(refusal)
        return None

    def _plan(self, exposure: Exposure, state: State, stage: StagePosition) -> Price:
        """What the exposure would hit and cost. Raises where it is refused; changes nothing."""
        limits, ledger = self.limits, self.ledger
        check_exposure(exposure, limits)
        self._check_latch_and_time(exposure.duration_s)
        if exposure.id is not None and ledger.booked(exposure.id):
            raise LimitError(f"exposure {exposure.id} was booked before and is never made twice: ask for a new intent")
        checks.check_idle(state)
        checks.check_beam_path(state, limits, self._lacking, has_valves=checks.has_valves(self._microscope))
        checks.check_read(state, self._lacking)
        guard_holder.check_holder(state, limits)
        if len(self._starts) == self._starts.maxlen:
            checks.check_pause(self._starts[0] + 60.0 - self._clock.now_s(), state, limits)
        return booking.affordable(exposure, stage, state, limits, ledger, self._overhead_s())

    @contextmanager
    def _transferring(self) -> Iterator[Callable[[str], HardwareFault]]:
        """A specimen's way onto the stage or off it, where it may go now; yields how to latch."""
        with self._permitted() as state:
            valves = checks.has_valves(self._microscope)
            with self._judging():
                checks.check_transfer(state, self.limits, self._lacking, has_valves=valves)
                checks.check_read(state, self._lacking | checks.GUN)
                self._rest.seen = None  # settled and read again, whatever was seen before: one reading may be wrong
                settled = self._rest.settled(state)
                checks.check_transfer(settled, self.limits, self._lacking, has_valves=valves)
            self._rest.seen = None  # it may stand elsewhere after
            yield self._latch

    def _check_latch_and_time(self, duration_s: float) -> None:
        if (reason := self.ledger.latched()) is not None:
            raise HardwareFault(f"latched: {reason}; a person must look and clear the latch", latching=True)
        checks.check_time(self.ledger.time_used_s() + self._clock.now_s() - self._counted_s, duration_s, self.limits)

    def _arrive(self, target: StagePosition, start: StagePosition, expected: StagePosition) -> StagePosition:
        """Where the stage came to rest. A tilt that is off or unread, and was not stopped, counts as a pole touch."""
        try:
            found, change = self._rest.wait()
        except InstrumentError as error:
            if (target.alpha_deg, target.beta_deg) == (None, None):
                raise
            raise self._latch(f"after a tilt the stage cannot be read ({error}): do not move, see to it") from error
        self._rest.seen = None if change else found
        there = checks.stopped_at(start, expected, found) if self._stopped.is_set() else expected
        if wrong := checks.touched(there, found):
            raise self._latch(wrong)
        if self._stopped.is_set():
            self.ledger.intend_tilt(there)
        missed = change or checks.off(expected, found, LENGTHS, self.limits.reach_tolerance_nm)
        if missed := missed or checks.off(expected, found, TILTS, checks.TOUCH_DEG):
            raise ReachError(f"the stage did not arrive: {missed}; try again", target=target, readback=found)
        return found

    def _latch(self, reason: str) -> HardwareFault:
        with suppress(InstrumentError):  # a ledger that cannot write still keeps the latch in memory
            self.ledger.latch(reason)
        return HardwareFault(reason, latching=True)

    @contextmanager
    def _driver(self) -> Iterator[Microscope]:
        """The instrument, while it is ours; its latching faults latch here too."""
        if self._closed:
            raise errors.Disconnected("this guard was closed: open the instrument again")
        try:
            yield self._microscope
        except HardwareFault as fault:
            if fault.latching:
                self._latch(str(fault))
            raise

    @contextmanager
    def _turn(self) -> Iterator[State]:
        """One request: the time before it and its own are spent, however it ends."""
        self._spend_time()
        try:
            state = self.state()
            if read := self._lacking - checks.unread(state):
                self.ledger.tell_read(read)
                self._lacking -= read
            if state.blanked is not True:
                self.blank()
            if wild := guard_holder.runaway(state, self._microscope, self.limits):
                self._latch(wild)
            if (tilt := self.ledger.intended_tilt()) is None:
                self.ledger.intend_tilt(state.stage)
            elif checks.touched(tilt, merged(state.stage, tilt)):  # or still on its way, after a process that died
                self._rest.seen = self._rest.wait()[0]
                if wrong := checks.touched(tilt, merged(self._rest.seen, tilt)):
                    self._latch(wrong)
                state = self.state()  # where a move starts is where the stage has come to rest
            yield state
        finally:
            with suppress(InstrumentError):  # what cannot be written down now is counted at the next request
                self._spend_time()

    @contextmanager
    def _permitted(self) -> Iterator[State]:
        """The turn of a request that neither latch nor time forbids."""
        with self._turn() as state:
            with self._judging():
                self._check_latch_and_time(0.0)
            yield state

    @contextmanager
    def _acting(self) -> Iterator[State]:
        with self._permitted() as state, self._driver():
            yield state

    @contextmanager
    def _judging(self) -> Iterator[None]:
        try:
            yield
        except InstrumentError as refusal:
            self.denials += 1
            self.last_denial = str(refusal)
            raise

    def _spend_time(self) -> None:
        now_s = self._clock.now_s()
        self.ledger.spend_time(now_s - self._counted_s)
        self._counted_s = now_s
