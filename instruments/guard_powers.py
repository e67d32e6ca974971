"""The optional powers the guard has a rule for. One without a rule here is not handed out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from instruments.errors import REFUSALS, HardwareFault, LimitError
from instruments.guard_holder import Acting, GuardedHolder
from instruments.guard_stream import Exposing, GuardedStream
from instruments.ledger import Ledger
from instruments.limits import Limits
from instruments.powers import CanStop, HasDiffraction, HasHolder, HasLoader, HasSpectra, HasStream, HasTilt, HasValves

if TYPE_CHECKING:
    from collections.abc import Sequence


Calling: TypeAlias = Callable[[], AbstractContextManager[object]]
Transferring: TypeAlias = Callable[[], AbstractContextManager[Callable[[str], HardwareFault]]]


@dataclass(frozen=True, slots=True)
class Own:
    """What is the guard's own, and its powers work with."""

    limits: Limits
    blank: Callable[[], None]
    stopping: Callable[[], None]
    """Told before motion is stopped."""
    ledger: Ledger
    transferring: Transferring
    """Judges whether a specimen may go in or out now, and hands in how to latch."""
    acting: Acting
    """Judges latch and time, latches what the driver latches, and hands in what is read."""
    calling: Calling
    """Latches what the driver latches, and forbids nothing."""
    exposing: Exposing


def guarded(kind: type, power: object, own: Own) -> object:
    """The power in its guarded form, or None."""
    if kind is HasValves and isinstance(power, HasValves):
        return GuardedValves(power, own.blank, own.calling)
    if kind is HasTilt and isinstance(power, HasTilt):
        return GuardedTilt(power, own.limits)
    if kind is CanStop and isinstance(power, CanStop):
        return GuardedStop(power, own.stopping, own.calling)
    if kind is HasHolder and isinstance(power, HasHolder):
        return GuardedHolder(power, own.limits, own.acting)
    if kind is HasStream and isinstance(power, HasStream):
        return GuardedStream(power, own.exposing)
    if kind is HasLoader and isinstance(power, HasLoader):
        return GuardedLoader(power, own.ledger, own.transferring)
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
    calling: Calling

    def close_valves(self) -> None:
        try:
            self.blank()
        finally:
            with self.calling():
                self.valves.close_valves()


@dataclass(frozen=True, slots=True)
class GuardedStop:
    """Stopping is always allowed, from any thread."""

    motion: CanStop
    stopping: Callable[[], None]
    calling: Calling

    def stop(self) -> None:
        self.stopping()
        with self.calling():
            self.motion.stop()


@dataclass(frozen=True, slots=True)
class GuardedLoader:
    """Transfers, where the guard allows them now. One whose end is not seen latches: it is never tried again blind."""

    loader: HasLoader
    ledger: Ledger
    transferring: Transferring

    def specimens(self) -> Sequence[str]:
        return self.loader.specimens()

    def loaded(self) -> str | None:
        return self.loader.loaded()

    def load(self, name: str) -> None:
        """Raises LimitError for a name that is not there."""
        if name not in (known := self.loader.specimens()):
            raise LimitError(f"{name!r} was asked to be loaded, there are {', '.join(known)}: ask for one of those")
        self._carry(f"loading {name}", name, lambda: self.loader.load(name))

    def unload(self) -> None:
        self._carry("unloading", None, self.loader.unload)

    def _carry(self, what: str, name: str | None, act: Callable[[], None]) -> None:
        """Latched while it is on its way, also for who comes after a crash, until it is seen to be there."""
        with self.transferring() as latch:
            self.ledger.begin_transfer(what)
            try:
                act()
            except REFUSALS:
                self.ledger.end_transfer()
                raise
            except Exception as error:
                raise latch(f"{what} failed ({error}): see where the specimen is") from error
            try:
                found = self.loader.loaded()
            except Exception as error:
                raise latch(f"{what} ended, and what is loaded does not read ({error}): see to it") from error
            if found != name:
                raise latch(f"after {what} the stage holds {found}: see where the specimen is")
            self.ledger.end_transfer()


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
