from __future__ import annotations

import subprocess
import sys

import pytest
from archive_samples import CREATED, frame, intent, step

from archive.errors import JournalError
from archive.journal import Journal
from envs.step import Stream, Tag


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite", now_utc=lambda: CREATED, create=True)
    yield journal
    journal.close()


def test_an_exposure_ends_once(journal):
    first, second = intent(journal), intent(journal)
    assert journal.rows.intents() == (first, second)
    journal.commit(first, frame(first), [])
    journal.fail(second, "refused", spent=False)
    assert [row.state for row in journal.rows.exposures()] == ["committed", "failed"]
    for end in (lambda: journal.commit(first, frame(first), []), lambda: journal.fail(second, "again", spent=True)):
        with pytest.raises(JournalError, match="no open intent"):
            end()
    assert [row.state for row in journal.rows.exposures()] == ["committed", "failed"]


def test_ids_go_on_after_a_restart_and_after_deletion(journal):
    ids = [intent(journal) for _ in range(3)]
    journal._database.execute("DELETE FROM exposures")
    journal.close()
    again = Journal(journal.path)
    assert intent(again) == ids[-1] + 1
    again.close()


def test_steps_link_their_exposures_and_tag_earlier_ones(journal):
    ids = [intent(journal) for _ in range(3)]
    control = Tag(stream=Stream.CONTROL, inclusion_probability=0.1)
    journal.step(step(0, ids[0]))
    journal.step(step(1, ids[1], retagged=((ids[0], control),)))
    assert [row.id for row in journal.rows.unreported()] == [ids[2]]
    assert control in journal.rows.exposure(ids[0]).tags
    assert [s.number for s in journal.rows.steps("a")] == [0, 1]
    assert list(journal.rows.steps("b")) == []


def test_a_step_number_is_taken_once_and_a_refused_row_leaves_nothing(journal):
    first = intent(journal)
    journal.step(step(0, first))
    second = intent(journal)
    with pytest.raises(JournalError, match="UNIQUE"):
        journal.step(step(0, second))
    with pytest.raises(JournalError, match="exposure 99"):
        journal.step(step(1, second, retagged=((99, Tag(stream=Stream.CONTROL, inclusion_probability=None)),)))
    assert journal.rows.step_count() == 1
    assert journal.rows.exposure(second).step is None


def test_events_keep_their_data(journal):
    journal.event("fault", "stage stuck", time_s=12.5, data={"axis": "x", "error_nm": float("inf")})
    journal.event("pause", "by request", time_s=float("nan"))
    (event,) = journal.rows.events("fault")
    assert (event.message, event.time_s, event.data) == ("stage stuck", 12.5, {"axis": "x", "error_nm": float("inf")})
    assert len(journal.rows.events()) == 2


def test_the_last_proposal_waits_until_it_is_answered(journal):
    rows = journal.rows
    assert rows.last_event("proposal") is None and rows.open_proposal() is None
    for number in (1, 2):
        journal.event("proposal", f"look {number}", time_s=1.0, data={"proposal": number})
        journal.event("advice", "look elsewhere", time_s=1.0)
        waiting = rows.open_proposal()
        assert waiting == rows.last_event("proposal") == rows.events("proposal")[-1]
        assert waiting.data == {"proposal": number}
        journal.event("answered", "of an earlier one", time_s=1.0, data={"proposal": number - 1})
        assert rows.open_proposal() == waiting
        journal.event("answered", "yes", time_s=1.0, data={"proposal": number})
        assert rows.open_proposal() is None


def test_the_last_proposal_is_found_from_the_end(journal):
    """However long the night: what SQLite does for it does not grow with the remarks before it."""
    done = []

    def steps_of_sqlite(before):
        for _ in range(before):
            journal.event("advice", "look", time_s=1.0)
        journal.event("proposal", "look", time_s=1.0, data={"proposal": 1})
        done.clear()
        journal.rows._database.set_progress_handler(lambda: done.append(1), 10)
        journal.rows.open_proposal()
        journal.rows._database.set_progress_handler(None, 0)
        return len(done)

    few = steps_of_sqlite(1)
    assert steps_of_sqlite(300) < few + 5  # in tens; all the remarks would be some hundred


def test_a_request_of_another_process_is_seen_and_answered(journal):
    code = (
        "import sys; from pathlib import Path; from archive.journal import Journal;"
        "j = Journal(Path(sys.argv[1])); print(j.request('pause', {'why': 'dewar'}, person='Ada')); j.close()"
    )
    out = subprocess.run([sys.executable, "-c", code, journal.path], check=True, capture_output=True, text=True)
    (request,) = journal.rows.requests("new")
    assert (request.id, request.kind, request.data, request.person) == (
        int(out.stdout),
        "pause",
        {"why": "dewar"},
        "Ada",
    )
    journal.answer(request.id, "done", "paused")
    assert journal.rows.requests("new") == ()
    assert journal.rows.requests()[0].reply == "paused"
    with pytest.raises(JournalError, match="request 9"):
        journal.answer(9, "done")


def test_flags_are_replaced_whole(journal):
    journal.flags([{"exposure": 1}, {"exposure": 2}])
    journal.flags([{"exposure": 2, "score": 3.5}])
    assert journal.rows.flags() == ({"exposure": 2, "score": 3.5},)


def test_a_journal_is_not_made_where_one_is_expected(tmp_path):
    with pytest.raises(JournalError, match="unable to open"):
        Journal(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("not a database, but long enough to be looked at as one\n" * 20)
    with pytest.raises(JournalError, match="not a database"):
        Journal(tmp_path / "text.sqlite")


def test_journal_and_folder_import_no_zarr():
    """`adaptem status` reads rows; zarr would cost it half a second."""
    code = "import sys, archive.folder, archive.journal; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
