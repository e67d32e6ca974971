"""The review page in a real browser: what a person at the keyboard gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("ADAPTEM_CHROMIUM") or shutil.which("chromium")
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip

if os.environ.get("ADAPTEM_BROWSER") == "required":  # as continuous integration says: then nothing here is skipped
    missing = [name for name in ("fastapi", "playwright") if find_spec(name) is None] + ["chromium"] * (not CHROMIUM)
    if missing:
        raise RuntimeError(f"the review page cannot be tested in a browser without {', '.join(missing)}")
pytest.importorskip("fastapi", reason="the extra 'review' is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (adaptem[dev])")

from review_browser import served, survey  # noqa: E402 - after what it needs is known to be there
from survey_samples import small  # noqa: E402

from configs.load import dump  # noqa: E402
from review.tally import judged_in  # noqa: E402

if CHROMIUM is None:
    pytest.skip("no chromium here (Debian: apt install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1360, "height": 860})
    opened = context.new_page()
    opened.outside, opened.errors = [], []
    opened.on("request", lambda request: opened.outside.append(request.url))
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    assert opened.errors == []
    context.close()


def saved(page):
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")


def opened(page, server):
    page.goto(server.link(), wait_until="domcontentloaded")
    page.wait_for_selector("body[data-ready]")


def test_from_the_link_to_the_first_saved_verdict_with_one_key(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        assert "press a key from 1 to 5" in page.inner_text("#next")
        page.keyboard.press("4")
        saved(page)
        (row,) = study.journal.events()
        assert (row.kind, row.verdict, row.phase) == ("verdict", 4, "blind")
        assert page.get_attribute("#item-1", "data-verdict") == "4"
        assert page.get_attribute("#item-2", "aria-selected") == "true"
        assert all(url.startswith(server.address) for url in page.outside)


def test_fifty_flags_take_at_most_75_keys(page, tmp_path):
    keys = 0

    def press(key):
        nonlocal keys
        keys += 1
        page.keyboard.press(key)

    with served(survey(tmp_path / "night", flags=50, controls=10, seeded=0)) as (study, server, _):
        opened(page, server)
        while True:
            for number in range(page.locator("#grid li").count()):
                press("15"[number % 2])
            press("Enter")
            page.wait_for_url("**/result")
            if len({row.place.key for row in judged_in(study.journal) if row.place.flag}) == 50:
                break
            press("Enter")  # the link to the next batch has the focus
            page.wait_for_selector("body[data-ready]")
        assert keys <= 75, keys


def test_a_burst_of_a_hundred_keys_loses_none(page, tmp_path):
    with served(survey(tmp_path / "night", flags=60, controls=40, seeded=0), size=120) as (study, server, _):
        opened(page, server)
        items = [item.id for item in study.journal.batches()[0].items]
        for number in range(100):
            page.keyboard.press(str(1 + number % 5))
        saved(page)
        events = study.journal.events()
        assert [(row.item, row.verdict) for row in events] == [(item, 1 + n % 5) for n, item in enumerate(items)]


def test_labels_wait_in_the_browser_while_the_server_is_gone(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        page.context.set_offline(True)
        for key in "1234":
            page.keyboard.press(key)
        page.wait_for_selector("#saved.waiting")
        assert page.inner_text("#saved").startswith("4 not saved yet") and study.journal.events() == ()
        assert page.get_attribute("#item-4", "data-verdict") == "4"
        page.context.set_offline(False)
        saved(page)
        assert [row.verdict for row in study.journal.events()] == [1, 2, 3, 4]


def test_undo_note_zoom_contrast_and_help(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        for key in ("5", "u", "2", "ArrowLeft", "n"):
            page.keyboard.press(key)
        page.keyboard.type("<b>bent</b> 5u")
        page.keyboard.press("Control+Enter")
        saved(page)
        assert [(row.kind, row.verdict, row.text) for row in study.journal.events()] == [
            ("verdict", 5, None), ("undo", None, None), ("verdict", 2, None), ("note", None, "<b>bent</b> 5u")
        ]  # fmt: skip
        assert page.inner_text("#note-shown") == "<b>bent</b> 5u"
        page.keyboard.press("z")
        page.keyboard.press("c")
        assert page.inner_text("#settings") == "2×, contrast of its own"
        page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press("d")
        page.wait_for_function("() => document.getElementById('channels').naturalWidth === 3 * 240")  # HAADF, BF, FFT
        page.keyboard.press("?")
        assert page.is_visible("#help")
        page.keyboard.press("3")  # no verdict while help is open
        page.keyboard.press("Escape")
        assert page.get_attribute("#item-1", "data-verdict") == "2"
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.get_attribute("#item-1", "data-verdict") == "2"


def test_a_verdict_is_seen_at_once(page, tmp_path):
    """From the key to the mark in the page, without the server: in the same turn of the browser's loop."""
    with served(survey(tmp_path / "night")) as (_, server, _browser):
        opened(page, server)
        seen = page.evaluate(
            "() => { document.dispatchEvent(new KeyboardEvent('keydown', {key: '3', bubbles: true}));"
            " return document.querySelector('#item-1 .mark').textContent; }"
        )
        assert seen == "3"
        saved(page)


def test_a_verdict_on_a_picture_that_had_not_come_is_marked(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        held = []
        page.route("**/place/same", lambda route: held.append(route))
        opened(page, server)
        page.keyboard.press("1")
        saved(page)
        page.unroute("**/place/same")
        page.reload()
        page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press("1")
        saved(page)
        assert [row.shown["seen"] for row in study.journal.events()] == [False, True]


def test_more_like_this_is_asked_for_after_the_reveal(page, tmp_path):
    with served(survey(tmp_path / "night")) as (study, server, _):
        opened(page, server)
        for _ in range(page.locator("#grid li").count()):
            page.keyboard.press("5")
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
        for number in range(page.locator("#grid li").count()):
            page.keyboard.press("15"[number % 2])
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        look("result")
        for path in ("/figures", "/figures/terms", "/live", "/"):
            page.goto(server.address + path)
            if path == "/live":
                page.wait_for_selector("body[data-steps]")
            look(path)
    assert found == {name: [] for name in found} and len(found) == 9
