"""Any driver of adaptem behind the driver server: ``python -m instruments.server --driver instruments.hosted``.

For computers that run adaptem itself; one that cannot gets a plain driver (``instruments.server.driver``).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments import codec, column, distant
from instruments.clock import RealClock, SimulatedClock
from instruments.drivers import registry
from instruments.errors import InstrumentError
from instruments.powers import CanStop, HasBlanker
from instruments.server.driver import DriverError
from instruments.types import Exposure, Optics, StagePosition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from instruments.clock import Clock
    from instruments.codec import Arrays, Json
    from instruments.column import Column
    from instruments.protocol import Microscope


class Hosted:
    """A ``Microscope`` as the driver server wants it: dictionaries in, dictionaries and arrays out."""

    def __init__(self, scope: Microscope, held: Column | None = None) -> None:
        """``held``: the column, to be let go of when the driver is closed."""
        self._scope = scope
        self._column = held
        self._motion = scope.power(CanStop)
        self._blanker = scope.power(HasBlanker)
        self.can_stop = self._motion is not None

    def state(self) -> Json:
        with _told():
            return codec.state(self._scope.state())

    def move(self, target: Json) -> Json:
        with _told():
            return codec.sparse(self._scope.move(codec.request_of(StagePosition, target)).achieved)

    def tune(self, target: Json) -> Json:
        with _told():
            return codec.sparse(self._scope.tune(codec.request_of(Optics, target)).achieved)

    def acquire(self, exposure: Json) -> tuple[Json, Arrays]:
        with _told():
            return codec.frame(self._scope.acquire(codec.request_of(Exposure, exposure)))

    def blank(self) -> None:
        self._scope.blank()

    def stop(self) -> None:
        if self._motion is not None:
            self._motion.stop()

    def blanked(self) -> bool | None:
        return self._scope.state().blanked if self._blanker is None else self._blanker.blanked()

    def use(self, power: str, verb: str, values: list[Any]) -> Any:
        with _told():
            return distant.use(self._scope, power, verb, values)

    def close(self) -> None:
        try:
            self._scope.close()
        finally:
            if self._column is not None:
                self._column.release()


class HostedWorld(Hosted):
    """One that keeps its own time: it goes on when it is told to."""

    def __init__(self, scope: Microscope, clock: Clock, held: Column | None = None) -> None:
        super().__init__(scope, held)
        self._clock = clock

    def now_s(self) -> float:
        return self._clock.now_s()

    def wait(self, duration_s: float) -> None:
        self._clock.wait(duration_s)


def open_driver(settings: Json) -> Hosted:
    """``settings``: instrument (the block of a config), holder, and seed, truth, start_s of a simulated one."""
    instrument = registry.parse(settings["instrument"])
    start_s = float(settings.get("start_s", 0.0))
    simulated = not getattr(instrument, "real_time", True)
    clock: Clock = (SimulatedClock if simulated else RealClock)(start_s)
    truth = settings.get("truth")
    runner = settings.get("holder")
    held = column.take(instrument, runner and f"{runner}, by its driver server, process {os.getpid()}")
    scope = registry.open_microscope(
        instrument, seed=int(settings.get("seed", 0)), clock=clock, truth=None if truth is None else Path(truth)
    )
    return HostedWorld(scope, clock, held) if simulated else Hosted(scope, held)


@contextmanager
def _told() -> Iterator[None]:
    """Our errors, as the server sends them."""
    try:
        yield
    except InstrumentError as error:
        about = codec.error(error)
        raise DriverError(about.pop("error"), about.pop("message"), **about) from error
