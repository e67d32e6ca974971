"""Whoever dies or hangs, the beam goes off: read from the truth of a world that is a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guard_rig import NAME, Instrument, Lag, Runner, wait_for
from guard_strikes import CASES, NAMES, cable_fails, goes_off

from instruments.latches import InstrumentLedger, latch_file
from instruments.ledger_sqlite import SqliteLedger

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instrument]:
    made = Instrument(tmp_path_factory.mktemp("instrument"))
    yield made
    made.close()


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize(("how", "victims", "limit_s"), CASES, ids=NAMES)
def test_the_beam_goes_off(
    instrument: Instrument, how: signal.Signals, victims: tuple[str, ...], limit_s: float, times: int
) -> None:
    goes_off(instrument, how, victims, limit_s, times)
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
            assert off - on < 64**2 * 100e-6 + 2.0 + lag.allowance_s(stuck.HANDS)
        finally:
            runner.clear()
            stuck.close()


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_cable_that_fails(tmp_path: Path, how: str, times: int) -> None:
    """The instrument's own computer blanks; the guard latches, and nothing happens until a person has cleared it."""
    instrument = Instrument(tmp_path)
    try:
        cable_fails(instrument, how, times)
    finally:
        instrument.close()
    judge(instrument)


def judge(instrument: Instrument) -> None:
    """Every exposure of the world is in the ledger, none was made twice, nothing is latched."""
    made = [row for row in instrument.rows() if row["row"] == "unblank"]
    assert len({row["id"] for row in made}) == len(made)
    state = instrument.folder / "state"
    ledger = InstrumentLedger(SqliteLedger(instrument.folder / "ledger.sqlite"), SqliteLedger(latch_file(NAME, state)))
    try:
        assert all(ledger.booked(row["id"]) for row in made)
        assert ledger.latched() is None
    finally:
        ledger.close()
