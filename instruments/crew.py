"""Starts what stands between a runner and an instrument: guard, watchdog and, unless one runs already, driver server.

They die together: whoever ends is noticed by the others, who blank and end too; the runner starts them anew.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from configs.load import Settings
from instruments import codec
from instruments.column import here
from instruments.drivers import registry
from instruments.errors import Disconnected, Timeout
from instruments.latches import latch_file, tell_waived
from instruments.launch import instrument_name, launch, part, spawn
from instruments.limits import Limits
from instruments.remote import RemoteSettings, token_in
from instruments.server.wire import BadMessage, Closed, prepare, receive

if TYPE_CHECKING:
    import subprocess

    from instruments.codec import Json

_START_S = 60.0
"""Of guard and watchdog, once the driver server has the instrument."""
_PARTING_S = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a crew is made for."""

    instrument: Settings
    limits: Limits
    ledger: Path
    """Of this survey's specimen."""
    seed: int = 0
    truth: Path | None = None
    log: Path | None = None
    """Where the processes' remarks go; None = to stderr."""

    @property
    def simulated_time(self) -> bool:
        """Whether the instrument keeps its own time: then everything goes by it."""
        return not getattr(self.instrument, "real_time", True)


class Crew:
    """The processes, and the runner's ends of the sockets to them. Raises InstrumentError where one does not start."""

    def __init__(self, plan: Plan, start_s: float) -> None:
        origin = {"start_s": start_s, "monotonic_s": time.monotonic()}  # some instruments take minutes to start
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pids: dict[str, int] = {}
        self._log = plan.log.open("ab") if plan.log else None
        self.calls, guard_calls = socket.socketpair()
        self.urgent, guard_urgent = socket.socketpair()
        self.halt, guard_halt = socket.socketpair()
        self._life, watchdog_life = socket.socketpair()
        guard_watch, watchdog_watch = socket.socketpair()
        theirs = (guard_calls, guard_urgent, guard_halt, guard_watch, watchdog_watch, watchdog_life)
        for link in (self.calls, self.urgent, self.halt):
            prepare(link)
        try:
            server, token = self._server(plan, start_s)
            order: Json = {
                "server": server.model_dump(mode="json"),
                "token": token,
                "who": secrets.token_hex(8),
                "limits": plan.limits.model_dump(mode="json"),
                "ledger": str(plan.ledger.resolve()),
                "latches": str(latch_file(instrument_name(plan.instrument))),
                "hardware": not registry.simulated(plan.instrument),
                "clock": None if plan.simulated_time else origin,
            }
            sockets = {"calls": guard_calls, "urgent": guard_urgent, "watch": guard_watch, "halt": guard_halt}
            guard = self._start("guard_process", order, sockets)
            sockets = {"watch": watchdog_watch, "life": watchdog_life}
            self._start("watchdog", {**order, "guard_pid": guard.pid}, sockets)
            for link in theirs:
                link.close()
            self.about = self._first_word()
            tell_waived(instrument_name(plan.instrument), dict(plan.limits.waived) if order["hardware"] else {})
        except BaseException:
            for link in theirs:
                link.close()
            self.end()
            raise

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes, by what they are."""
        return dict(self._pids)

    def end(self) -> None:
        """Let go: the guard blanks and ends, then the others; one that does not is killed after a while. Safe twice."""
        for link in (self.calls, self.urgent, self.halt):
            link.close()
        give_up_s = time.monotonic() + _PARTING_S
        for process in reversed(self._processes):  # the server is the last to go
            part(process, max(give_up_s - time.monotonic(), 0.1))
        self._processes.clear()
        self._life.close()
        if self._log is not None:
            self._log.close()

    def _server(self, plan: Plan, start_s: float) -> tuple[RemoteSettings, str]:
        """The driver server's address and token: of one that runs already, or of one that is started for this."""
        if isinstance(plan.instrument, RemoteSettings):
            return plan.instrument, token_in(plan.instrument.token_file)
        truth = None if plan.truth is None else str(plan.truth.resolve())
        about = {"seed": plan.seed, "truth": truth, "start_s": start_s, "holder": here()}
        made = launch("instruments.hosted", plan.instrument, about, plan.log)
        self._keep("server", made.process)
        return made.remote, made.token

    def _start(self, module: str, order: Json, sockets: dict[str, socket.socket]) -> subprocess.Popen[bytes]:
        numbers = {name: link.fileno() for name, link in sockets.items()}
        process = spawn(f"instruments.{module}", [], self._log, pass_fds=tuple(numbers.values()))
        self._keep(module, process)
        if process.stdin is not None:
            with suppress(OSError):  # gone already: heard of where its first word is waited for
                process.stdin.write(json.dumps({**order, "sockets": numbers}).encode())
                process.stdin.close()
        return process

    def _keep(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self._processes.append(process)
        self._pids[name] = process.pid

    def _first_word(self) -> Json:
        """What the guard says when it has the instrument, or why it has not."""
        give_up_s = time.monotonic() + _START_S

        def impatient() -> None:
            if time.monotonic() > give_up_s:
                raise Timeout(f"the guard's process did not answer in {_START_S:g} s{self._why()}")

        try:
            told: Json = receive(self.calls, impatient)[0]
        except (Closed, BadMessage) as error:
            raise Disconnected(f"the guard's process ended at its start: {error}{self._why()}") from error
        if "error" in told:
            raise codec.error_of(told)
        return told

    def _why(self) -> str:
        return f"; see {self._log.name}" if self._log is not None else "; see what it has written above"
