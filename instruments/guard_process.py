"""The guard in a process of its own: ``python -m instruments.guard_process``, started by ``instruments.crew``.

    runner ── requests, beats ──► this thread ──► guard's thread: Guard ──► driver server
           ── hold ─────────────► this thread ──────────────── blank ─────► driver server
           ── stop ─────────────► this thread ──► a thread ──► stop ──────► driver server
    watchdog ◄── "." while all is well, "q" at the end ── this thread
    watchdog ─── "+" at every look that sees the instrument, "!" where it is out of its reach ──► this thread

This thread never waits for the instrument. It blanks where the runner is gone, or silent while it should wait for an
answer; it stops telling the watchdog that all is well where the guard's thread takes longer than it may.
"""

from __future__ import annotations

import json
import queue
import select
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from instruments import codec, guard_desk
from instruments.clock import Clock, RealClock
from instruments.errors import InstrumentError
from instruments.guard import Guard
from instruments.latches import InstrumentLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.limits import SIMULATED, Limits, Rig
from instruments.powers import CanStop
from instruments.remote import RemoteClock, RemoteMicroscope, RemoteSettings
from instruments.server.session import duration_s
from instruments.server.wire import BEAT_S, BadMessage, Closed, prepare, receive, send

if TYPE_CHECKING:
    from instruments.codec import Json

RUNNER_SILENCE_S = 1.0
"""A runner that waits for an answer and does not beat for so long is taken for hung."""
WATCHDOG_SILENCE_S = 3.0
"""A watchdog that has not said for so long that it sees the instrument is taken for hung."""
_TICK_S = 0.05
_SPARE_S = 60.0
"""Beyond an exposure's own time and the longest that the instrument may take, what any request may take."""
_PART_S = 5.0
_WATCHED_S = 45.0
"""For the watchdog to start and to see the instrument."""
_UNSEEN = f"the watchdog has not seen the instrument for {WATCHDOG_SILENCE_S:g} s"


class GuardProcess:
    """Serves one runner until it closes, is gone, or the watchdog is."""

    def __init__(
        self,
        guard: Guard,
        clock: Clock,
        calls: socket.socket,
        urgent: socket.socket,
        watch: socket.socket,
        halt: socket.socket,
        longest_s: float = 180.0,
    ) -> None:
        """``longest_s``: that the instrument may take for anything, beside the time of an exposure itself."""
        self._guard = guard
        self._clock = clock
        self._calls = calls
        self._urgent = urgent
        self._watch = watch
        self._halt = halt
        self._longest_s = longest_s + _SPARE_S
        self._wishes: queue.Queue[Json | None] = queue.Queue()
        self._busy_until_s: float | None = None
        self._heard_s = self._beat_s = 0.0
        self._off = ""
        """Why the beam is held off for as long as a request is under way."""
        self._unwatched = True
        """Whether the watchdog does not reach the instrument: nothing is exposed until it says that it does."""
        self._seen_s = 0.0
        self._told_off = False
        """Whether somebody has held the beam off for good: that outlives every silence."""
        self._over = ""

    def end(self, why: str) -> None:
        """Blank and end. Safe in a signal handler."""
        self._over = self._over or why

    def wait_until_watched(self, limit_s: float) -> None:
        """Until the watchdog has seen the instrument, but no longer than that: nothing is exposed before it has."""
        give_up_s = time.monotonic() + limit_s
        while self._unwatched and not self._over and time.monotonic() < give_up_s:
            if select.select([self._watch], [], [], _TICK_S)[0]:
                self._look()

    def run(self) -> None:
        """Serve. The beam is blanked when this returns."""
        if self._unwatched:
            self._hold_off(_UNSEEN)
        worker = threading.Thread(target=self._work, daemon=True)
        worker.start()
        ears = selectors.DefaultSelector()
        for link, hear in (
            (self._calls, self._hear),
            (self._urgent, self._hear_urgent),
            (self._watch, self._look),
            (self._halt, self._hear_halt),
        ):
            ears.register(link, selectors.EVENT_READ, hear)
        while not self._over:
            for key, _ in ears.select(_TICK_S):
                key.data()
            self._see_to_it()
        ears.close()
        self._part(worker)

    def _hear(self) -> None:
        """One message of the runner."""
        try:
            wish = receive(self._calls)[0]
        except (Closed, BadMessage) as error:
            return self.end(f"the runner is gone: {error}")
        self._heard_s = time.monotonic()
        if not isinstance(wish, dict):
            return self.end("the runner sends what is no request")
        if wish.get("op") == "beat":
            return None
        if self._busy_until_s is not None:
            return self.end("the runner asks before it has its answer")
        if self._off and not self._unwatched:
            self._off = ""
            if not self._told_off:
                self._guard.release()
        self._busy_until_s = self._heard_s + duration_s(wish.get("exposure")) + self._longest_s
        self._wishes.put(wish)
        return None

    def _hear_urgent(self) -> None:
        try:
            wish = receive(self._urgent)[0]
            reason = str(wish.get("reason") or "")
            self._told_off = self._told_off or bool(reason)
            self._off = self._off or reason  # for what was sent a moment before, too
            send(self._urgent, guard_desk.hold(self._guard, wish))
        except (Closed, BadMessage) as error:
            self.end(f"the runner is gone: {error}")

    def _hear_halt(self) -> None:
        """Somebody stops the motion: asked for in a thread of its own, as the instrument is waited for."""
        try:
            receive(self._halt)
        except (Closed, BadMessage) as error:
            return self.end(f"the runner is gone: {error}")
        return threading.Thread(target=self._stop_motion, daemon=True).start()

    def _stop_motion(self) -> None:
        with suppress(Closed):  # heard of by the other thread too
            send(self._halt, guard_desk.stop(self._guard))

    def _look(self) -> None:
        """The watchdog says that it cannot reach the instrument, or can again; or is gone."""
        try:
            told = self._watch.recv(64)
        except OSError:  # killed with a beat of ours unread: reset, not ended
            told = b""
        if not told:
            return self.end("the watchdog is gone")
        self._unwatched = not told.endswith(b"+")
        if self._unwatched:
            return self._hold_off("the watchdog cannot reach the instrument")
        self._seen_s = time.monotonic()
        return None

    def _work(self) -> None:
        """The guard's thread: one request after the other."""
        while (wish := self._wishes.get()) is not None:
            head, arrays = guard_desk.answer(self._guard, self._clock, wish)
            self._busy_until_s = None
            with suppress(Closed):  # heard of by the other thread too
                send(self._calls, head, arrays)
            if wish.get("op") == "close":
                self.end("the runner has closed the instrument")

    def _see_to_it(self) -> None:
        now_s, busy_until_s = time.monotonic(), self._busy_until_s
        if not self._unwatched and now_s - self._seen_s > WATCHDOG_SILENCE_S:
            self._unwatched = True
            self._hold_off(_UNSEEN)
        if busy_until_s is not None:
            if now_s - self._heard_s > RUNNER_SILENCE_S:
                self._hold_off("the runner is silent")
            elif self._off:  # what was sent to the instrument a moment before must not come on a moment later
                self._hold_off(self._off)
        if now_s - self._beat_s >= BEAT_S and not (busy_until_s is not None and now_s > busy_until_s):
            self._beat_s = now_s
            with suppress(OSError):  # heard of as the watchdog's end
                self._watch.send(b".")

    def _hold_off(self, why: str) -> None:
        self._off = why
        with suppress(InstrumentError):  # latched
            self._guard.hold(why)

    def _part(self, worker: threading.Thread) -> None:
        """Blank until nothing is under way any more, then let go of the instrument."""
        give_up_s = time.monotonic() + _PART_S
        self._hold_off(self._over)
        while self._busy_until_s is not None and time.monotonic() < give_up_s:
            self._see_to_it()
            self._hold_off(self._over)
            time.sleep(_TICK_S)
        self._wishes.put(None)
        worker.join(max(give_up_s - time.monotonic(), 0.0))
        with suppress(InstrumentError):
            self._guard.close()
        with suppress(OSError):
            self._watch.send(b"q")


def open_guard(order: Json) -> tuple[Guard, Clock]:
    """The guard that an order describes (``crew.order``). Raises InstrumentError."""
    settings = RemoteSettings.model_validate(order["server"])
    ledger = InstrumentLedger(SqliteLedger(Path(order["ledger"])), SqliteLedger(Path(order["latches"])))
    limits, origin = Limits.model_validate(order["limits"]), order["clock"]
    real = None if origin is None else RealClock(origin["start_s"] + time.monotonic() - origin["monotonic_s"])
    scope = RemoteMicroscope(settings, order["token"], real, who=order["who"])
    clock = real or RemoteClock(scope)
    rig = Rig(hardware=True, overhead_s=lambda: scope.overhead_s) if order["hardware"] else SIMULATED
    return Guard(scope, limits, ledger, clock, rig), clock


def main() -> None:
    """Entry point: the order comes on stdin, connections are inherited."""
    order = json.loads(sys.stdin.buffer.read())
    calls, urgent, watch, halt = (
        socket.socket(fileno=order["sockets"][name]) for name in ("calls", "urgent", "watch", "halt")
    )
    for link in (calls, urgent, halt):
        prepare(link)
    watch.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer
    try:
        guard, clock = open_guard(order)
    except InstrumentError as error:
        return send(calls, codec.error(error))
    settings = RemoteSettings.model_validate(order["server"])
    longest_s = max(settings.move_s, settings.exposure_overhead_s)
    process = GuardProcess(guard, clock, calls, urgent, watch, halt, longest_s)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.end("the guard's process was told to end"))
    process.wait_until_watched(_WATCHED_S)
    send(calls, {"now_s": clock.now_s(), "can_stop": guard.power(CanStop) is not None})
    return process.run()


if __name__ == "__main__":
    main()
