"""Driver server, guard's process and watchdog as threads of the test, joined by the real sockets, over one world.

What they do when a part dies is tested with real processes in tests/crash; here each path to a blanked beam stands
alone, so that a defect planted in one is not made good by another.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from instruments import codec, guard_client, guard_process, hosted, latches, server_link, watchdog
from instruments.clock import RealClock
from instruments.errors import InstrumentError
from instruments.guard import Guard
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED, Limits
from instruments.powers import CanStop
from instruments.remote import RemoteMicroscope, RemoteSettings
from instruments.server import serving, wire
from instruments.simulated.microscope import SimulatedMicroscope
from instruments.simulated.settings import SimulatedSettings, SpecimenSettings
from instruments.simulated.stage_settings import StageSettings
from instruments.simulated.world import World
from instruments.types import Exposure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

TOKEN = "0123456789abcdef" * 4
SILENCE_S = 0.4
"""In place of the real one and two seconds."""
SOON_S = 2.0
"""Much later than any of the promises here, much sooner than the exposure ends."""

LIMITS = Limits(
    x_nm=(-2000.0, 2000.0),
    y_nm=(-2000.0, 2000.0),
    alpha_deg=(-20.0, 20.0),
    off_axis_nm=0.0,
    backlash_nm=100.0,
    stage_uncertainty_nm=40.0,
    max_current_pA=60.0,
    max_electrons=1e12,
    max_fluence_e_per_A2=1e6,
    max_time_s=900.0,
)
SETTINGS = SimulatedSettings(
    specimen=SpecimenSettings(heavy_per_um2=0, light_per_um2=0, rare_layout="none"),
    stage=StageSettings(alpha_deg=(-80.0, 80.0), speed_nm_per_s=1e5, settle_s=0.01),
    overhead_s=0.0,
    real_time=True,
)
LONG = Exposure(field_of_view_nm=100.0, shape=(64, 64), dwell_us=750.0)
"""3 s of beam."""
SHORT = Exposure(field_of_view_nm=100.0, shape=(8, 8), dwell_us=50.0)


class Links:
    """All of it, up and running. ``patch`` shortens the silences."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        driver: Callable[[hosted.Hosted], Any] = lambda usual: usual,
        overhead_s: float = 60.0,
    ) -> None:
        patch.setattr(guard_process, "RUNNER_SILENCE_S", SILENCE_S)
        patch.setattr(watchdog, "GUARD_SILENCE_S", SILENCE_S)
        patch.setattr(watchdog, "_LOOK_S", 0.1)
        patch.setattr(watchdog, "_LINK_LOST_S", 0.2)
        patch.setattr(guard_client, "Crew", self._man)
        patch.setenv("ADAPTEM_STATE", str(folder / "state"))
        self.patch = patch
        self.folder = folder
        self.world = World(SETTINGS, 1, RealClock())
        self.said: list[str] = []
        self.server = serving.DriverServer(
            driver(hosted.Hosted(SimulatedMicroscope(self.world))),
            TOKEN,
            "rig",
            overhead_s,
            SILENCE_S,
            self.said.append,
        )
        self.port = self.server.listen()
        self.threads = [threading.Thread(target=self.server.run, daemon=True)]
        self.threads[0].start()
        self.crews: list[ThreadCrew] = []
        self.doings: list[Doing] = []
        self._links: list[server_link.Link] = []

    def client(self) -> guard_client.GuardClient:
        """A runner's guard, with a process and a watchdog behind it that are threads."""
        settings = RemoteSettings(port=self.port, token_file=self.folder / "token", name="rig")
        plan = guard_client.Plan(instrument=settings, limits=LIMITS, ledger=self.folder / "ledger.sqlite")
        return guard_client.GuardClient(plan)

    def doing(self, call: Callable[[], object]) -> Doing:
        """The call, begun in a thread of its own."""
        self.doings.append(Doing(call))
        return self.doings[-1]

    def pilot(self, role: str = "pilot", token: str = TOKEN, who: str = "somebody") -> server_link.Link:
        """A bare connection to the driver server."""
        self._links.append(server_link.Link(self.port, token, role, who))
        return self._links[-1]

    def wait_for_beam(self, beating: socket.socket | None = None) -> None:
        """``beating``: whose end has sent a bare request, and is to be taken for alive until then."""

        def on() -> bool:
            if beating is not None and not self.world.beam_on:
                wire.send(beating, {"op": "beat"})
            return self.world.beam_on

        wait_for(on, "the beam never came on")

    def goes_off(self) -> None:
        """The beam is off long before the exposure is over, and stays so."""
        wait_for(lambda: not self.world.beam_on, "the beam stays on", SOON_S)
        count = self.world.unblankings
        time.sleep(0.15)
        assert self.world.unblankings == count, "the beam came on again"

    def close(self) -> None:
        """Nothing of it is left."""
        for crew in self.crews:
            crew.end()
        for link in self._links:
            link.close()
        self.server.stop("the test is over")
        for thread in self.threads:
            thread.join(5.0)
        for doing in self.doings:  # a ledger that is closed under a thread that uses it takes the program with it
            doing.join()
        for crew in self.crews:
            wait_for(lambda crew=crew: crew.process._busy_until_s is None, "the guard is still at work")
            crew.ledger.close()
        self.world.close()

    def _man(self, plan: guard_client.Plan, start_s: float) -> ThreadCrew:
        crew = ThreadCrew(self, plan, start_s)
        self.crews.append(crew)
        return crew


class ThreadCrew:
    """In place of ``crew.Crew``: the same sockets, threads for processes, and a sleeping process to be killed."""

    def __init__(self, links: Links, plan: guard_client.Plan, start_s: float) -> None:
        self.calls, calls = socket.socketpair()
        self.urgent, urgent = socket.socketpair()
        self.halt, halt = socket.socketpair()
        self.life, life = socket.socketpair()
        self.watch, watch = socket.socketpair()
        self._sockets = (calls, urgent, life, watch, halt)
        for link in (self.calls, self.urgent, self.halt, calls, urgent, halt):
            wire.prepare(link)
        self.watch.setblocking(False)
        clock = RealClock(start_s)
        assert isinstance(plan.instrument, RemoteSettings)
        who = secrets.token_hex(8)
        self.scope = RemoteMicroscope(plan.instrument, TOKEN, clock, who=who)
        self.ledger = latches.InstrumentLedger(
            SqliteLedger(plan.ledger), SqliteLedger(latches.latch_file(plan.instrument.name))
        )
        self.guard = Guard(self.scope, plan.limits, self.ledger, clock, SIMULATED)
        self.process = guard_process.GuardProcess(self.guard, clock, calls, urgent, self.watch, halt)
        self.victim = subprocess.Popen(["sleep", "60"])
        self.dog = watchdog.Watchdog(watch, life, self.victim.pid, plan.instrument.port, TOKEN, who)
        self._thaw, self.watched = threading.Event(), threading.Event()
        self.about = {"now_s": clock.now_s(), "can_stop": self.guard.power(CanStop) is not None}
        self.pids = {"guard_process": self.victim.pid}
        self.guarding = threading.Thread(target=self._guard, daemon=True)
        self.watching = threading.Thread(target=self.dog.run, daemon=True)
        for thread in (self.guarding, self.watching):
            thread.start()
        assert self.watched.wait(30.0)

    def _guard(self) -> None:
        self.process.wait_until_watched(10.0)
        self.watched.set()
        self.process.run()
        for link in self._sockets[:2]:
            link.close()

    def freeze(self) -> None:
        """The guard's first thread stands still."""
        self.process._see_to_it = lambda: bool(self._thaw.wait(20.0))  # type: ignore

    def end(self) -> None:
        self._thaw.set()
        for link in (self.calls, self.urgent, self.halt):
            link.close()
        self.guarding.join(10.0)
        for link in (self.watch, self.life):
            with suppress(OSError):
                link.close()
        self.watching.join(10.0)
        self.victim.kill()
        self.victim.wait()
        for link in self._sockets:
            link.close()


class Doing:
    """One call in a thread of its own, and what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.raised: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.raised = error

    def join(self) -> Exception | None:
        self._thread.join(20.0)
        assert not self._thread.is_alive(), "the call never came back"
        return self.raised


def wait_for(condition: Callable[[], bool], complaint: str, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, complaint
        time.sleep(0.005)


def wish(exposure: Exposure) -> dict[str, Any]:
    """As it goes over the wire."""
    return {"op": "acquire", "exposure": codec.sparse(exposure)}


def refused(call: Callable[[], object], *kinds: type[Exception]) -> str:
    try:
        call()
    except kinds as error:
        return str(error)
    except InstrumentError as error:
        raise AssertionError(f"refused as {type(error).__name__}: {error}") from error
    raise AssertionError("it was carried out")
