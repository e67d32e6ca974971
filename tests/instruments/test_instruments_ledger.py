from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import least_cpu_s

from instruments import ledger_sqlite
from instruments.errors import BudgetError, LimitError, NoRoom
from instruments.ledger import Ledger, MemoryLedger
from instruments.ledger_sqlite import SqliteLedger
from instruments.overlap import deepest
from instruments.types import Exposure, Footprint, StagePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPOSURE = Exposure(field_of_view_nm=10.0, shape=(16, 16), dwell_us=1.0)
PLACE = Footprint(x_nm=0.0, y_nm=0.0, width_nm=12.0, height_nm=12.0)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    durable = SqliteLedger(tmp_path / "ledger.sqlite")
    yield durable
    durable.close()


def test_reserved_is_spent_settled_or_not(ledger: Ledger) -> None:
    first = ledger.reserve(replace(EXPOSURE, id=1), PLACE, 1e5)
    ledger.settle(first, first.electrons)
    ledger.reserve(replace(EXPOSURE, id=2), PLACE, 2e5)
    assert first.electrons == 1e5
    assert first.exposure_id == 1
    assert ledger.electrons() == 3e5
    assert ledger.fluence_e_per_A2(PLACE) == pytest.approx(3e5 / (10 * 10 * 100))


def test_fluence_is_of_the_exposed_area_on_all_of_the_booked_place(ledger: Ledger) -> None:
    """The exposure covers 10 × 10 nm somewhere in the booked 12 × 12: each point may have had all of it."""
    ledger.reserve(EXPOSURE, PLACE, 1e5)
    corner = Footprint(x_nm=5.9, y_nm=5.9, width_nm=0.1, height_nm=0.1)
    assert ledger.fluence_e_per_A2(corner) == pytest.approx(10.0)
    assert ledger.fluence_e_per_A2(replace(corner, x_nm=6.2)) == 0.0


def test_an_id_is_booked_once(ledger: Ledger) -> None:
    assert not ledger.booked(7)
    ledger.reserve(replace(EXPOSURE, id=7), PLACE, 1.0)
    assert ledger.booked(7)
    with pytest.raises(LimitError, match="never made twice"):
        ledger.reserve(replace(EXPOSURE, id=7), PLACE, 1.0)
    assert ledger.electrons() == 1.0
    ledger.reserve(EXPOSURE, PLACE, 1.0)
    ledger.reserve(EXPOSURE, PLACE, 1.0)
    assert ledger.electrons() == 3.0


@pytest.mark.parametrize("electrons", [math.nan, math.inf, -1.0])
def test_numbers_that_would_poison_the_sums(ledger: Ledger, electrons: float) -> None:
    with pytest.raises(LimitError, match="finite"):
        ledger.reserve(EXPOSURE, PLACE, electrons)
    for broken in (replace(PLACE, x_nm=math.nan), replace(PLACE, width_nm=0.0), replace(PLACE, height_nm=math.inf)):
        with pytest.raises(LimitError, match="finite"):
            ledger.reserve(EXPOSURE, broken, 1.0)
    assert ledger.electrons() == 0.0


def test_latch_keeps_the_first_reason_until_a_person_clears_it(ledger: Ledger) -> None:
    assert ledger.latched() is None
    ledger.latch("touched")
    ledger.latch("touched again")
    assert ledger.latched() == "touched"
    with pytest.raises(LimitError, match="person"):
        ledger.clear_latch("  ")
    assert ledger.latched() == "touched"
    ledger.clear_latch("Ada")
    assert ledger.latched() is None
    ledger.latch("once more")
    assert ledger.latched() == "once more"


def test_time(ledger: Ledger) -> None:
    ledger.spend_time(3.0)
    ledger.spend_time(20.0)
    ledger.spend_time(0.5)
    assert ledger.time_used_s() == 23.5
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            ledger.spend_time(wrong)
    assert ledger.time_used_s() == 23.5


def test_reopened_ledger_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    first = SqliteLedger(path)
    first.settle(first.reserve(replace(EXPOSURE, id=1), PLACE, 1e5), 1e5)
    first.reserve(replace(EXPOSURE, id=2), PLACE, 1e5)
    first.spend_time(4.0)
    first.latch("touched")
    first.spend_time(1.0)
    first.close()
    first.close()
    again = SqliteLedger(path)
    assert again.electrons() == 2e5
    assert again.fluence_e_per_A2(PLACE) == pytest.approx(20.0)
    assert again.booked(2)
    assert again.time_used_s() == 5.0
    assert again.latched() == "touched"
    again.clear_latch("Ada")
    assert again.latched() is None
    again.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT reason, cleared_by FROM latches").fetchall() == [("touched", "Ada")]
        assert db.execute("SELECT exposure_id, electrons, settled FROM reservations").fetchall() == [
            (1, 1e5, 1),
            (2, 1e5, 0),
        ]
    db.close()


def test_reservation_survives_a_kill_right_after_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    program = f"""
import os, signal
from pathlib import Path
from instruments.ledger_sqlite import SqliteLedger
from instruments.types import Exposure, Footprint, StagePosition
ledger = SqliteLedger(Path({str(path)!r}))
ledger.spend_time(2.0)
place = Footprint(x_nm=0.0, y_nm=0.0, width_nm=12.0, height_nm=12.0)
ledger.reserve(Exposure(field_of_view_nm=10.0, shape=(16, 16), dwell_us=1.0, id=5), place, 1e5)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    again = SqliteLedger(path)
    assert (again.electrons(), again.booked(5), again.time_used_s()) == (1e5, True, 2.0)
    again.close()


def test_written_as_durably_as_sqlite_can(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert not ledger._db.in_transaction
    ledger.reserve(EXPOSURE, PLACE, 1.0)
    assert not ledger._db.in_transaction
    ledger.close()


def test_time_is_written_once_enough_has_gathered(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    ledger.spend_time(9.0)
    ledger.spend_time(2.0)
    other = SqliteLedger(tmp_path / "ledger.sqlite")
    assert other.time_used_s() == 11.0
    other.close()
    ledger.close()


def test_a_latch_cleared_by_another_process_is_seen(tmp_path: Path) -> None:
    ledger, other = (SqliteLedger(tmp_path / "ledger.sqlite") for _ in range(2))
    ledger.latch("touched")
    other.clear_latch("Ada")
    assert ledger.latched() is None
    ledger.close()
    other.close()


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    SqliteLedger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET schema_version = 99")
    db.close()
    with pytest.raises(BudgetError, match="schema version 99"):
        SqliteLedger(path)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("no database at all, but longer than a header of one" * 10)
    with pytest.raises(BudgetError, match=r"could not be opened.*room"):
        SqliteLedger(path)
    with pytest.raises(BudgetError, match="could not be opened"):
        SqliteLedger(tmp_path / "missing" / "ledger.sqlite")


def test_a_ledger_that_cannot_write_books_nothing_and_still_latches(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    ledger._db.execute("PRAGMA query_only = ON")  # what a full or read-only disk answers, at the first write
    with pytest.raises(BudgetError, match="could not be written"):
        ledger.reserve(EXPOSURE, PLACE, 1.0)
    with pytest.raises(BudgetError, match="could not be written"):
        ledger.latch("touched")
    assert ledger.electrons() == 0.0
    assert ledger.latched() == "touched"
    ledger._db.execute("PRAGMA query_only = OFF")
    ledger.clear_latch("Ada")
    assert ledger.latched() is None
    ledger.close()


def test_a_reservation_is_booked_whole_or_not_at_all(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    ledger.spend_time(3.0)
    ledger._db.execute("ALTER TABLE boxes RENAME TO elsewhere")
    with pytest.raises(BudgetError, match="could not be written"):
        ledger.reserve(replace(EXPOSURE, id=1), PLACE, 1.0)
    ledger._db.execute("ALTER TABLE elsewhere RENAME TO boxes")
    assert (ledger.electrons(), ledger.booked(1), ledger.time_used_s()) == (0.0, False, 3.0)
    ledger.reserve(replace(EXPOSURE, id=1), PLACE, 1.0)
    ledger.close()


def test_the_intended_tilt_is_kept_until_a_person_has_looked(ledger: Ledger) -> None:
    assert ledger.intended_tilt() is None
    ledger.intend_tilt(StagePosition(x_nm=5.0, alpha_deg=3.0))
    ledger.intend_tilt(StagePosition(x_nm=5.0, alpha_deg=4.0))
    assert ledger.intended_tilt() == StagePosition(alpha_deg=4.0)
    ledger.clear_latch("Ada")
    assert ledger.intended_tilt() is None


@given(st.lists(st.tuples(*[st.floats(-200, 200)] * 2, st.floats(1, 300), st.sampled_from([0.0, 30.0])), max_size=12))
def test_both_ledgers_find_the_same(footprints: list[tuple[float, float, float, float]]) -> None:
    """The grid and the R*Tree only look up: whatever the sizes, nothing that overlaps is missed."""
    memory = MemoryLedger()
    durable = SqliteLedger(Path(":memory:"))
    for x, y, side, turn in footprints:
        place = Footprint(x_nm=x, y_nm=y, width_nm=side, height_nm=side / 2, rotation_deg=turn)
        memory.reserve(EXPOSURE, place, 100.0)
        durable.reserve(EXPOSURE, place, 100.0)
    for side in (1.0, 30.0, 900.0):
        where = Footprint(x_nm=3.0, y_nm=-5.0, width_nm=side, height_nm=side)
        expected = deepest(where, memory._booked)
        assert memory.fluence_e_per_A2(where) == pytest.approx(expected)
        assert durable.fluence_e_per_A2(where) == pytest.approx(expected)
    durable.close()


def _fill(make: Callable[[], Ledger], rows: int) -> Ledger:
    ledger = make()
    for n in range(100 * rows):
        place = Footprint(x_nm=50.0 * (n % 100), y_nm=50.0 * (n // 100), width_nm=64.0, height_nm=64.0)
        ledger.reserve(EXPOSURE, place, 1e4)
    return ledger


def _ask_all(ledger: Ledger, places: list[Footprint]) -> list[float]:
    return [ledger.fluence_e_per_A2(place) for place in places]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_ten_thousand_footprints_stay_fast(kind: str, tmp_path: Path) -> None:
    """Ten times as many elsewhere do not make a question about a place dearer."""
    spent_s = []
    for rows in (10, 100):

        def durable(rows: int = rows) -> Ledger:
            made = SqliteLedger(tmp_path / f"ledger{rows}.sqlite")
            made._db.execute("PRAGMA synchronous = OFF")  # to fill it quickly; the questions cost the same
            return made

        ledger = _fill(MemoryLedger if kind == "memory" else durable, rows)
        rng = np.random.default_rng(1)
        places = [
            Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=64.0, height_nm=64.0)
            for x_nm, y_nm in rng.uniform((0, 0), (5e3, 450.0), (100, 2))
        ]
        assert all(1.0 <= fluence <= 4.0 for fluence in _ask_all(ledger, places))
        spent_s.append(least_cpu_s(partial(_ask_all, ledger, places)))
        if isinstance(ledger, SqliteLedger):
            ledger.close()
    assert spent_s[1] < 4 * spent_s[0]


def test_a_disk_without_room_books_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(ledger_sqlite, "free_bytes", lambda folder: ledger_sqlite.LEAST_FREE_BYTES - 1)
    with pytest.raises(NoRoom, match=r"4\.0 MiB left.*free some"):
        ledger.reserve(EXPOSURE, PLACE, 5.0)
    assert ledger.electrons() == 0.0
    ledger.close()
