from __future__ import annotations

import math
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from archive_samples import frame
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.errors import JournalError
from archive.journal import Journal
from archive.labels import LabelJournal
from archive.schema import FRAME, STEP, UPGRADES, FrameRecord, dump, parse
from archive.sqlite_writing import schema_version, upgrade
from envs.step import Step
from instruments.types import Outcome


def newer(version):
    return JournalError(f"version {version}")


VERSION_1 = Path(__file__).with_name("journal_v1.sql")


def same(a, b):
    """Equality in which NaN equals NaN and types count."""
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


st.register_type_strategy(Outcome, lambda kind: st.builds(Outcome, *[st.from_type(kind.__args__[0])] * 2))


@settings(max_examples=50)
@given(st.from_type(Step))  # NaN, infinities and any text among them
def test_every_step_comes_back_exactly(step):
    again = parse(STEP, dump(step))
    assert same(step, again)


def test_a_frame_record_comes_back_and_numpy_scalars_become_numbers():
    record = FrameRecord.of(frame(3))
    assert parse(FRAME, dump(record)) == record
    assert (
        dump({"a": np.float32(1.5), "b": np.int64(2), "c": np.array([1.0, np.nan])}) == '{"a":1.5,"b":2,"c":[1.0,NaN]}'
    )


def test_what_is_no_record_is_refused():
    with pytest.raises(ValueError, match="cannot record a object"):
        dump({"a": object()})


def test_an_empty_file_is_version_0_and_becomes_the_newest(tmp_path):
    with sqlite3.connect(tmp_path / "j.sqlite", isolation_level=None) as database:
        assert schema_version(database) == 0
        for _ in range(2):
            upgrade(database, UPGRADES, newer)
            assert schema_version(database) == len(UPGRADES)
    database.close()


def test_an_upgrade_keeps_the_rows_or_changes_nothing(tmp_path):
    database = sqlite3.connect(tmp_path / "j.sqlite", isolation_level=None)
    upgrade(database, ["CREATE TABLE t (a); INSERT INTO t VALUES (5);"], newer)
    one = "ALTER TABLE t ADD COLUMN b DEFAULT 7;"
    with pytest.raises(sqlite3.Error):
        upgrade(database, ["-", one, "INSERT INTO nowhere VALUES (1);"], newer)
    assert schema_version(database) == 1
    assert database.execute("SELECT * FROM t").fetchall() == [(5,)]
    upgrade(database, ["-", one, "UPDATE t SET a = 6;"], newer)
    assert schema_version(database) == 3
    assert database.execute("SELECT * FROM t").fetchall() == [(6, 7)]
    database.close()


def test_of_two_processes_that_bring_a_file_up_at_once_one_waits_and_finds_it_done(tmp_path):
    scripts, started = ["CREATE TABLE t (a);", "INSERT INTO t VALUES (1);"], threading.Barrier(2)

    def bring_up():
        with closing(sqlite3.connect(tmp_path / "j.sqlite", isolation_level=None, timeout=30.0)) as database:
            seen = schema_version(database)
            started.wait()
            upgrade(database, scripts, newer)
            return seen, database.execute("SELECT * FROM t").fetchall()

    with ThreadPoolExecutor(2) as pool:
        assert [each.result() for each in [pool.submit(bring_up) for _ in range(2)]] == [(0, [(1,)])] * 2


def test_a_file_that_became_newer_before_the_lock_was_ours_stays_as_it_is(tmp_path):
    with closing(sqlite3.connect(tmp_path / "j.sqlite", isolation_level=None)) as database:
        upgrade(database, ["CREATE TABLE t (a);", "CREATE TABLE u (a);"], newer)
        with pytest.raises(JournalError, match="version 2"):
            upgrade(database, ["CREATE TABLE t (a);"], newer)
        assert not database.in_transaction


@pytest.mark.parametrize("made", [lambda path: Journal(path, create=True), LabelJournal])
def test_labels_and_journals_of_a_newer_adaptem_are_refused_and_stay(tmp_path, made):
    path = tmp_path / "j.sqlite"
    made(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match=r"j\.sqlite has schema_version 99|j\.sqlite have schema_version 99"):
        (Journal if made is not LabelJournal else LabelJournal)(path)
    with closing(sqlite3.connect(path)) as database:
        assert schema_version(database) == 99


def test_a_newer_journal_is_refused(tmp_path):
    path = tmp_path / "j.sqlite"
    Journal(path, create=True).close()
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA user_version = {len(UPGRADES) + 1}")
    database.close()
    with pytest.raises(JournalError, match="install a newer adaptem"):
        Journal(path)


def test_a_journal_of_version_1_opens(tmp_path):
    """The file of rows written by version 1: whatever the newest version is, it must read them."""
    path = tmp_path / "j.sqlite"
    database = sqlite3.connect(path)
    database.executescript(VERSION_1.read_text())
    database.close()
    journal = Journal(path)
    assert [step.number for step in journal.rows.steps()] == [0, 1]
    states = [(row.id, row.state, row.step, len(row.signals)) for row in journal.rows.exposures()]
    assert states == [(1, "committed", 1, 2), (2, "lost", None, 0)]
    assert journal.rows.events()[0].data == {"kept": True}
    journal.close()
