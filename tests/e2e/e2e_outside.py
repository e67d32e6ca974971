"""The bench with the guard where it is for an instrument: in a process of its own, with its watchdog.

World, driver and driver server stay in the test, so that the truth can be read; guard and watchdog are real processes,
and their deaths are real too.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from e2e_bench import LIMITS, Bench
from e2e_links import TOKEN, wait_for
from e2e_process import WatchedDriver

from instruments.crew import Plan
from instruments.errors import InstrumentError
from instruments.guard_client import GuardClient
from instruments.hosted import HostedWorld
from instruments.latches import InstrumentLedger, clear_latches, latch_file
from instruments.ledger_sqlite import SqliteLedger
from instruments.remote import RemoteSettings
from instruments.server.serving import DriverServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class WorldSettings(RemoteSettings):
    """A driver server whose world keeps its own time."""

    @property
    def real_time(self) -> bool:
        return False


class OutsideBench(Bench):
    """One world; guards and watchdogs that come and go over it as processes."""

    def __init__(self, folder: Path) -> None:
        self._server: DriverServer | None = None
        self._folder = folder
        self._state = os.environ.get("ADAPTEM_STATE")
        os.environ["ADAPTEM_STATE"] = str(folder / "state")
        super().__init__(folder, LIMITS)

    def boot(self) -> None:
        """Whoever takes over next may die again."""
        if self._server is None:
            (self._folder / "token").write_text(TOKEN)
            self._server = DriverServer(HostedWorld(WatchedDriver(self), self.clock), TOKEN, "rig", 60.0)  # type: ignore
            settings = WorldSettings(port=self._server.listen(), token_file=self._folder / "token", name="rig")
            self._serving = threading.Thread(target=self._server.run, daemon=True)
            self._serving.start()
            plan = Plan(instrument=settings, limits=LIMITS, ledger=self._path, log=self._folder / "guard.log")
            self.client = self.guard = GuardClient(plan)  # type: ignore
            self._dose = SqliteLedger(self._path)
            self.ledger = InstrumentLedger(self._dose, SqliteLedger(latch_file("rig")))  # type: ignore
        self.die_at, self._dead = None, False

    def crash_and_boot(self) -> None:
        """SIGKILL, and at once a new process."""
        self.kills += 1
        self._strike()
        if (crew := self.client._crew) is not None:
            crew.end()
            self.client._crew = None
        self._quiet()
        self.boot()
        with suppress(InstrumentError):
            self.client.blank()

    def act(self, action: Callable[[], object]) -> BaseException | None:
        def whole() -> None:
            manned = self.client._crew is not None
            try:
                action()
            finally:
                self._quiet()
                planned = self._dead or not manned or self.client._crew is not None
                self.must(planned, "the guard's process ended, and nobody had killed it")
                self._dead = self._dead or self.client._crew is None

        return super().act(whole)

    def person_clears(self) -> None:
        """As ``adaptem guard clear`` does."""
        self.touched = self.adrift = False
        self._frozen = None
        self.world.set_valve(is_open=True)
        self.world.put("grid 1")
        clear_latches("rig", "Ada", "looked at it")

    def point(self, name: str) -> None:
        """A point where the guard's process may die; driver and server live on."""
        if self.die_at == name:
            self.die_at, self._dead = None, True
            self._strike()

    def booked_electrons(self) -> float:
        (electrons,) = self._dose._db.execute("SELECT total(electrons) FROM reservations").fetchone()
        return float(electrons)

    def booked_fluence(self, place: Any) -> float:
        return self._dose.fluence_e_per_A2(place)

    def close(self) -> None:
        """Nothing of it is left."""
        with suppress(InstrumentError):
            self.client.close()
        self.ledger.close()
        assert self._server is not None
        self._server.stop("the test is over")
        self._serving.join(10.0)
        if self._state is None:
            del os.environ["ADAPTEM_STATE"]
        else:
            os.environ["ADAPTEM_STATE"] = self._state

    def _strike(self) -> None:
        if (pid := self.client.pids.get("guard_process")) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _quiet(self) -> None:
        """What was sent to the driver before the guard died is over."""
        server = self._server
        assert server is not None

        def idle() -> bool:
            pilot = server._pilot
            return server._jobs.empty() and (pilot is None or pilot.job is None) and not self.world.beam_on

        wait_for(idle, "the driver server is still at work", 20.0)
