"""Directed checks of the driver server on bare connections: AssertionError where a promise is broken."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from e2e_links import LONG, SHORT, SILENCE_S, TOKEN, refused, wait_for, wish

from instruments import hosted, server_link, watchdog
from instruments.errors import BusyError, Disconnected, NotSupported
from instruments.server import wire
from instruments.server.driver import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e_links import Links


def pilot_dies(links: Links) -> None:
    """The driver server alone sees its pilot go."""
    pilot = links.pilot()
    wire.send(pilot._socket, wish(LONG))
    links.wait_for_beam(pilot._socket)
    pilot._socket.shutdown(2)
    links.goes_off()


def pilot_silent(links: Links) -> None:
    """The driver server hears nothing, and nobody has closed anything."""
    pilot = links.pilot()
    wire.send(pilot._socket, wish(LONG))
    links.wait_for_beam(pilot._socket)
    links.goes_off()
    assert "error" in pilot.ask({"op": "state"}, 1.0)[0], "half an exposure was handed out"
    assert "cut off" in wire.receive(pilot._socket)[0].get("message", ""), "it goes on without connecting anew"


def exposure_overdue(links: Links) -> None:
    """A driver that exposes longer than it was asked to."""
    pilot = links.pilot()
    doing = links.doing(lambda: pilot.ask(wish(SHORT), 20.0))
    links.wait_for_beam()
    links.goes_off()
    doing.join()


def unblanks_again(links: Links) -> None:
    """A driver that goes on with its next frame although it was blanked."""
    pilot, other = links.pilot(), links.pilot("blanker")
    answers: list[dict[str, Any]] = []
    doing = links.doing(lambda: answers.append(pilot.ask(wish(LONG), 20.0)[0]))
    links.wait_for_beam()
    other.ask({"op": "blank", "reason": "a person"}, 1.0)
    on_s, deadline_s = 0.0, time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        time.sleep(0.01)
        on_s += 0.01 * links.world.beam_on
    assert on_s < 0.5, f"after it was blanked the beam was on for {on_s:.2f} s of one"
    doing.join()
    assert "error" in answers[0], "an exposure that was cut short was handed out as a whole one"


def blanked_before_it_began(links: Links) -> None:
    """A blank while the exposure waits for its turn."""
    pilot, other = links.pilot(), links.pilot("blanker")
    count = links.world.unblankings
    session = links.server._pilot
    carry_out = links.server._carry_out
    links.patch.setattr(links.server, "_carry_out", lambda job: (time.sleep(0.3), carry_out(job)))
    doing = links.doing(lambda: pilot.ask(wish(LONG), 20.0))
    wait_for(lambda: session.job is not None, "it was not asked")
    other.ask({"op": "blank"}, 1.0)
    doing.join()
    assert links.world.unblankings == count, "what was blanked before it began was exposed"


def fenced_in_the_queue(links: Links) -> None:
    """A move that waits for its turn while the watchdog cuts its pilot off."""
    pilot, dog = links.pilot(), links.pilot("watchdog")
    session, carry_out = links.server._pilot, links.server._carry_out
    links.patch.setattr(links.server, "_carry_out", lambda job: (time.sleep(0.3), carry_out(job)))
    answers: list[dict[str, Any]] = []
    doing = links.doing(lambda: answers.append(pilot.ask({"op": "move", "target": {"x_nm": 50.0}}, 20.0)[0]))
    wait_for(lambda: session.job is not None, "it was not asked")
    assert dog.ask({"op": "fence", "who": "somebody", "reason": "the guard is silent"}, 2.0)[0] == {"blanked": True}
    doing.join()
    at_nm = dog.ask({"op": "state"}, 5.0)[0]["state"]["stage"]["x_nm"]
    assert abs(at_nm) < 25.0, f"who was cut off has moved the stage to {at_nm}"
    assert "cut off" in answers[0].get("message", ""), "nobody is told"


def late_watchdog(links: Links) -> None:
    """Of a survey that is over: it cuts off its own guard alone, and leaves the next survey's exposure in peace."""
    old, dog = links.pilot(who="old"), links.pilot("watchdog")
    old.ask({"op": "close"}, 2.0)
    old.close()
    pilot = links.pilot(who="new")
    doing = links.doing(lambda: pilot.ask(wish(replace(LONG, dwell_us=150.0)), 20.0))
    links.wait_for_beam()
    assert dog.ask({"op": "fence", "who": "old"}, 2.0)[0] == {"taken_over": True}, "it goes on trying for minutes"
    assert links.world.beam_on, "the next survey's beam was blanked"
    assert doing.join() is None, "the next survey's frame was lost"
    refused(lambda: links.pilot(who="old"), Disconnected)
    doing = links.doing(lambda: pilot.ask(wish(LONG), 20.0))
    links.wait_for_beam()
    assert dog.ask({"op": "fence", "who": "new"}, 2.0)[0] == {"blanked": True}, "its own guard is not cut off"
    links.goes_off()
    doing.join()


def stranger(links: Links) -> None:
    """Without the token, or with another protocol, nobody gets in."""
    assert "token" in refused(lambda: links.pilot(token=TOKEN[:-1] + "0"), Disconnected)
    links.patch.setattr(server_link, "PROTOCOL", wire.PROTOCOL + 1)
    said = refused(links.pilot, Disconnected)
    links.patch.setattr(server_link, "PROTOCOL", wire.PROTOCOL)
    assert "same version" in said, said


def second_pilot(links: Links) -> None:
    """One pilot at a time, for as long as the first is heard of."""
    first = links.pilot()
    refused(links.pilot, BusyError)
    time.sleep(1.5 * SILENCE_S)
    second = links.pilot()
    assert "state" in second.ask({"op": "state"}, 2.0)[0]
    refused(lambda: first.ask({"op": "state"}, 2.0), Disconnected)


def blanker_moves(links: Links) -> None:
    """A connection for blanking can do nothing else."""
    other = links.pilot("blanker")
    for request in (wish(SHORT), {"op": "move", "target": {"x_nm": 10.0}}):
        assert other.ask(request, 2.0)[0].get("error") == NotSupported.__name__, f"{request['op']} was carried out"
    assert "state" in other.ask({"op": "state"}, 2.0)[0]


def cannot_blank(links: Links) -> None:
    """A blanker that fails is tried again until it does not."""
    pilot = links.pilot()
    driver, works = links.server._driver, links.server._driver.blank
    wire.send(pilot._socket, wish(LONG))
    links.wait_for_beam(pilot._socket)

    def broken() -> None:
        raise OSError("the blanker's amplifier is off")

    driver.blank = broken
    pilot._socket.shutdown(2)
    wait_for(lambda: any("could not blank" in line for line in links.said), "nobody was told")
    driver.blank = works
    links.goes_off()


class Overlong(hosted.Hosted):
    """Exposes for 3 s, whatever is asked."""

    def acquire(self, exposure: dict[str, Any]) -> Any:
        return super().acquire(wish(LONG)["exposure"])


def blanker_unreadable(links: Links) -> None:
    """Told to blank where the blanker does not read: nobody says that the beam is off, and it is told again."""
    reads, said, told = [False], [], []
    blank = links.server._blank
    links.patch.setattr(links.server, "_reads_blanked", lambda: True if reads[0] else None)
    links.patch.setattr(links.server, "_blank", lambda why, cut=True: (told.append(why), blank(why, cut))[1])
    links.patch.setattr(watchdog, "_say", said.append)
    links.client()
    crew = links.crews[0]
    crew.life.close()
    wait_for(lambda: told.count("the runner is gone") > 2, "it is not told again", 3.0)
    assert not [line for line in said if line.startswith("blanked")], "what nobody has seen is said to be blanked"
    assert "is not known" in said[0], "nobody is told that it is not known"
    reads[0] = True
    wait_for(lambda: "blanked: the runner is gone" in said, "seen off, and not said", 3.0)


class Stubborn(hosted.Hosted):
    """Makes a burst of exposures of its own, and does not hear that it was blanked."""

    def acquire(self, exposure: dict[str, Any]) -> Any:
        found = None
        for _ in range(8):
            try:
                found = super().acquire(wish(replace(SHORT, shape=(16, 16), dwell_us=1000.0))["exposure"])
            except DriverError:
                time.sleep(0.02)
        return found or ({}, ())


DRIVERS: dict[Callable[[Links], None], dict[str, Any]] = {
    exposure_overdue: {"driver": lambda usual: Overlong(usual._scope), "overhead_s": 0.3},
    unblanks_again: {"driver": lambda usual: Stubborn(usual._scope)},
}
"""Scenarios on a driver that is not as it should be."""
