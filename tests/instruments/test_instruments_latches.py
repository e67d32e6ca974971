"""What is an instrument's, not a survey's: its latches, where its tilt was sent, who sees to what it cannot tell."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from instruments_fake import EXPOSURE

from configs.load import ConfigError
from instruments import latches
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import Footprint, StagePosition

if TYPE_CHECKING:
    from pathlib import Path

STAGE = StagePosition(x_nm=1.0, y_nm=2.0, alpha_deg=3.0)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTEM_STATE", str(tmp_path / "state"))


def test_where_latches_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTEM_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert latches.latch_file("titan") == tmp_path / "adaptem" / "titan.latches.sqlite"
    with pytest.raises(ConfigError, match="letters"):
        latches.latch_file("../titan")


def test_the_instruments_ledger_keeps_dose_and_latches_apart(tmp_path: Path) -> None:
    dose, kept = SqliteLedger(tmp_path / "dose.sqlite"), SqliteLedger(tmp_path / "latches.sqlite")
    ledger = latches.InstrumentLedger(dose, kept)
    place = Footprint(x_nm=0.0, y_nm=0.0, width_nm=10.0, height_nm=10.0)
    ledger.settle(ledger.reserve(replace(EXPOSURE, id=4), place, 10.0), 10.0)
    ledger.spend_time(2.0)
    ledger.intend_tilt(STAGE)
    assert (ledger.booked(4), ledger.electrons(), ledger.time_used_s()) == (True, 10.0, 2.0)
    assert ledger.fluence_e_per_A2(place) == dose.fluence_e_per_A2(place) > 0
    assert kept.intended_tilt() == ledger.intended_tilt() == StagePosition(alpha_deg=3.0)
    assert dose.intended_tilt() is None
    dose.latch("of an earlier guard, in the survey's process")
    assert ledger.latched() == "of an earlier guard, in the survey's process"
    ledger.close()
    ledger.close()


def test_every_instrument_that_was_guarded_is_listed(tmp_path: Path) -> None:
    latch = SqliteLedger(latches.latch_file("titan"))
    latch.latch("a pole touch")
    latch.close()
    SqliteLedger(latches.latch_file("arm")).close()
    latches.tell_waived("arm", {"blanker": "Ada looks at the screen"})
    assert latches.latched_instruments() == {"arm": None, "titan": "a pole touch"}
    assert (latches.waived_of("arm"), latches.waived_of("titan")) == ({"blanker": "Ada looks at the screen"}, {})


def test_a_ledger_that_two_threads_write_to(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    trouble: list[Exception] = []

    def write(number: int) -> None:
        try:
            for turn in range(30):
                ledger.intend_tilt(StagePosition(alpha_deg=float(number)))
                if turn % 10 == 0:
                    ledger.latch(f"{number}")
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble == []
    ledger.close()


def test_a_transaction_that_ended_by_itself(tmp_path: Path) -> None:
    """As SQLite does where the disk is full: what was to be written is not, and the next is."""
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    with pytest.raises(sqlite3.OperationalError), ledger._writing():
        ledger._db.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk full")
    ledger.latch("and yet it writes")
    ledger.close()
