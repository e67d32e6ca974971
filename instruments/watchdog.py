"""Blanks on a connection of its own where the guard or the runner stops: ``python -m instruments.watchdog``.

    guard ── "." five times a second ──► here ── look, once a second ──► driver server
    runner ── a line that only breaks ─► here ── fence ────────────────► driver server: blank, and the pilot is cut off

A guard that is silent is killed once the beam is off: what it wakes up to do must not be done. Knows no limits and no
ledger: nothing that could keep it from blanking.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from instruments.errors import InstrumentError
from instruments.server.log import Log
from instruments.server_link import Link

if TYPE_CHECKING:
    from instruments.codec import Json

GUARD_SILENCE_S = 1.0
"""A guard that does not beat for so long is taken for hung."""
_TICK_S = 0.1
_LOOK_S = 1.0
_ANSWER_S = 0.5
_LINK_LOST_S = 2.0
_KEEP_TRYING_S = 120.0
_UNKNOWN_S = 5.0
"""So long a blanker that takes the blank and does not read is told again: some never do."""
_UNKNOWN = "told to blank, and the blanker does not read, so whether the beam is off is not known; telling it again"
_PARTING_S = 10.0
"""After the runner's death, how long the guard may take to see to everything itself."""


class Watchdog:
    """Watches one guard and one runner until the guard says goodbye or the beam is seen off."""

    def __init__(
        self, guard: socket.socket, runner: socket.socket, guard_pid: int, port: int, token: str, who: str
    ) -> None:
        """``who``: as what the guard is known to the driver server."""
        self._guard = guard
        self._runner: socket.socket | None = runner
        self._guard_pid = guard_pid
        self._who = who
        self._address = (port, token)
        self._link: Link | None = None
        self._reached_s = time.monotonic()
        self._heard_s = math.inf  # until it has begun: it exposes nothing before
        self._looked_s = self._runner_gone_s = 0.0

    def run(self) -> None:
        """Watch. The beam is off, or was when the guard said goodbye, when this returns."""
        try:
            self._watch()
        finally:
            if self._link is not None:
                self._link.close()

    def _watch(self) -> None:
        while True:
            waiting = [self._guard] if self._runner is None else [self._guard, self._runner]
            ready = select.select(waiting, [], [], _TICK_S)[0]
            now_s = time.monotonic()
            if self._guard in ready:
                told = self._hear()
                if told.endswith(b"q"):
                    return
                if not told:
                    return self._blank("the guard is gone")
                self._heard_s = now_s
            if self._runner in ready:  # it only breaks
                self._runner, self._runner_gone_s = None, now_s
                self._blank("the runner is gone")
            silent = now_s - self._heard_s > GUARD_SILENCE_S
            if silent or (self._runner is None and now_s - self._runner_gone_s > _PARTING_S):
                self._blank("the guard is silent")
                with suppress(ProcessLookupError):
                    os.kill(self._guard_pid, signal.SIGKILL)
                return None
            if now_s - self._looked_s > _LOOK_S:
                self._looked_s = now_s
                self._look(now_s)

    def _hear(self) -> bytes:
        try:
            return self._guard.recv(4096)
        except OSError:
            return b""

    def _look(self, now_s: float) -> None:
        """See that blanking would work, and tell the guard: one that does not hear so exposes nothing."""
        try:
            if "error" in (answer := self._ask({"op": "look"})):  # a server without its instrument
                raise InstrumentError(str(answer.get("message")))
            self._reached_s = now_s
            with suppress(OSError):
                self._guard.send(b"+")
        except InstrumentError as error:
            if now_s - self._reached_s > _LINK_LOST_S:
                _say(f"the instrument is not reached: {error}")
                with suppress(OSError):
                    self._guard.send(b"!")

    def _blank(self, why: str) -> None:
        """Until it is done and seen, or two minutes have passed; where it does not read, it is told for a while."""
        give_up_s, told = time.monotonic() + _KEEP_TRYING_S, ""
        taken_s = math.inf
        while time.monotonic() < min(give_up_s, taken_s + _UNKNOWN_S):
            try:
                answer = self._ask({"op": "fence", "reason": why, "who": self._who})
                if answer.get("blanked") is True:
                    return _say(f"blanked: {why}")
                if answer.get("taken_over") is True:
                    return _say(f"{why}: another survey has the instrument by now, and a watchdog of its own")
                known = "blanking has failed" if "error" in answer or answer.get("blanked") is False else _UNKNOWN
                taken_s = min(taken_s, time.monotonic()) if known is _UNKNOWN else math.inf
                trouble = f"{why}: {known}: {answer}"
            except InstrumentError as error:
                trouble = f"{why}: the instrument is not reached to blank: {error}"
            if trouble != told:
                _say(told := trouble)
            time.sleep(_TICK_S)
        return None

    def _ask(self, wish: Json) -> Json:
        self._link = self._link or Link(*self._address, role="watchdog")
        try:
            return self._link.ask(wish, _ANSWER_S)[0]
        except InstrumentError:
            self._link = None
            raise


def main() -> None:
    """Entry point: the order comes on stdin, connections are inherited."""
    order = json.loads(sys.stdin.buffer.read())
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # it ends when there is nothing left to watch
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    guard, runner = (socket.socket(fileno=order["sockets"][name]) for name in ("watch", "life"))
    with suppress(RuntimeError):
        _log()  # its thread, while threads are to be had
    about = (order["guard_pid"], order["server"]["port"], order["token"], order["who"])
    Watchdog(guard, runner, *about).run()
    with suppress(RuntimeError):
        _log().flush()


@cache
def _log() -> Log:
    return Log()


def _say(line: str) -> None:
    with suppress(RuntimeError):  # no thread to be had is no reason not to blank
        _log().say(f"watchdog: {line}")


if __name__ == "__main__":
    main()
