"""The driver server and both ends of its connections, where something is missing, busy or broken."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from instruments_fake import EXPOSURE, FakeMicroscope, nothing, raising
from pydantic import Field

from configs.load import Settings
from instruments import crew
from instruments.clock import RealClock
from instruments.crew import Crew, Plan
from instruments.errors import BusyError, Disconnected, InstrumentError, NotSupported, Timeout
from instruments.hosted import Hosted, HostedWorld
from instruments.launch import launch, part
from instruments.limits import Limits
from instruments.powers import CanStop
from instruments.remote import RemoteClock, RemoteMicroscope, RemoteSettings
from instruments.server import __main__ as command
from instruments.server.serving import DriverServer
from instruments.server.wire import receive, send
from instruments.server_link import Link
from instruments.types import StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "0123456789abcdef" * 4
LIMITS = Limits(
    x_nm=(-1e3, 1e3), y_nm=(-1e3, 1e3), backlash_nm=1.0, stage_uncertainty_nm=1.0, max_current_pA=60.0,
    max_electrons=1e9, max_fluence_e_per_A2=1e3, max_time_s=100.0,
)  # fmt: skip


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Hosted], RemoteSettings]]:
    """Serves a driver in a thread of the test; returns how to reach it."""
    running: list[tuple[DriverServer, threading.Thread]] = []

    def start(driver: Hosted) -> RemoteSettings:
        server = DriverServer(driver, TOKEN, "rig", say=lambda line: None)
        port = server.listen()
        running.append((server, threading.Thread(target=server.run, daemon=True)))
        running[-1][1].start()
        return RemoteSettings(port=port, token_file=tmp_path / "token", name="rig")

    yield start
    for server, thread in running:
        server.stop("the test is over")
        thread.join(10.0)


def test_what_cannot_be_stopped_says_so(scope: FakeMicroscope, serve: Any) -> None:
    driver = Hosted(scope)
    driver.stop()  # nobody asks it to, where there is nothing
    remote = RemoteMicroscope(serve(driver), TOKEN, RealClock())
    assert remote.power(CanStop) is None
    with pytest.raises(NotSupported, match="wait for the move"):
        remote.stop()
    remote.close()


def test_a_stop_that_fails_is_told(scope: FakeMicroscope, serve: Any) -> None:
    scope.powers[CanStop] = SimpleNamespace(stop=raising(OSError("the amplifier is off")))
    remote = RemoteMicroscope(serve(Hosted(scope)), TOKEN, RealClock())
    stop = remote.power(CanStop)
    assert stop is not None
    with pytest.raises(InstrumentError, match="amplifier"):
        stop.stop()
    scope.powers[CanStop].stop = nothing
    stop.stop()
    remote.close()


def test_a_drivers_bug_does_not_end_the_server(scope: FakeMicroscope, serve: Any) -> None:
    remote = RemoteMicroscope(serve(Hosted(scope)), TOKEN, RealClock())
    scope.on_move = raising(ZeroDivisionError("a bug"))
    with pytest.raises(InstrumentError, match="ZeroDivisionError: a bug"):
        remote.move(StagePosition(x_nm=1.0))
    scope.on_blank = raising(OSError("the blanker is off"))
    with pytest.raises(InstrumentError, match="the blanker is off"):
        remote.blank()
    scope.on_blank = nothing
    remote.blank()
    remote.close()
    with pytest.raises(Disconnected, match="closed"):
        remote.state()


def test_a_blanker_that_does_not_read(scope: FakeMicroscope, serve: Any) -> None:
    dog = Link(serve(Hosted(scope)).port, TOKEN, "watchdog")
    assert dog.ask({"op": "look"}, 2.0)[0] == {"blanked": True}
    scope.on_state = raising(Disconnected("gone"))
    assert "gone" in dog.ask({"op": "look"}, 2.0)[0]["message"]
    assert dog.ask({"op": "blank"}, 2.0)[0] == {"blanked": None}  # done, and not seen
    dog.close()


def test_another_instrument_than_the_config_names_is_refused(scope: FakeMicroscope, serve: Any) -> None:
    """A tunnel that leads to the wrong one: before its beam is blanked, and while its own pilot is at work."""
    settings = serve(Hosted(scope))
    remote = RemoteMicroscope(settings, TOKEN, RealClock())
    scope.calls.clear()
    wrong = settings.model_copy(update={"name": "themis"})
    with pytest.raises(NotSupported, match="'themis' was asked for, and this is 'rig': see where the tunnel leads"):
        RemoteMicroscope(wrong, TOKEN, RealClock())
    assert scope.calls == []
    assert remote.state().blanked is True
    remote.close()


def test_one_request_at_a_time(scope: FakeMicroscope, serve: Any) -> None:
    """On a bare connection, and between two threads."""
    over, begun = threading.Event(), threading.Event()
    scope.on_move = lambda: (begun.set(), over.wait(10.0)) and None
    settings = serve(Hosted(scope))
    pilot = Link(settings.port, TOKEN, "pilot")
    for _ in range(2):
        send(pilot._socket, {"op": "move", "target": {"x_nm": 5.0}})
    assert receive(pilot._socket)[0]["error"] == "BusyError"
    over.set()
    assert receive(pilot._socket)[0]["achieved"]["x_nm"] == 5.0
    pilot.ask({"op": "close"}, 2.0)
    pilot.close()

    over.clear()
    begun.clear()
    remote = RemoteMicroscope(settings, TOKEN, RealClock())
    mover = threading.Thread(target=lambda: remote.move(StagePosition(x_nm=9.0)))
    mover.start()
    assert begun.wait(10.0)
    with pytest.raises(BusyError, match="another thread"):
        remote.acquire(EXPOSURE)
    over.set()
    mover.join(10.0)
    remote.close()


def test_a_pilot_who_thinks_keeps_the_seat_and_one_that_stands_still_does_not(
    scope: FakeMicroscope, serve: Any
) -> None:
    settings = serve(Hosted(scope))
    thinking = RemoteMicroscope(settings, TOKEN, RealClock())
    time.sleep(2.6)  # more than the silence after which a pilot counts as hung
    with pytest.raises(BusyError, match="has a pilot already"):
        RemoteMicroscope(settings, TOKEN, RealClock())
    assert thinking.state().blanked
    thinking.close()
    still = Link(settings.port, TOKEN, "pilot", "somebody")  # a process that was stopped beats no more
    time.sleep(2.6)
    other = RemoteMicroscope(settings, TOKEN, RealClock())
    other.close()
    still.close()


def test_the_clock_of_a_world_behind_a_server(scope: FakeMicroscope, serve: Any) -> None:
    remote = RemoteMicroscope(serve(HostedWorld(scope, scope.clock)), TOKEN)
    clock = RemoteClock(remote)
    clock.wait(3.0)
    assert clock.now_s() == scope.clock.now_s() == 3.0
    for duration_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="cannot wait"):
            clock.wait(duration_s)
    remote.close()


def test_the_commands_token_and_driver(tmp_path: Path) -> None:
    token = command.token_of(tmp_path / "token")
    assert len(token) == 64
    assert command.token_of(tmp_path / "token") == token
    (tmp_path / "short").write_text("1234")
    with pytest.raises(SystemExit, match="32 characters"):
        command.token_of(tmp_path / "short")
    (tmp_path / "driver.py").write_text("def open_driver(settings): return settings['a']")
    assert command._module(str(tmp_path / "driver.py")).open_driver({"a": 7}) == 7
    assert command._module("instruments.hosted").open_driver.__module__ == "instruments.hosted"


class SlowSettings(Settings):
    """An instrument that is given little time."""

    kind: str = "slow"
    startup_s: Annotated[float, Field(gt=0)] = 0.2


def test_a_driver_that_does_not_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One that is nowhere, one that takes longer than it said, and one that talks before it is there."""
    with pytest.raises(Disconnected, match="slow did not start"):
        launch("no.such.module", SlowSettings(startup_s=60.0), {}, None)
    assert "No module named" in capfd.readouterr().err
    (tmp_path / "slow.py").write_text("import time; time.sleep(600)")
    start_s = time.monotonic()
    with pytest.raises(Disconnected, match=r"in 0\.2 s: it said nothing"):
        launch(str(tmp_path / "slow.py"), SlowSettings(), {}, tmp_path / "log")
    assert time.monotonic() - start_s < 60.0
    chatty = "print('hello'); print('{}')\nfrom instruments.hosted import open_driver as real\n"
    chatty += "def open_driver(settings): return real({**settings, 'instrument': {'kind': 'simulated'}})"
    (tmp_path / "chatty.py").write_text(chatty)
    made = launch(str(tmp_path / "chatty.py"), SlowSettings(startup_s=60.0), {}, tmp_path / "log")
    try:
        assert made.remote.exposure_overhead_s == 31.0
        remote = RemoteMicroscope(made.remote, made.token)
        assert remote.state().blanked is True
        remote.close()
    finally:
        part(made.process)


def test_a_guard_that_does_not_start_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes too long, and one that ends at once; without a log, what it says stands on the screen."""
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))
    (tmp_path / "token").write_text("0" * 64)
    remote = RemoteSettings(port=1, token_file=tmp_path / "token", name="titan")
    plan = Plan(instrument=remote, limits=LIMITS, ledger=tmp_path / "dose.sqlite")
    with monkeypatch.context() as patch:
        patch.setattr(crew, "_START_S", 0.0)
        patch.setattr(crew, "receive", lambda link, tick: tick())
        with pytest.raises(Timeout, match="written above"):
            Crew(plan, 0.0)
    monkeypatch.setenv("PYTHONHASHSEED", "no number")  # at which Python itself ends
    with pytest.raises(Disconnected, match="ended at its start"):
        Crew(plan, 0.0)
