"""The journal of labels: nothing lost, nothing doubled, nothing changed."""

from __future__ import annotations

import sqlite3

import pytest

from archive.errors import JournalError
from archive.labels import Item, LabelEvent, LabelJournal
from archive.standing import Standing, locked, standing

SHOWN = {"contrast": "same"}


@pytest.fixture
def journal(tmp_path):
    made = LabelJournal(tmp_path / "labels.sqlite")
    items = [Item(id=f"i{n}", batch="b", position=n, place=f"a/{n}", data={"rank": n}) for n in range(3)]
    made.new_batch("b", "Ada", 7, {}, items)
    yield made
    made.close()


def said(number, item="i0", kind="verdict", verdict=None, text=None):
    return LabelEvent(id=f"e{number}", batch="b", item=item, kind=kind, verdict=verdict, text=text, shown=SHOWN)


def test_an_event_that_comes_twice_is_kept_once(journal):
    journal.keep([said(1, verdict=4), said(2, "i1", verdict=2)])
    journal.keep([said(1, verdict=1), said(2, "i1", verdict=2), said(3, "i2", verdict=5)])
    assert [(row.id, row.verdict) for row in journal.events("b")] == [("e1", 4), ("e2", 2), ("e3", 5)]


def test_all_of_a_message_is_kept_or_nothing(journal):
    for wrong in (said(2, "unknown", verdict=1), LabelEvent(id="e2", batch="x", item=None, kind="lock", shown={})):
        with pytest.raises(KeyError):
            journal.keep([said(1, verdict=4), wrong])
    with pytest.raises(JournalError, match="nothing of it was kept"):
        journal.keep([said(1, verdict=4), said(2, verdict=9)])
    assert journal.events() == ()


def test_events_are_never_changed_nor_removed(journal):
    journal.keep([said(1, verdict=4)])
    journal.close()
    database = sqlite3.connect(journal.path)
    for sql in ("UPDATE events SET verdict = 1", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            database.execute(sql)
    database.close()


def test_what_stands_is_a_fold(journal):
    journal.keep([said(1, verdict=4), said(2, verdict=2), said(3, kind="undo"), said(4, "i1", verdict=1)])
    journal.keep([said(5, "i1", kind="undo"), said(6, "i1", kind="undo"), said(7, "i2", kind="note", text="odd")])
    assert standing(journal.events("b")) == {
        "i0": Standing(blind=4), "i1": Standing(), "i2": Standing(note="odd")
    }  # fmt: skip
    assert not locked(journal.events("b"))


def test_a_verdict_counts_if_its_picture_had_come_and_an_undo_takes_that_back_too(journal):
    def given(number, item, verdict, seen):
        return LabelEvent(id=f"e{number}", batch="b", item=item, kind="verdict", verdict=verdict, shown={"seen": seen})

    journal.keep([given(1, "i0", 4, True), given(2, "i0", 2, False)])
    journal.keep([given(3, "i1", 4, False), given(4, "i1", 2, True), said(5, "i2", verdict=3)])
    found = standing(journal.events("b"))
    assert [found[item].blind for item in ("i0", "i1", "i2")] == [2, 2, 3]
    assert [found[item].counts for item in ("i0", "i1", "i2")] == [None, 2, 3]
    journal.keep([said(6, "i0", kind="undo"), said(7, "i1", kind="undo")])
    found = standing(journal.events("b"))
    assert [found[item].blind for item in ("i0", "i1")] == [4, 4]
    assert [found[item].counts for item in ("i0", "i1")] == [4, None]
    journal.keep([said(8, None, kind="lock"), given(9, "i0", 1, False)])  # a second thought takes nothing away
    assert standing(journal.events("b"))["i0"].counts == 4


def test_what_comes_after_the_lock_is_a_revision(journal):
    journal.keep([said(1, verdict=4), said(2, None, kind="lock"), said(3, verdict=1), said(4, "i1", verdict=5)])
    assert locked(journal.events("b"))
    assert standing(journal.events("b")) == {
        "i0": Standing(blind=4, revised=1), "i1": Standing(revised=5)
    }  # fmt: skip
    journal.keep([said(5, kind="undo"), said(6, kind="undo")])
    assert standing(journal.events("b"))["i0"] == Standing(blind=4)


def test_it_is_durable_and_opens_again(journal):
    database = journal._database
    assert database.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    journal.keep([said(1, verdict=4)])
    journal.admit("digest")
    other = LabelJournal(journal.path)
    assert other.batch("b").items[1].data == {"rank": 1}
    assert [row.id for row in other.events()] == ["e1"] and set(other.sessions()) == {"digest"}
    other.close()


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(JournalError, match="--labels"):
        LabelJournal(tmp_path / "missing" / "labels.sqlite")
    with pytest.raises(KeyError):
        LabelJournal(tmp_path / "labels.sqlite").batch("none")
