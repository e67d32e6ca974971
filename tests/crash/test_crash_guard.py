"""Whoever dies or hangs, the beam goes off: read from the truth of a world that is a process of its own."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guard_proxy import Proxy
from guard_rig import HANDS, Instrument, Lag, Runner, wait_for

from instruments.latches import InstrumentLedger, clear_latches, latch_file
from instruments.ledger_sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

KILL, STOP, GO_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT

CASES = (
    (KILL, ("runner",), 0.1),
    (KILL, ("guard",), 0.1),
    (KILL, ("runner", "guard"), 0.1),
    (KILL, ("watchdog",), 0.1),
    (STOP, ("runner",), 2.0),
    (STOP, ("guard",), 2.0),
    (STOP, ("runner", "guard"), 2.0),
)
"""What happens to whom, and how soon the beam must be off."""


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instrument]:
    made = Instrument(tmp_path_factory.mktemp("instrument"))
    yield made
    made.close()


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize(
    ("how", "victims", "limit_s"), CASES, ids=[f"{how.name} {' and '.join(who)}" for how, who, _ in CASES]
)
def test_the_beam_goes_off(
    instrument: Instrument, how: signal.Signals, victims: tuple[str, ...], limit_s: float, times: int
) -> None:
    for turn in range(times):
        number = 1 + len(instrument.rows())
        runner = Runner(instrument, number)
        try:
            runner.wait_for_beam()
            time.sleep(0.05 + 0.3 * turn / times)
            with Lag() as lag:
                struck_s = runner.strike(how, *victims)
                wait_for(lambda: not instrument.beam_on(), 5.0)
            off = [row for row in instrument.rows() if row["row"] == "blank"][-1]
            took_s = instrument.monotonic_s(off) - struck_s
            assert took_s < limit_s + HANDS * lag.worst_s, (
                f"turn {turn}: on for {took_s:.3f} s, lag {lag.worst_s:.3f} s"
            )
            seen = len(instrument.rows())
            if how is STOP:  # what wakes up must not go on with what it was about to do
                for victim in victims:
                    if victim != "guard":  # dead by now
                        runner.strike(GO_ON, victim)
            if "runner" in victims and how is KILL:
                time.sleep(0.3)
                assert [row for row in instrument.rows(seen) if row["row"] in ("unblank", "move")] == []
        finally:
            runner.clear()
    judge(instrument)


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_an_exposure_that_does_not_end_is_ended(tmp_path: Path, times: int) -> None:
    """The driver's call is blocked with the beam on: two seconds after its end, at most, the beam is off."""
    for turn in range(times):
        folder = tmp_path / str(turn)
        folder.mkdir()
        stuck = Instrument(folder, driver=str(Path(__file__).with_name("stuck_driver.py")))
        runner = Runner(stuck, 1, dwell_us=100.0)
        try:
            runner.wait_for_beam()
            with Lag() as lag:
                wait_for(lambda stuck=stuck: not stuck.beam_on(), 10.0)
            on, off = ([row for row in stuck.rows() if row["row"] == kind][-1]["t_s"] for kind in ("unblank", "blank"))
            assert off - on < 64**2 * 100e-6 + 2.0 + HANDS * lag.worst_s
        finally:
            runner.clear()
            stuck.close()


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_cable_that_fails(tmp_path: Path, how: str, times: int) -> None:
    """The instrument's own computer blanks; the guard latches, and nothing happens until a person has cleared it."""
    instrument = Instrument(tmp_path)
    proxy = Proxy(instrument.port)
    try:
        for turn in range(times):
            runner = Runner(instrument, 1 + len(instrument.rows()), port=proxy.port)
            try:
                runner.wait_for_beam()
                time.sleep(0.05 + 0.3 * turn / times)
                with Lag() as lag:
                    struck_s = time.monotonic()
                    getattr(proxy, how)()
                    wait_for(lambda: not instrument.beam_on(), 8.0)
                off = [row for row in instrument.rows() if row["row"] == "blank"][-1]
                assert instrument.monotonic_s(off) - struck_s < 3.0 + HANDS * lag.worst_s
                while not (word := runner.word()).startswith("R HardwareFault"):
                    assert word.startswith(("E", "R"))
                proxy.mend()
                seen = len(instrument.rows())
                time.sleep(1.0)
                assert [row for row in instrument.rows(seen) if row["row"] in ("unblank", "move", "tune")] == []
                assert "not reached" in str(clear_latches("remote", "Ada", "the cable was loose", runner.state))
                runner.wait_for_beam()
            finally:
                proxy.mend()
                runner.clear()
    finally:
        proxy.close()
        instrument.close()
    judge(instrument)


def judge(instrument: Instrument) -> None:
    """Every exposure of the world is in the ledger, none was made twice, nothing is latched."""
    made = [row for row in instrument.rows() if row["row"] == "unblank"]
    assert len({row["id"] for row in made}) == len(made)
    state = instrument.folder / "state"
    ledger = InstrumentLedger(
        SqliteLedger(instrument.folder / "ledger.sqlite"), SqliteLedger(latch_file("remote", state))
    )
    try:
        assert all(ledger.booked(row["id"]) for row in made)
        assert ledger.latched() is None
    finally:
        ledger.close()
