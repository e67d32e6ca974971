"""Every path to a blanked beam on its own, and defects planted in each: a check that cannot fail shows nothing."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import e2e_link_scenarios as scenarios
import pytest
from e2e_links import Links

from instruments import guard_client, guard_desk, server_link, watchdog
from instruments.guard_client import GuardClient, LedgerView
from instruments.guard_powers import GuardedStop
from instruments.guard_process import GuardProcess
from instruments.latches import InstrumentLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.remote import RemoteMicroscope
from instruments.server import serving, wire
from instruments.server.serving import DriverServer
from instruments.server.session import Job, Session
from instruments.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WELCOME, _DOG, _RESERVE = DriverServer._welcome, Watchdog.__init__, SqliteLedger.reserve
_ASK = Watchdog._ask


PAIRS: list[socket.socket] = []
"""Made by defects, to be closed after them."""


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _fixed(value: object) -> property:
    """An attribute that does not take what is written to it."""
    return property(lambda self: value, lambda self, new: None)


def _goodbye_only(self: GuardProcess, worker: object) -> None:
    self._watch.send(b"q")


def _all_is_well(self: GuardProcess) -> None:
    with suppress(OSError):
        self._watch.send(b".")


def _deaf_to_the_watchdog(self: GuardProcess) -> None:
    self._watch.recv(64)
    self._unwatched, self._seen_s = False, float("inf")


def _deaf_to_the_runner(self: Watchdog, guard: Any, runner: Any, *rest: Any) -> None:
    _DOG(self, guard, runner, *rest)
    PAIRS.extend(pair := socket.socketpair())
    self._runner = pair[0]


def _meet_calmly(self: DriverServer, session: Session) -> None:
    with suppress(ConnectionError):
        if self._welcome(session, wire.receive(session.link)[0]):
            while True:
                head, _ = wire.receive(session.link)
                session.heard()
                self._hear(session, head)
    session.end()


def _anybody_flies(self: DriverServer, session: Session, hello: dict[str, Any]) -> bool:
    return _WELCOME(self, session, {**hello, "role": "pilot"})


def _fence_whoever(self: DriverServer, who: str, why: str) -> bool:
    if self._pilot is not None:
        self._pilot.fenced = self._fenced[self._pilot.who] = why
    return True


def _lenient(kind: Any, data: Any) -> Any:
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in (data or {}).items() if name in known})


def _blank_in_turn(self: RemoteMicroscope) -> None:
    self._ask({"op": "blank"}, 1.0)


def _stop_in_turn(self: RemoteMicroscope) -> None:
    while not self._calling.acquire(timeout=0.1):
        pass
    self._calling.release()


def _anonymous(self: SqliteLedger, exposure: Any, place: Any, electrons: float) -> Any:
    return _RESERVE(self, replace(exposure, id=None), place, electrons)


def _sure(self: Watchdog, wish: Any) -> Any:
    answer = _ASK(self, wish)
    return {**answer, "blanked": answer.get("blanked") is not False}


def _no_beats(link: Any, tick: object = None, every_s: float = 0.0) -> Any:
    return wire.receive(link)


def _stop_only(self: GuardedStop) -> None:
    self.motion.stop()


Defect = tuple[str, tuple[tuple[object, str, object], ...], "Callable[[Links], None]"]
DEFECTS: tuple[Defect, ...] = (
    ("a guard that ends without blanking", ((GuardProcess, "_part", _goodbye_only),), scenarios.runner_dies),
    ("a guard that takes garbage for a goodbye", ((GuardProcess, "_part", _goodbye_only),), scenarios.garbage),
    ("a guard that lets two requests race", ((GuardProcess, "_part", _goodbye_only),), scenarios.hasty_runner),
    ("a guard that does not mind a silent runner", ((GuardProcess, "_hold_off", _nothing),), scenarios.runner_hangs),
    ("a guard that beats whatever it does", ((GuardProcess, "_see_to_it", _all_is_well),), scenarios.guard_overworked),
    ("a guard that needs no watchdog", ((GuardProcess, "_look", _deaf_to_the_watchdog),), scenarios.watchdog_dies),
    ("a watchdog that does not bite", ((Watchdog, "_blank", _nothing),), scenarios.guard_dies),
    ("a watchdog that waits for ever", ((Watchdog, "_heard_s", _fixed(float("inf"))),), scenarios.guard_hangs),
    ("a watchdog that lets a hung guard live", ((watchdog, "os", SimpleNamespace(kill=_nothing)),),
     scenarios.guard_hangs),
    ("a server that forgets whom it has cut off", ((Session, "who", property(id, _nothing)),), scenarios.guard_hangs),
    ("a watchdog that is deaf to the runner", ((Watchdog, "__init__", _deaf_to_the_runner),),
     scenarios.runner_dies_alone),
    ("a watchdog that takes unknown for blanked", ((Watchdog, "_ask", _sure),), scenarios.blanker_unreadable),
    ("a watchdog that does not look", ((Watchdog, "_look", _nothing),), scenarios.watchdog_blind),
    ("a guard that forgets that it is unwatched", ((GuardProcess, "_unwatched", _fixed(False)),),
     scenarios.watchdog_blind),
    ("a server that does not see its pilot go", ((DriverServer, "_meet", _meet_calmly),), scenarios.pilot_dies),
    ("a server that waits for ever", ((Session, "falls_silent", lambda *_: False),), scenarios.pilot_silent),
    ("a server that believes in the driver's clock", ((Job, "overdue", lambda *_: False),), scenarios.exposure_overdue),
    ("a server that blanks once", ((Job, "cut", _fixed("")),), scenarios.unblanks_again),
    ("a server that forgets a blank", ((Job, "cut", _fixed("")),), scenarios.blanked_before_it_began),
    ("a server that carries out what waits of who was cut off", ((Session, "fenced", _fixed("")),),
     scenarios.fenced_in_the_queue),
    ("a watchdog that cuts off whoever flies", ((DriverServer, "_fence", _fence_whoever),), scenarios.late_watchdog),
    ("a server that lets in anybody", ((serving, "hmac", SimpleNamespace(compare_digest=lambda *_: True)),),
     scenarios.stranger),
    ("a server that talks to any version", ((serving, "PROTOCOL", wire.PROTOCOL + 1),), scenarios.stranger),
    ("a server with two pilots", ((Session, "alive", lambda *_: False),), scenarios.second_pilot),
    ("a server that lets a blanker fly", ((DriverServer, "_welcome", _anybody_flies),), scenarios.blanker_moves),
    ("a server that tries to blank once", ((DriverServer, "_owed", _fixed("")), (Job, "cut", _fixed(""))),
     scenarios.cannot_blank),
    ("a ledger without exposures' numbers", ((SqliteLedger, "reserve", _anonymous),), scenarios.reply_lost),
    ("a client that forgets what it has sent", ((LedgerView, "sent", _nothing),), scenarios.out_of_reach),
    ("a desk that takes what it knows and drops the rest", ((guard_desk, "request_of", _lenient),),
     scenarios.hostile_requests),
    ("a desk that does not hold", ((guard_desk, "hold", lambda *_: {}),), scenarios.told_to_hold),
    ("a client that forgets to hold", ((GuardClient, "_held", _fixed(None)),), scenarios.told_to_hold),
    ("a blank that waits for its turn", ((RemoteMicroscope, "blank", _blank_in_turn),), scenarios.told_to_hold),
    ("a desk that does not stop", ((guard_desk, "stop", lambda _: {}),), scenarios.stopped_on_the_way),
    ("a stop that waits for its turn", ((RemoteMicroscope, "stop", _stop_in_turn),), scenarios.stopped_on_the_way),
    ("a server that lets it move on", ((DriverServer, "_stop_motion", lambda _: {}),), scenarios.stopped_on_the_way),
    ("a guard that takes what was stopped for a pole touch", ((GuardedStop, "stop", _stop_only),),
     scenarios.stopped_on_the_way),
    ("a latch in the survey's folder", ((InstrumentLedger, "latch", lambda self, why: self._dose.latch(why)),),
     scenarios.latch_of_the_instrument),
    ("a survey that clears a latch", ((LedgerView, "clear_latch", _nothing),), scenarios.latch_of_the_instrument),
    ("a client that does not beat", ((guard_client, "receive", _no_beats),), scenarios.patient),
    ("a guard that does not beat", ((server_link, "receive", _no_beats),), scenarios.patient),
)  # fmt: skip


@pytest.mark.parametrize("scenario", scenarios.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_links_as_they_are_pass(
    scenario: Callable[[Links], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = Links(tmp_path, monkeypatch, **scenarios.DRIVERS.get(scenario, {}))
    try:
        scenario(links)
    finally:
        links.close()


PARAMETERS = [
    pytest.param(*defect, id=defect[0], marks=[] if defect[2] in scenarios.QUICK else [pytest.mark.slow])
    for defect in DEFECTS
]


@pytest.mark.parametrize(("name", "changes", "scenario"), PARAMETERS)
def test_a_planted_defect_is_caught(
    name: str,
    changes: tuple[tuple[object, str, object], ...],
    scenario: Callable[[Links], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for owner, attribute, changed in changes:
        monkeypatch.setattr(owner, attribute, changed, raising=False)
    links = Links(tmp_path, monkeypatch, **scenarios.DRIVERS.get(scenario, {}))
    try:
        with pytest.raises(AssertionError) as caught:
            scenario(links)
        assert str(caught.value), f"{name} is caught without saying why"
    finally:
        links.close()
        while PAIRS:
            PAIRS.pop().close()


def test_every_scenario_catches_something() -> None:
    assert {scenario for _, _, scenario in DEFECTS} == set(scenarios.SCENARIOS)
