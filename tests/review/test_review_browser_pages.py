"""The other pages of the review in a real browser: what was asked more of, the atlas, the night, and who hears them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from review_chromium import judge_all, opened  # isort: skip  # skips where there is no browser, before what needs it
from review_browser import served, survey
from review_samples import MadeUp
from survey_samples import small

from configs.load import dump


def test_more_like_this_is_asked_for_after_the_reveal(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        judge_all(page, "5")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        assert page.locator(".more").count() == 6  # flags alone: neither controls nor seeded positives
        page.locator(".more").first.click()
        page.fill("#called", "<b>void</b>")
        page.click("#wanting button[value=keep]")
        page.wait_for_function("() => document.querySelector('.called').textContent === '<b>void</b>'")
        ((item, name),) = study.journal.wanted()
        assert name == "<b>void</b>" and item.data["flag"]["rank"] == 1
        page.reload()
        page.locator(".more").first.click()
        page.click("#no-more")
        page.wait_for_function("() => document.querySelector('.called').textContent === ''")
        assert study.journal.wanted() == ()


def test_the_atlas_is_walked_through_by_mouse_list_and_link(page, tmp_path):
    said = []
    with served(survey(tmp_path / "night")) as (_, server, _browser):
        opened(page, server)
        page.on("console", lambda message: "/picture/" in message.location["url"] or said.append(message.text))
        page.click("text=Atlas")  # of the batch's own pictures one is not there, and may still say so
        page.wait_for_selector("body[data-whole]")
        assert page.inner_text("[data-count=visited]") == "13" and page.inner_text("[data-count=flagged]") == "0"
        page.wait_for_selector("canvas.boxes[data-drawn]")
        page.select_option("#site-list", index=3)
        page.wait_for_function("() => document.getElementById('chosen-picture').naturalWidth > 0")
        title, link = page.inner_text("#chosen-title"), page.url
        assert title.endswith("visited") and "#" in link
        page.goto(server.address + "/figures")
        page.goto(link)
        page.wait_for_selector("#chosen:not([hidden])")
        assert page.inner_text("#chosen-title") == title
        page.wait_for_timeout(600)  # the zoom to it comes to rest: it is then in the middle
        page.evaluate("() => document.getElementById('chosen').hidden = true")
        box = page.locator("#atlas").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector("#chosen:not([hidden])")
        before = page.evaluate("() => atlas.drawn()")
        page.uncheck("#layers input[value=visited]")
        assert page.evaluate("() => atlas.drawn()") > before
        assert said == []
        assert all(url.startswith(server.address) for url in page.outside)


@pytest.fixture
def asking(tmp_path):
    """A survey in a process of its own, which asks before every action."""
    path = tmp_path / "survey.yaml"
    path.write_text(dump(small(autonomy="confirm", confirm_deadline_s=120.0)), encoding="utf-8")
    words = [sys.executable, "-m", "console.main", "survey", str(path), "--out", str(tmp_path / "night"), "--json"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end_s = time.monotonic() + 60
        while (
            not (tmp_path / "night" / "journal.sqlite").is_file() or not (tmp_path / "night" / "health.json").is_file()
        ):
            assert time.monotonic() < end_s and process.poll() is None, "the survey did not begin"
            time.sleep(0.1)
        yield tmp_path / "night", process
    finally:
        process.terminate()
        process.wait(60)


def test_a_running_survey_is_watched_in_seven_tabs_approved_and_stopped(page, asking):
    """Seven: a stream a tab would fill the six connections that a browser has for one server."""
    folder, process = asking
    with served(folder) as (_, server, _browser):
        page.goto(server.link())
        page.goto(server.address + "/live")
        page.wait_for_selector("#proposal:not([hidden])")
        tabs = [page.context.new_page() for _ in range(6)]
        for tab in tabs:
            tab.goto(server.address + "/live")
            tab.wait_for_selector("body[data-ready]")
        page.click("[data-ask=approve]")
        for tab in (page, *tabs):
            tab.wait_for_function("() => Number(document.body.dataset.steps) >= 1")
        assert sum(tab.evaluate("() => document.body.dataset.stream === 'yes'") for tab in (page, *tabs)) == 1
        page.close()  # the next tab takes the stream over, and nothing is lost
        tab = tabs[0]
        tab.wait_for_selector("#proposal:not([hidden])")
        tab.wait_for_function("() => document.getElementById('proposal-words').textContent.startsWith('proposal 2:')")
        tab.click("[data-ask=approve]")
        tab.wait_for_function("() => Number(document.body.dataset.steps) >= 2")
        tab.click("#stop")
        tab.click("#stopping button[value=stop]")
        assert process.wait(60) in (0, 5)
        assert "stopped by" in (folder / "report.html").read_text()


def test_what_another_tab_hears_while_this_one_reads_up_is_not_lost(page, tmp_path):
    """The second tab's news of the past is held back; what comes meanwhile comes by the first tab's stream alone."""
    made = MadeUp(tmp_path / "night")
    made.event("start", "survey begins")
    made.look()
    with served(tmp_path / "night") as (_, server, _browser):
        page.goto(server.link())
        page.goto(server.address + "/live")
        page.wait_for_selector("body[data-stream]")
        tab, held = page.context.new_page(), []
        tab.route("**/api/news", lambda route: held.append((route, route.fetch())))  # as it was then
        tab.goto(server.address + "/live")
        tab.wait_for_timeout(300)
        made.look()
        made.look()
        page.wait_for_function("() => document.body.dataset.steps === '3'")
        ((route, answer),) = held
        route.fulfill(response=answer)
        tab.wait_for_function("() => document.body.dataset.steps === '3'")
        assert tab.locator("#log li").count() == page.locator("#log li").count() == 4
    made.close()


def test_every_page_is_usable_by_who_hears_or_types_it(page, tmp_path):
    """axe-core (WCAG 2 A and AA) finds nothing."""
    axe = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
    found = {}

    def look(name):
        page.evaluate(axe)
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
        told = page.evaluate("(rules) => axe.run(document, rules)", rules)
        found[name] = [(one["id"], one["nodes"][0]["html"][:120]) for one in told["violations"]]

    with served(survey(tmp_path / "night")) as (_, server, _browser):
        opened(page, server)
        look("judge")
        page.keyboard.press("g")
        page.wait_for_function("() => [...document.querySelectorAll('#tiles li')].every((tile) => tile.loadedMs)")
        look("many at once")
        page.keyboard.press("g")
        page.keyboard.press("?")
        look("help")
        page.keyboard.press("Escape")
        page.goto(server.address + "/live")
        page.wait_for_selector("body[data-ready]")
        look("night, before")
        page.goto(server.address + "/atlas")
        page.wait_for_selector("body[data-whole]")
        page.select_option("#site-list", index=0)
        look("atlas")
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        judge_all(page, "15")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        look("result")
        for path in ("/figures", "/figures/terms", "/live", "/"):
            page.goto(server.address + path)
            if path == "/live":
                page.wait_for_selector("body[data-steps]")
            look(path)
    assert found == {name: [] for name in found} and len(found) == 10
