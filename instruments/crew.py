"""Starts what stands between a runner and an instrument: guard, watchdog and, unless one runs already, driver server.

They die together: whoever ends is noticed by the others, who blank and end too; the runner starts them anew.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.load import ConfigError, Settings
from instruments import codec
from instruments.errors import Disconnected, InstrumentError, Timeout
from instruments.latches import latch_file
from instruments.limits import Limits
from instruments.remote import RemoteSettings, token_in
from instruments.server.wire import BadMessage, Closed, prepare, receive

if TYPE_CHECKING:
    from instruments.codec import Json

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0
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


def instrument_name(instrument: Settings) -> str:
    """What its latches are kept under: the name that its settings give it, else its kind."""
    return str(getattr(instrument, "name", None) or getattr(instrument, "kind", "instrument"))


def overhead_s(instrument: Settings) -> float:
    """What an exposure may take beyond its own time before the driver server blanks and gives its frame up.

    As its settings say (``exposure_overhead_s``: slow read-out, slow set-up); what only renders is waited for.
    """
    renders = getattr(instrument, "kind", None) in ("simulated", "replay", "faulty")
    return float(getattr(instrument, "exposure_overhead_s", 60.0 if renders else 1.0))


class Crew:
    """The processes, and the runner's ends of the sockets to them. Raises InstrumentError where one does not start."""

    def __init__(self, plan: Plan, start_s: float) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pids: dict[str, int] = {}
        self._folder: Path | None = None
        self._log = plan.log.open("ab") if plan.log else None
        self.calls, guard_calls = socket.socketpair()
        self.urgent, guard_urgent = socket.socketpair()
        self._life, watchdog_life = socket.socketpair()
        guard_watch, watchdog_watch = socket.socketpair()
        theirs = (guard_calls, guard_urgent, guard_watch, watchdog_watch, watchdog_life)
        for link in (self.calls, self.urgent):
            prepare(link)
        try:
            server, token = self._server(plan, start_s)
            order: Json = {
                "server": server.model_dump(mode="json"),
                "token": token,
                "limits": plan.limits.model_dump(mode="json"),
                "ledger": str(plan.ledger.resolve()),
                "latches": str(latch_file(instrument_name(plan.instrument))),
                "clock": None if plan.simulated_time else {"start_s": start_s, "monotonic_s": time.monotonic()},
            }
            sockets = {"calls": guard_calls, "urgent": guard_urgent, "watch": guard_watch}
            guard = self._start("instruments.guard_process", order, sockets)
            sockets = {"watch": watchdog_watch, "life": watchdog_life}
            self._start("instruments.watchdog", {**order, "guard_pid": guard.pid}, sockets)
            for link in theirs:
                link.close()
            self.about = self._first_word()
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
        for link in (self.calls, self.urgent):
            link.close()
        give_up_s = time.monotonic() + _PARTING_S
        for process in reversed(self._processes):  # the server is the last to go
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(max(give_up_s - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()
        self._life.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._log is not None:
            self._log.close()

    def _server(self, plan: Plan, start_s: float) -> tuple[RemoteSettings, str]:
        """The driver server's address and token: of one that runs already, or of one that is started for this."""
        if isinstance(plan.instrument, RemoteSettings):
            return plan.instrument, token_in(plan.instrument.token_file)
        self._folder = Path(tempfile.mkdtemp(prefix="adaptem-"))
        settings, token_file, token = self._folder / "settings.json", self._folder / "token", secrets.token_hex(32)
        token_file.touch(0o600)
        token_file.write_text(token)
        instrument = plan.instrument.model_dump(mode="json")
        truth = None if plan.truth is None else str(plan.truth.resolve())
        told = {"instrument": instrument, "seed": plan.seed, "truth": truth, "start_s": start_s}
        settings.write_text(json.dumps(told))
        where = ["--driver", "instruments.hosted", "--settings", str(settings), "--token-file", str(token_file)]
        where += ["--overhead-s", str(overhead_s(plan.instrument))]
        process = self._popen("instruments.server", [*where, "--until-stdin-closes"], (), stdout=subprocess.PIPE)
        ready = process.stdout is not None and select.select([process.stdout], [], [], _START_S)[0]
        line = process.stdout.readline() if ready and process.stdout is not None else b""
        if not line:
            raise InstrumentError(f"the driver server of {instrument_name(plan.instrument)} did not start{self._why()}")
        port = int(json.loads(line)["port"])
        return RemoteSettings(port=port, token_file=token_file, name=instrument_name(plan.instrument)), token

    def _start(self, module: str, order: Json, sockets: dict[str, socket.socket]) -> subprocess.Popen[bytes]:
        inherited = tuple(link.fileno() for link in sockets.values())
        process = self._popen(module, [], inherited)
        numbers = {name: link.fileno() for name, link in sockets.items()}
        if process.stdin is not None:
            process.stdin.write(json.dumps({**order, "sockets": numbers}).encode())
            process.stdin.close()
        return process

    def _popen(
        self, module: str, words: list[str], inherited: tuple[int, ...], **options: Any
    ) -> subprocess.Popen[bytes]:
        """A process of its own group, so that a terminal's Ctrl-C reaches the runner alone."""
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(  # noqa: S603 - this Python, our module
            [sys.executable, "-m", module, *words],
            stdin=subprocess.PIPE,
            stderr=self._log,
            pass_fds=inherited,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
            **options,
        )
        self._processes.append(process)
        self._pids[module.rpartition(".")[2]] = process.pid
        return process

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
        if told.get("error") == "Config":
            raise ConfigError(told["message"])
        if "error" in told:
            raise codec.error_of(told)
        return told

    def _why(self) -> str:
        return f"; see {self._log.name}" if self._log is not None else "; see what it has written above"
