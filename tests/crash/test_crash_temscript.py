"""The same deaths with the instrument as a third process: our simulator behind temscript's own, serial server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from guard_rig import LIMITS, NAME, Lag, Runner, wait_for
from guard_strikes import CASES, NAMES, cable_fails, goes_off
from temscript_rig import SHORT_US, Temscript

from instruments.latches import InstrumentLedger, latch_file
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import ELECTRONS_PER_PA_S

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

OFTEN = pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


@pytest.fixture(scope="module")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Temscript]:
    made = Temscript(tmp_path_factory.mktemp("temscript"))
    yield made
    made.close()


@pytest.mark.parametrize("times", [1, OFTEN])
@pytest.mark.parametrize(("how", "victims", "limit_s"), CASES, ids=NAMES)
def test_the_beam_goes_off(
    instrument: Temscript, how: signal.Signals, victims: tuple[str, ...], limit_s: float, times: int
) -> None:
    """In the midst of a frame of 4 s: the blanker has a server of its own."""
    goes_off(instrument, how, victims, limit_s, times)
    judge(instrument)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("how", "victims", "limit_s"), CASES, ids=NAMES)
def test_with_one_server_the_frame_under_way_is_waited_for(
    tmp_path: Path, how: signal.Signals, victims: tuple[str, ...], limit_s: float
) -> None:
    """So frames are short: 0.4 s at the most, and what handing them over takes, and then it is off."""
    serial = Temscript(tmp_path, blanker=False)
    try:
        goes_off(serial, how, victims, max(limit_s, 0.6), 50, SHORT_US)
        judge(serial)
    finally:
        serial.close()


@pytest.mark.parametrize("times", [1, OFTEN])
def test_a_scan_that_does_not_end_is_ended(tmp_path: Path, times: int) -> None:
    """temscript's call is blocked with the beam on: two seconds after the scan's own time it is off."""
    stuck = Temscript(tmp_path, column=str(Path(__file__).with_name("stuck_column.py")))
    try:
        for turn in range(times):
            runner = Runner(stuck, 1 + turn, dwell_us=100.0)
            try:
                runner.wait_for_beam()
                with Lag() as lag:
                    wait_for(lambda: not stuck.beam_on(), 10.0)
                on, off = ([row for row in stuck.rows() if row["row"] == kind][-1]["t_s"] for kind in ("lit", "dark"))
                assert off - on < 64**2 * 100e-6 + 2.0 + lag.allowance_s(stuck.HANDS)
            finally:
                runner.clear()
            time.sleep(0.2)
        judge(stuck)
    finally:
        stuck.close()


@pytest.mark.parametrize("times", [1, OFTEN])
@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_cable_that_fails(tmp_path: Path, how: str, times: int) -> None:
    """Between guard and driver server; the column, beside the server, is blanked."""
    instrument = Temscript(tmp_path)
    try:
        cable_fails(instrument, how, times)
        judge(instrument)
    finally:
        instrument.close()


def judge(instrument: Temscript) -> None:
    """No less is booked than the beam was on for, by the column's own account, and nothing is latched."""
    wait_for(lambda: not instrument.beam_on())
    rows = [row for row in instrument.rows() if row["row"] in ("lit", "dark")]
    on_s = sum(off["t_s"] - on["t_s"] for on, off in zip(rows[::2], rows[1::2], strict=True))
    ledger = InstrumentLedger(
        SqliteLedger(instrument.folder / "ledger.sqlite"),
        SqliteLedger(latch_file(NAME, instrument.folder / "state")),
    )
    try:
        assert ledger.electrons() >= 50.0 * ELECTRONS_PER_PA_S * on_s * (1 - 1e-6)
        assert ledger.electrons() <= LIMITS.max_electrons
        assert ledger.latched() is None
    finally:
        ledger.close()
