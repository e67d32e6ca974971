"""A driver in a process of its own: for libraries under another licence, or that do not live beside others.

    this process: Apart ─► RemoteMicroscope ═ loopback, token ═► driver server ─► the driver's ``open_driver``

The server blanks and ends when this process does, however that comes about.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from configs.load import ConfigError
from instruments import codec
from instruments.clock import RealClock, SimulatedClock
from instruments.errors import Disconnected, InstrumentError
from instruments.remote import RemoteMicroscope, RemoteSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from configs.load import Settings
    from instruments.clock import Clock
    from instruments.types import Exposure, Frame, Optics, Outcome, StagePosition, State

P = TypeVar("P")

_START_S = 300.0
"""Some libraries compile themselves when they are loaded for the first time."""
_END_S = 10.0
_LONGEST_S = 600.0
"""Of a move or a read-out: simulators render while they are waited for, and compile the first time."""


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
        _end(self._process)

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
        Disconnected: it does not start, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="adaptem-driver-") as parent:
        about, token, said = (Path(parent) / name for name in ("settings.json", "token", "stderr"))
        secret = secrets.token_hex(32)
        token.touch(mode=0o600)
        token.write_text(secret, encoding="ascii")
        instrument = settings.model_dump(mode="json")
        about.write_text(json.dumps({"instrument": instrument, "seed": seed, "start_s": clock.now_s()}))
        files = ["--driver", module, "--settings", str(about), "--token-file", str(token)]
        files += ["--overhead-s", str(_LONGEST_S)]
        with said.open("wb") as stderr:
            process = subprocess.Popen(  # noqa: S603 our own module, in our own Python
                [sys.executable, "-m", "instruments.server", *files, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=Path(__file__).parents[2],
            )
        try:
            port = _port(process)
            if port is None:
                raise _why(said.read_text(encoding="utf-8", errors="replace"))
            remote = RemoteSettings(
                port=port, token_file=token, move_s=_LONGEST_S, answer_s=60.0, exposure_overhead_s=_LONGEST_S
            )
            return Apart(RemoteMicroscope(remote, secret, _real(clock)), process, clock)
        except BaseException:
            _end(process)
            raise


def _why(said: str) -> Exception:
    """The last line of what a process said that did not start: ours by its own name, anything else Disconnected."""
    last = "".join(said.strip().splitlines()[-1:]) or "it said nothing"
    kind, _, message = last.partition(": ")
    module, _, name = kind.rpartition(".")
    if name == ConfigError.__name__:
        return ConfigError(message)
    if module == InstrumentError.__module__:
        return codec.error_of({"error": name, "message": message})
    return Disconnected(f"the driver in its own process did not start: {last}")


def _real(clock: Clock) -> Clock | None:
    return None if isinstance(clock, SimulatedClock) else clock


def _port(process: subprocess.Popen[bytes]) -> int | None:
    """What the server says when it can be connected to; None where it ends, or takes too long."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(b"")

    Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=_START_S)
        except Empty:
            return None
        if not line:
            return None
        with suppress(ValueError, TypeError, KeyError):  # libraries say things, too
            told: Any = json.loads(line)
            return int(told["port"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its stdin closes, at which it blanks and ends; one that does not is killed."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:  # not before: closing waits for the thread that reads it
        process.stdout.close()
