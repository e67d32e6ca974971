"""Starts a driver server in a process of its own: for the guard's crew, and for drivers that live apart.

    here: launch ── settings, token (files) ──► python -m instruments.server ── {"port": …} ──► here

The server blanks and ends when this process does, however that comes about.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from configs.load import ConfigError, Settings
from instruments import codec
from instruments.errors import Disconnected, InstrumentError
from instruments.remote import RemoteSettings

if TYPE_CHECKING:
    from instruments.codec import Json

_ROOT = Path(__file__).resolve().parents[1]
_OVERHEAD_S, _STARTUP_S = 1.0, 60.0
_READ_OUT_S = 30.0
"""What a frame may take after the server would have blanked, before it is given up at this end."""
_MOVE_S, _SPARE_S = 180.0, 60.0
_PARTING_S = 3.0
_ANSWER_S = (5.0, 60.0)


def instrument_name(instrument: Settings) -> str:
    """What its latches are kept under: the name that its settings give it, else its kind.

    What mishaps befall is latched as what it is: a block round it in a config opens no latch.
    """
    if isinstance(inner := getattr(instrument, "instrument", None), Settings):
        return instrument_name(inner)
    return str(getattr(instrument, "name", None) or getattr(instrument, "kind", "instrument"))


def overhead_s(instrument: Settings) -> float:
    """What an exposure may take beyond its own time before the driver server blanks, as its settings declare.

    ``exposure_overhead_s``: setting up and reading out, or rendering. 1 s for a driver that declares none.
    """
    return float(getattr(instrument, "exposure_overhead_s", _OVERHEAD_S))


def longest_s(instrument: Settings) -> float:
    """That a move may take, or a specimen on its way, as its settings declare."""
    return max(float(getattr(instrument, name, 0.0)) for name in ("move_s", "transfer_s"))


def startup_s(instrument: Settings) -> float:
    """How long it may take to be opened, as its settings declare (``startup_s``); a minute where they do not."""
    return float(getattr(instrument, "startup_s", _STARTUP_S))


@dataclass(frozen=True, slots=True)
class Launched:
    """A driver server that runs and can be connected to."""

    process: subprocess.Popen[bytes]
    remote: RemoteSettings
    """Its port, and how long this instrument's answers may take. The token file is gone by now."""
    token: str


def launch(module: str, instrument: Settings, about: Json, said: Path | None) -> Launched:
    """Start it, and wait until it has the instrument.

    Args:
        module: that has ``open_driver``.
        instrument: the instrument's settings, which ``open_driver`` gets as ``about["instrument"]``.
        about: what else it gets: start_s, and seed and truth of a simulated world.
        said: file that its remarks are added to; None = to this process's stderr.

    Raises:
        ConfigError, InstrumentError: as the driver raised it; Disconnected where it says nothing that is known.
    """
    token = secrets.token_hex(32)
    with tempfile.TemporaryDirectory(prefix="adaptem-driver-") as parent:
        settings, token_file = Path(parent) / "settings.json", Path(parent) / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token, encoding="ascii")
        settings.write_text(json.dumps({"instrument": instrument.model_dump(mode="json"), **about}), encoding="utf-8")
        words = ["--driver", module, "--settings", str(settings), "--token-file", str(token_file)]
        words += ["--name", instrument_name(instrument), "--overhead-s", str(overhead_s(instrument))]
        log = None if said is None else said.open("ab")
        try:
            before = 0 if log is None else log.tell()
            process = spawn("instruments.server", [*words, "--until-stdin-closes"], log, stdout=subprocess.PIPE)
        finally:
            if log is not None:
                log.close()
        try:
            port = _port(process, startup_s(instrument))
            if port is None:
                raise _why(instrument, said, before)
        except BaseException:
            part(process, _PARTING_S)
            raise
        return Launched(process, _remote(instrument, port, token_file), token)


def spawn(module: str, words: list[str], log: Any, **options: Any) -> subprocess.Popen[bytes]:
    """A module of ours in this Python, in a group of its own, so that a terminal's Ctrl-C reaches the runner alone."""
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(  # noqa: S603 - this Python, our module
        [sys.executable, "-m", module, *words],
        stdin=subprocess.PIPE,
        stderr=log,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        **options,
    )


def part(process: subprocess.Popen[bytes], limit_s: float = 10.0) -> None:
    """Its stdin closes, at which it blanks and ends; one that does not in time is killed. Safe twice."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:  # not before: closing waits for the thread that reads it
        process.stdout.close()


def _remote(instrument: Settings, port: int, token_file: Path) -> RemoteSettings:
    """How long this end waits: longer than the driver itself does, whatever it is asked."""
    extra_s = overhead_s(instrument)
    return RemoteSettings(
        port=port,
        token_file=token_file,
        name=instrument_name(instrument),
        answer_s=min(max(extra_s, _ANSWER_S[0]), _ANSWER_S[1]),
        move_s=max(_MOVE_S, extra_s, longest_s(instrument) + _SPARE_S),
        exposure_overhead_s=extra_s + _READ_OUT_S,
    )


def _port(process: subprocess.Popen[bytes], limit_s: float) -> int | None:
    """What the server says when it can be connected to; None where it ends, or takes too long."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:  # until its end: a process whose remarks nobody takes would wait for ever
        for line in process.stdout or ():
            lines.put(line)
        lines.put(b"")

    Thread(target=read, daemon=True).start()
    give_up_s = time.monotonic() + limit_s
    while True:
        try:
            line = lines.get(timeout=max(give_up_s - time.monotonic(), 0.0))
        except Empty:
            return None
        if not line:
            return None
        with suppress(ValueError, TypeError, KeyError):  # libraries say things, too
            told: Any = json.loads(line)
            return int(told["port"])


def _why(instrument: Settings, said: Path | None, before: int) -> Exception:
    """The last line of what it said that did not start: ours by its own name, anything else Disconnected."""
    text = "" if said is None else said.read_bytes()[before:].decode("utf-8", "replace")
    last = "".join(text.strip().splitlines()[-1:])
    kind, _, message = last.partition(": ")
    module, _, name = kind.rpartition(".")
    if name == ConfigError.__name__:
        return ConfigError(message)
    if module == InstrumentError.__module__:
        return codec.error_of({"error": name, "message": message})
    what = f"the driver server of {instrument_name(instrument)} did not start in {startup_s(instrument):g} s"
    return Disconnected(f"{what}: {last or 'it said nothing here'}")
