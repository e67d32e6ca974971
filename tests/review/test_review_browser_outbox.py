"""The browser's outbox at one address that serves several surveys, and what the server can never keep."""

from __future__ import annotations

from contextlib import contextmanager

from review_chromium import judge_all, opened, saved  # isort: skip  # skips where there is no browser, before what needs it
from review_browser import served, survey

from review.serving import Bound, serving
from review.study import Study


@contextmanager
def at(folder, port=0):
    study = Study(folder)
    with serving(study, Bound(port=port), "Ada") as server:
        yield study, server


def test_labels_of_one_survey_wait_for_it_and_hold_up_no_other(page, tmp_path):
    """One address, as it is by default: A's label waits, B is judged and locked, A's comes when A is served again."""
    one, two = survey(tmp_path / "one"), survey(tmp_path / "two")
    with at(one) as (study, server):
        port = int(server.address.rsplit(":", 1)[1])
        opened(page, server)
        page.context.set_offline(True)
        page.keyboard.press("4")
        page.wait_for_selector("#saved.waiting")
        assert study.journal.events() == ()
    page.context.set_offline(False)
    with at(two, port) as (study, server):
        page.wait_for_function("() => document.getElementById('saved').textContent.includes('signed out')")
        other = page.context.new_page()
        opened(other, server)
        page.wait_for_function("() => document.getElementById('saved').textContent.includes('another survey')")
        judge_all(other, "2")
        other.keyboard.press("Enter")
        other.wait_for_url("**/result")
        saved(other)
        assert {row.verdict for row in study.journal.events()} == {2, None}
        other.close()
    with at(one, port) as (study, server):
        opened(page, server)
        saved(page)
        assert [row.verdict for row in study.journal.events()] == [4]
        assert page.is_hidden("#refused")


def test_labels_that_an_earlier_version_kept_are_sent_where_they_belong(page, tmp_path):
    """It kept them without the name of their survey: this one's are sent, another's stay as they are."""
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        page.evaluate(
            """([batch, item]) => {
              const shown = { contrast: 'same', zoom: 1, looked_s: 1, seen: true };
              const put = (number, batch, item) => localStorage.setItem(`adaptem-label:${number}:x`,
                JSON.stringify({ id: crypto.randomUUID(), batch, item, kind: 'verdict', verdict: 5, shown }));
              put(1, batch, item);
              put(2, '0'.repeat(32), '1'.repeat(32));
            }""",
            [study.journal.batches()[0].id, study.journal.batches()[0].items[0].id],
        )
        page.reload()
        page.wait_for_function("() => !localStorage.getItem('adaptem-label:1:x')")
        assert [row.verdict for row in study.journal.events()] == [5]
        page.wait_for_load_state("networkidle")
        assert page.evaluate("() => localStorage.getItem('adaptem-label:2:x') !== null") and page.is_hidden("#refused")


def test_what_is_refused_is_set_aside_where_one_sees_it(page, tmp_path):
    """A label that this journal cannot keep, and one that is damaged, amid good ones; nothing of it is thrown away."""
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        page.evaluate(
            """() => {
              const shown = { contrast: 'same', zoom: 1, looked_s: 1, seen: true };
              const put = (number, text) => localStorage.setItem(
                `adaptem-label:${document.documentElement.dataset.journal}:${number}:x`, text);
              put(1, JSON.stringify({ id: crypto.randomUUID(), batch: '0'.repeat(32), item: '1'.repeat(32),
                                      kind: 'verdict', verdict: 5, shown }));
              put(2, '{torn');
            }"""
        )
        count = page.locator("#grid li").count()
        judge_all(page, "3")
        saved(page)
        assert page.inner_text("#refused") == "2 refused" and len(study.journal.events()) == count
        page.click("#refused")
        assert "verdict 5: its batch or place is not among the labels kept here" in page.inner_text("#refused-list")
        page.keyboard.press("Escape")
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.inner_text("#refused") == "2 refused"
        page.click("#refused")
        with page.expect_response("**/api/events") as answer:
            page.click("#refusing button[value=again]")
        assert answer.value.status == 422
        page.wait_for_function("() => document.getElementById('refused').textContent === '2 refused'")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")  # they are no part of this batch
        page.click("#refused")
        page.click("#refusing button[value=discard]")
        page.wait_for_selector("#refused", state="hidden")
        assert len(study.journal.events()) == count + 1
