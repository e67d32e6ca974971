"""What might keep the driver server from seeing to the beam: logs, wild numbers, drivers' bugs, pilots who go."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from instruments import watchdog
from instruments.server.log import MOST, Log
from instruments.server.serving import DriverServer
from instruments.server.session import duration_s
from instruments.server.wire import receive, send
from instruments.server_link import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "0123456789abcdef" * 4
LONG = {"op": "acquire", "exposure": {"shape": [1000, 1000], "dwell_us": 10.0}}
"""10 s."""


class BareDriver:
    """Exposes until it is blanked, or 10 s; ``again``: puts the beam on again after that, as some vendors do."""

    def __init__(self, again: bool = False) -> None:
        self.beam_on = False
        self.again = again
        self.over = threading.Event()
        self.on_state: Callable[[], Any] = dict
        self.moved = 0
        self.gives: tuple[dict[str, Any], Any] = ({}, ())

    def state(self) -> Any:
        return self.on_state()

    def move(self, target: dict[str, float]) -> dict[str, float]:
        self.moved += 1
        return target

    def acquire(self, exposure: dict[str, Any]) -> Any:
        give_up_s = time.monotonic() + 10.0
        while not self.gives[0] and time.monotonic() < give_up_s:
            self.over.clear()
            self.beam_on = True
            self.over.wait(10.0)
            self.beam_on = False
            if not self.again:
                break
            time.sleep(0.1)
        return self.gives

    def blank(self) -> None:
        self.beam_on = False
        self.over.set()

    def blanked(self) -> bool:
        return not self.beam_on

    def close(self) -> None:
        self.again = False
        self.over.set()


@pytest.fixture
def serve() -> Iterator[Any]:
    """Serves a driver in a thread of the test, with a silence of 0.5 s; returns the server and its port."""
    running: list[tuple[BareDriver, DriverServer, threading.Thread]] = []

    def start(driver: BareDriver, say: Any = lambda line: None) -> tuple[DriverServer, int]:
        server = DriverServer(driver, TOKEN, "rig", 0.2, 0.5, say)
        port = server.listen()
        running.append((driver, server, threading.Thread(target=server.run, daemon=True)))
        running[-1][2].start()
        return server, port

    yield start
    for driver, server, thread in running:
        driver.close()
        server.stop("the test is over")
        thread.join(15.0)
        assert not thread.is_alive()


def lit(driver: BareDriver) -> None:
    give_up_s = time.monotonic() + 10.0
    while not driver.beam_on:
        assert time.monotonic() < give_up_s, "the beam never came on"
        time.sleep(0.005)


def goes_off(driver: BareDriver, within_s: float = 4.0) -> None:
    give_up_s = time.monotonic() + within_s
    while driver.beam_on:
        assert time.monotonic() < give_up_s, "the beam stays on"
        time.sleep(0.005)


def full(line: str) -> None:
    raise OSError("no space left on device")


def test_a_log_that_cannot_be_written_does_not_keep_the_beam_on(serve: Any) -> None:
    """A second silence is noticed, too: the watch goes on."""
    driver = BareDriver()
    _, port = serve(driver, full)
    for _ in range(2):
        pilot = Link(port, TOKEN, "pilot", "somebody")
        send(pilot._socket, LONG)
        lit(driver)
        goes_off(driver)
        pilot.close()


def test_what_a_process_has_to_say_may_have_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, text: str) -> int:
            raise OSError("no space left on device")

        def flush(self) -> None:
            raise ValueError("closed")

    monkeypatch.setattr("sys.stderr", Full())
    watchdog._say("blanked")
    log = Log()
    log.say("blanked")
    log.flush()


def test_a_console_that_takes_no_text_does_not_hold_the_watch(serve: Any) -> None:
    """As one does in which somebody marks text: the silence is noticed all the same, and what was said comes later."""

    class Held:
        def __init__(self) -> None:
            self.go_on = threading.Event()
            self.lines: list[str] = []

        def write(self, text: str) -> int:
            self.go_on.wait()
            self.lines.append(text)
            return len(text)

        def flush(self) -> None:
            pass

    console, driver = Held(), BareDriver()
    log = Log(console)
    log.say("before")
    _, port = serve(driver, log.say)
    pilot = Link(port, TOKEN, "pilot", "somebody")
    send(pilot._socket, LONG)
    lit(driver)
    goes_off(driver)
    pilot.close()
    for number in range(2 * MOST):
        log.say(f"line {number}")
    assert console.lines == []
    console.go_on.set()
    give_up_s = time.monotonic() + 10.0
    while not (log.say("after"), "dropped" in "".join(console.lines))[1]:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    log.flush()
    text = "".join(console.lines)
    assert "before" in text
    assert "line 0" in text
    assert "no heartbeat" in text


def test_a_watch_that_fails_blanks_and_goes_on(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = BareDriver(again=True)
    server, port = serve(driver)
    ticks: list[int] = []

    def broken() -> None:
        ticks.append(1)
        raise ZeroDivisionError("a bug")

    pilot = Link(port, TOKEN, "pilot", "somebody")
    send(pilot._socket, LONG)
    lit(driver)
    monkeypatch.setattr(server, "_see_to_it", broken)
    goes_off(driver)
    seen = len(ticks)
    time.sleep(0.5)
    assert len(ticks) > seen
    pilot.close()


@pytest.mark.parametrize("dwell_us", [10**400, 1e308, float("nan"), "12", None])
def test_a_wild_dwell_time_is_an_exposure_that_ends(serve: Any, dwell_us: Any) -> None:
    driver = BareDriver()
    _, port = serve(driver)
    assert isinstance(duration_s({"shape": [4, 4], "dwell_us": dwell_us}), float)
    pilot = Link(port, TOKEN, "pilot", "somebody")
    send(pilot._socket, {"op": "acquire", "exposure": {"shape": [4, 4], "dwell_us": dwell_us}})
    lit(driver)
    goes_off(driver)
    pilot.close()


@pytest.mark.parametrize("reply", [{"time_s": np.float32(1.0)}, {"time_s": {1, 2}}])
def test_an_answer_that_is_no_message_does_not_end_the_server(serve: Any, reply: Any) -> None:
    driver = BareDriver()
    _, port = serve(driver)
    driver.on_state = lambda: reply
    pilot = Link(port, TOKEN, "pilot", "somebody")
    assert "cannot be sent" in pilot.ask({"op": "state"}, 5.0)[0]["message"]
    driver.on_state = dict
    assert pilot.ask({"op": "state"}, 5.0)[0] == {"state": {}}
    pilot.close()


def test_arrays_that_cannot_be_sent_and_arrays_in_another_order_of_bytes(serve: Any) -> None:
    driver = BareDriver()
    _, port = serve(driver)
    pilot = Link(port, TOKEN, "pilot", "somebody")
    wish = {"op": "acquire", "exposure": {"shape": [1, 1], "dwell_us": 1e6}}
    driver.gives = {"a": 1}, (np.zeros(3), np.array([object()]))
    assert "cannot be sent" in pilot.ask(wish, 5.0)[0]["message"]
    image = np.arange(6, dtype=">f8").reshape(2, 3)
    driver.gives = {"a": 1}, (image, image + 1j, np.zeros((0, 4)))
    head, arrays = pilot.ask(wish, 5.0)
    assert head == {"frame": {"a": 1}}
    assert [array.tolist() for array in arrays] == [image.tolist(), (image + 1j).tolist(), []]
    pilot.close()


def test_what_waits_is_not_done_for_a_pilot_who_has_gone(serve: Any) -> None:
    driver = BareDriver()
    server, port = serve(driver)
    slow, begun = threading.Event(), threading.Event()
    driver.on_state = lambda: (begun.set(), slow.wait(10.0), {})[-1]
    other, pilot = Link(port, TOKEN, "looker", "another"), Link(port, TOKEN, "pilot", "somebody")
    send(other._socket, {"op": "state"})
    assert begun.wait(10.0)
    session = server._pilot
    send(pilot._socket, {"op": "move", "target": {"x_nm": 1.0}})
    while session is None or session.job is None:
        time.sleep(0.005)
    pilot.close()
    while not session.gone:
        time.sleep(0.005)
    slow.set()
    assert receive(other._socket)[0] == {"state": {}}
    assert other.ask({"op": "state"}, 5.0)[0] == {"state": {}}  # whatever waited before it is over
    assert driver.moved == 0
    other.close()


def test_an_exposure_whose_pilot_was_replaced_is_still_held_off(serve: Any) -> None:
    """Of a driver that puts the beam on again: the newest pilot's requests are not all there is to watch."""
    driver = BareDriver(again=True)
    server, port = serve(driver)
    pilot = Link(port, TOKEN, "pilot", "somebody")
    send(pilot._socket, LONG)
    lit(driver)
    session = server._pilot
    pilot.close()
    while session is None or not session.gone:
        time.sleep(0.005)
    new = Link(port, TOKEN, "pilot", "somebody else")
    for _ in range(3):
        lit(driver)
        goes_off(driver, 1.5)
        send(new._socket, {"op": "beat"})
    new.close()


def test_a_blanker_that_cannot_be_asked_is_no_instrument_that_is_reached(serve: Any) -> None:
    """The watchdog must not take a server for the way to the beam that has itself no way to it."""
    driver = BareDriver()
    _, port = serve(driver)
    driver.blanked = lambda: 1 / 0  # type: ignore[method-assign]
    guard, near = socket.socketpair()
    runner, life = socket.socketpair()
    dog = watchdog.Watchdog(near, life, 0, port, TOKEN, "a guard")
    dog._look(dog._reached_s + 10.0)
    assert guard.recv(8) == b"!"
    del driver.blanked
    dog._look(dog._reached_s + 10.0)
    assert guard.recv(8) == b"+"
    assert dog._link is not None
    dog._link.close()
    for end in (guard, near, runner, life):
        end.close()
