"""Labels as they come in: each is kept or refused by itself, and the answer says which and why."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import event, served, survey


def sent(browser, events, **more):
    status, _, answer = browser.ask("/api/events", "POST", {"events": events, **more})
    return status, json.loads(answer)


def test_one_that_cannot_be_kept_holds_up_no_other(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, browser):
        batch = browser.batch()
        one, two = (item["id"] for item in browser.items(batch)[:2])
        good = [event(batch, one, verdict=2), event(batch, two, verdict=4)]
        strange, torn = event("0" * 32, "1" * 32, verdict=1), event(batch, one, verdict=9)
        status, told = sent(browser, [strange, good[0], torn, {"id": "\ud800", "\ud800": 1e999}, good[1]])
        assert status == 200 and told["kept"] == [each["id"] for each in good]
        assert [each["id"] for each in told["refused"]] == [strange["id"], torn["id"], "?"]
        assert "not among the labels" in told["refused"][0]["why"] and "verdict" in told["refused"][1]["why"]
        assert [row.verdict for row in study.journal.events()] == [2, 4]
        assert sent(browser, [strange, good[0]])[0] == 200 and len(study.journal.events()) == 2  # again: kept once
        assert sent(browser, [strange])[0] == 422


def test_a_batch_is_not_locked_over_a_label_that_was_refused(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, browser):
        batch = browser.batch()
        item = browser.items(batch)[0]["id"]
        torn, lock = event(batch, item, verdict=9), event(batch, None, "lock")
        _, told = sent(browser, [event(batch, item, verdict=2), torn, lock])
        assert [each["id"] for each in told["refused"]] == [torn["id"], lock["id"]] and not study.is_locked(batch)
        assert sent(browser, [lock])[0] == 200 and study.is_locked(batch)


def test_labels_of_another_survey_are_left_to_it(tmp_path):
    """409, after which a browser keeps them: the same port may serve another survey by now."""
    with served(survey(tmp_path / "one")) as (study, _, _browser):
        theirs = study.journal.id
    with served(tmp_path / "one") as (study, _, browser):
        assert study.journal.id == theirs  # it stays with the file
        batch = browser.batch()
        told = [event(batch, browser.items(batch)[0]["id"], verdict=2)]
        assert sent(browser, told, journal=theirs)[0] == 200
    with served(survey(tmp_path / "two")) as (study, _, browser):
        assert (
            study.journal.id != theirs and f'data-journal="{study.journal.id}"' in browser.ask("/figures")[2].decode()
        )
        assert sent(browser, told, journal=theirs)[0] == 409 and study.journal.events() == ()
