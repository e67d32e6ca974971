"""Directed checks of what stands between runner and instrument: AssertionError where a promise is broken."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from e2e_links import LONG, SHORT, SILENCE_S, TOKEN, refused, wait_for, wish
from e2e_server_scenarios import (
    DRIVERS,
    blanked_before_it_began,
    blanker_moves,
    blanker_unreadable,
    cannot_blank,
    exposure_overdue,
    fenced_in_the_queue,
    late_watchdog,
    pilot_dies,
    pilot_silent,
    second_pilot,
    stranger,
    unblanks_again,
)

from instruments import latches, watchdog
from instruments.errors import Disconnected, HardwareFault, Held, InstrumentError, LimitError, ReachError
from instruments.powers import CanStop
from instruments.server import wire
from instruments.types import StagePosition

if TYPE_CHECKING:
    from e2e_links import Links


def runner_dies(links: Links) -> None:
    """The connection to the runner breaks in an exposure."""
    crew = links.client()._crew
    wire.send(crew.calls, wish(LONG))
    links.wait_for_beam(crew.calls)
    crew.calls.close()
    links.goes_off()


def runner_hangs(links: Links) -> None:
    """The runner asks, and does not beat while it should wait."""
    client = links.client()
    crew = client._crew
    wire.send(crew.calls, wish(LONG))
    links.wait_for_beam(crew.calls)
    links.goes_off()
    answer, _ = wire.receive(crew.calls)
    assert answer.get("error"), "half an exposure was handed out as a whole one"
    client.acquire(SHORT)  # awake again, it may go on
    client.close()


def guard_dies(links: Links) -> None:
    """The watchdog alone sees the guard go."""
    links.patch.setattr(watchdog, "GUARD_SILENCE_S", 60.0)
    links.client()
    crew = links.crews[0]
    links.doing(lambda: crew.guard.acquire(LONG))
    links.wait_for_beam()
    crew.freeze()
    crew.watch.shutdown(2)
    links.goes_off()


def guard_hangs(links: Links) -> None:
    """The watchdog alone sees the guard stand still; it blanks, and kills what could wake up."""
    client = links.client()
    crew = links.crews[0]
    links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    crew.freeze()
    links.goes_off()
    wait_for(lambda: crew.victim.poll() is not None, "the hung guard lives on", 3.0)
    crew.scope._pilot = None
    for _ in range(2):
        assert "cut off" in refused(lambda: crew.scope.acquire(LONG), Disconnected), "it came back"


def guard_overworked(links: Links) -> None:
    """A request that takes for ever is no progress, though the guard's first thread is well."""
    client = links.client()
    crew = links.crews[0]
    links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    crew.process._busy_until_s = time.monotonic()
    links.goes_off()


def runner_dies_alone(links: Links) -> None:
    """The watchdog alone sees the runner go."""
    client = links.client()
    crew = links.crews[0]
    links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    crew.life.close()
    links.goes_off()


def watchdog_dies(links: Links) -> None:
    """A guard without a watchdog exposes nothing."""
    client = links.client()
    crew = links.crews[0]
    links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    crew._sockets[3].shutdown(2)
    links.goes_off()
    wait_for(lambda: not crew.guarding.is_alive(), "the guard goes on without a watchdog", 3.0)


def watchdog_blind(links: Links) -> None:
    """A watchdog that does not reach the instrument cannot blank it, so nothing is exposed until it does again."""
    client = links.client()
    crew = links.crews[0]
    address = crew.dog._address
    doing = links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    crew.dog._address = (1, TOKEN)
    if crew.dog._link is not None:
        crew.dog._link.close()
    links.goes_off()
    assert isinstance(doing.join(), InstrumentError), "half an exposure was handed out"
    count = links.world.unblankings
    for _ in range(2):
        refused(lambda: client.acquire(SHORT), Held, InstrumentError)
    assert links.world.unblankings == count, "exposed without anybody who could blank"
    crew.dog._address = address
    wait_for(lambda: not crew.process._unwatched, "the watchdog does not look again", 5.0)
    client.acquire(SHORT)


def patient(links: Links) -> None:
    """An exposure that is longer than any silence allowed is made in full: nobody is taken for dead who is not."""
    client = links.client()
    doing = links.doing(lambda: client.acquire(replace(LONG, dwell_us=400.0)))
    wait_for(lambda: len(links.world.exposures()) == 1, "it was never made")
    assert doing.join() is None, f"a whole exposure was spoilt: {doing.raised}"
    client.close()


def reply_lost(links: Links) -> None:
    """The guard dies after the effect: what was asked counts as done, and is not asked again."""
    client = links.client()
    crew = links.crews[0]
    look = replace(LONG, id=7)
    doing = links.doing(lambda: client.acquire(look))
    links.wait_for_beam()
    crew.process.end("killed")
    assert isinstance(doing.join(), InstrumentError), "no frame came, and nothing was said"
    links.goes_off()
    count = links.world.unblankings
    assert client.ledger.booked(7), "an exposure that was made is not booked"
    refused(lambda: client.acquire(look), LimitError, InstrumentError)
    assert links.world.unblankings == count, "the exposure was made twice"
    client.acquire(replace(SHORT, id=8))  # by a guard that was started anew
    assert len(links.crews) == 2, "who guards?"
    client.close()


def out_of_reach(links: Links) -> None:
    """With no guard to be had, what was sent counts as spent, what was not does not."""
    client = links.client()
    client.ledger.sent(replace(SHORT, id=3))

    def gone(*_: object) -> None:
        raise Disconnected("no guard")

    client._crew.end()
    client._crew = None
    links.patch.setattr("instruments.guard_client.Crew", gone)
    assert client.ledger.booked(3), "what may have been exposed is not booked"
    assert not client.ledger.booked(4), "what was never sent counts as spent"
    client.close()


def garbage(links: Links) -> None:
    """What is no request ends the guard, blanked."""
    for nonsense in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"ADW1\xff\xff\xff\xff",
        b"ADW1\x00\x00\x00\x02[]",
        b'ADW1\x00\x00\x00\x16{"head":5,"arrays":[]}',
    ):
        crew = links.client()._crew
        links.doing(lambda crew=crew: crew.guard.acquire(LONG))
        links.wait_for_beam()
        crew.calls.sendall(nonsense)
        links.goes_off()
        wait_for(lambda crew=crew: not crew.guarding.is_alive(), "the guard listens on")
        time.sleep(SILENCE_S)


def hasty_runner(links: Links) -> None:
    """A second request before the first is answered."""
    crew = links.client()._crew
    wire.send(crew.calls, wish(LONG))
    links.wait_for_beam(crew.calls)
    wire.send(crew.calls, {"op": "state"})
    links.goes_off()


def hostile_requests(links: Links) -> None:
    """Names and values that are none: refused, and nothing is done."""
    client = links.client()
    crew = links.crews[0]
    before = links.world.stage._motion.number, links.world.unblankings
    for target in ({"x_nm": float("nan")}, {"x_nm": "12"}, {"x_nm": True}, {"warp": 9.0}, [1.0], None, {"x_nm": 1e9}):
        wire.send(crew.calls, {"op": "move", "target": target})
        answer, _ = wire.receive(crew.calls)
        assert answer.get("error") == "LimitError", f"{target} gave {answer}"
    for change in ({"dwell_us": 1e9}, {"shape": [8]}, {"shape": None}, {"frames": 0}, {"id": "x"}, {"signals": "BF"}):
        wire.send(crew.calls, {"op": "acquire", "exposure": {**wish(SHORT)["exposure"], **change}})
        assert wire.receive(crew.calls)[0].get("error") == "LimitError", f"{change} was carried out"
    wire.send(crew.calls, {"op": "warp"})
    assert wire.receive(crew.calls)[0].get("error") == "NotSupported", "an unknown wish was granted"
    assert (links.world.stage._motion.number, links.world.unblankings) == before, "refused, and done"
    for thing in (5, "x", None):
        for act in (client.move, client.tune, client.acquire):
            refused(lambda act=act, thing=thing: act(thing), LimitError)
    refused(lambda: client.move(StagePosition(x_nm=object())), LimitError)  # type: ignore[arg-type]
    client.close()


def told_to_hold(links: Links) -> None:
    """Hold cuts an exposure short, and outlives the guard's process."""
    client = links.client()
    doing = links.doing(lambda: client.acquire(LONG))
    links.wait_for_beam()
    links.doing(lambda: client.hold("a person said stop"))
    links.goes_off()
    assert doing.join() is not None, "half an exposure was handed out"
    refused(lambda: client.acquire(SHORT), Held)
    links.crews[0].process.end("killed")
    links.crews[0].guarding.join(10.0)
    refused(lambda: client.acquire(SHORT), Held, Disconnected)
    refused(lambda: client.acquire(SHORT), Held)
    client.close()


def stopped_on_the_way(links: Links) -> None:
    """A tilt of some seconds is stopped from another thread: it stands, is no pole touch, and goes on when asked."""
    client = links.client()
    stop = client.power(CanStop)
    assert stop is not None, "this stage can be stopped"
    tilt = StagePosition(alpha_deg=20.0)  # 4 s
    doing = links.doing(lambda: client.move(tilt))
    wait_for(lambda: links.world.stage.position(links.world.now_s())[3] > 0.5, "it never moved")
    assert links.doing(stop.stop).join() is None, "nobody could stop it"
    wait_for(lambda: links.world.stage.position(links.world.now_s() + 60.0)[3] < 19.0, "it moves on", 1.0)
    raised = doing.join()
    assert isinstance(raised, ReachError), f"stopped on its way, and said to be there: {raised}"
    assert client.ledger.latched() is None, "what was stopped is taken for a pole touch"
    at_deg = links.world.stage.position(links.world.now_s())[3]
    client.acquire(SHORT)
    client.move(StagePosition(alpha_deg=at_deg + 0.5))
    client.close()


def latch_of_the_instrument(links: Links) -> None:
    """A latch is the instrument's: another survey's folder does not lift it, and a survey cannot."""
    client = links.client()
    links.crews[0].guard._latch("a pole touch")
    refused(lambda: client.move(StagePosition(x_nm=10.0)), HardwareFault)
    client.close()
    other = links.folder / "another survey"
    other.mkdir()
    links.folder, first = other, links.folder
    client = links.client()
    count = links.world.unblankings
    refused(lambda: client.acquire(SHORT), HardwareFault)
    assert links.world.unblankings == count, "exposed though latched"
    refused(lambda: client.ledger.clear_latch("the agent"), LimitError)
    refused(lambda: links.crews[1].ledger.clear_latch("the agent"), LimitError)
    assert latches.latched_instruments() == {"rig": "a pole touch"}, "nobody can see that it is latched"
    refused(lambda: latches.clear_latches("rig", "Ada", " "), LimitError)
    assert latches.clear_latches("rig", "Ada", "the stage is well") == "a pole touch", "cleared without looking"
    client.acquire(SHORT)
    client.close()
    links.folder = first


__all__ = ["DRIVERS", "QUICK", "SCENARIOS"]

QUICK = (
    stranger, second_pilot, blanker_moves, reply_lost, out_of_reach, hostile_requests, latch_of_the_instrument, patient,
    stopped_on_the_way, blanker_unreadable, fenced_in_the_queue, late_watchdog,
)  # fmt: skip
"""Scenarios that need not wait for a beam that stays on to find that something is wrong."""

SCENARIOS = (
    *QUICK, runner_dies, runner_hangs, guard_dies, guard_hangs, guard_overworked, runner_dies_alone, watchdog_dies,
    watchdog_blind, pilot_dies, pilot_silent, exposure_overdue, unblanks_again, blanked_before_it_began, cannot_blank,
    garbage, hasty_runner, told_to_hold,
)  # fmt: skip
