"""A driver in a process of its own: for libraries under another licence, or that do not live beside others.

    this process: Apart ─► RemoteMicroscope ═ loopback, token ═► driver server ─► the driver's ``open_driver``

The server blanks and ends when this process does, however that comes about.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from instruments.clock import RealClock, SimulatedClock
from instruments.errors import InstrumentError
from instruments.launch import launch, part
from instruments.remote import RemoteMicroscope

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from configs.load import Settings
    from instruments.clock import Clock
    from instruments.types import Exposure, Frame, Optics, Outcome, StagePosition, State

P = TypeVar("P")


class Apart:
    """Microscope whose driver lives in a process that this one started, and that ends with it."""

    def __init__(self, scope: RemoteMicroscope, process: subprocess.Popen[bytes], clock: Clock) -> None:
        self._scope, self._process, self._clock = scope, process, clock

    def state(self) -> State:
        with self._one_time():
            return self._scope.state()

    def move(self, target: StagePosition) -> Outcome[StagePosition]:
        with self._one_time():
            return self._scope.move(target)

    def tune(self, target: Optics) -> Outcome[Optics]:
        with self._one_time():
            return self._scope.tune(target)

    def acquire(self, exposure: Exposure) -> Frame:
        with self._one_time():
            return self._scope.acquire(exposure)

    def blank(self) -> None:
        """From any thread."""
        if self._process.poll() is None:  # a process that is gone has blanked, or its simulated beam went with it
            self._scope.blank()

    def close(self) -> None:
        """Blank, and end the process. Safe twice."""
        with suppress(InstrumentError):
            self._scope.close()
        part(self._process)

    def power(self, kind: type[P]) -> P | None:
        return self._scope.power(kind)

    @contextmanager
    def _one_time(self) -> Iterator[None]:
        """A world with a clock of its own goes on as ours does, and ours as it does."""
        if isinstance(self._clock, RealClock):
            yield
            return
        if (behind_s := self._clock.now_s() - (self._scope.world_s or 0.0)) > 0:
            self._scope.wait(behind_s)
        try:
            yield
        finally:
            self._clock.wait(max((self._scope.world_s or 0.0) - self._clock.now_s(), 0.0))


def open_apart(module: str, settings: Settings, seed: int, clock: Clock) -> Apart:
    """Start the driver ``module`` in a process of its own, and connect to it.

    Args:
        module: that has ``open_driver({"instrument", "seed", "start_s"})``.
        settings: of the instrument.
        seed: of a simulated world.
        clock: of this process. A SimulatedClock and the world's, which starts at the same time, are kept together.

    Raises:
        ConfigError, InstrumentError: it does not start, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="adaptem-said-") as parent:
        made = launch(module, settings, {"seed": seed, "start_s": clock.now_s()}, Path(parent) / "stderr")
    try:
        return Apart(RemoteMicroscope(made.remote, made.token, _real(clock)), made.process, clock)
    except BaseException:
        part(made.process)
        raise


def _real(clock: Clock) -> Clock | None:
    return None if isinstance(clock, SimulatedClock) else clock
