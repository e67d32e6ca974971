"""The review page in a real browser: what a person at the keyboard gets."""

from __future__ import annotations

from review_chromium import judge_all, opened, saved  # isort: skip  # skips where there is no browser, before what needs it
from review_browser import served, survey

from review.judged import judged_in


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


def test_fifty_flags_take_at_most_75_keys_one_by_one(page, tmp_path):
    keys = 0

    with served(survey(tmp_path / "night", flags=50, controls=10, seeded=0)) as (study, server, _):
        opened(page, server)
        while True:
            judge_all(page, "15")
            page.keyboard.press("Enter")
            page.wait_for_url("**/result")
            keys += page_items(study) + 1
            if len(flags_judged(study)) == 50:
                break
            page.keyboard.press("Enter")  # the link to the next batch has the focus
            page.wait_for_selector("body[data-ready]")
            keys += 1
        assert keys <= 75, keys


def test_fifty_flags_among_sixty_controls_take_at_most_75_keys_many_at_once(page, tmp_path):
    """Whoever finds all of the flags interesting has the most to press: a letter each, and one key a screen."""
    keys = 0

    def press(key):
        nonlocal keys
        keys += 1
        page.keyboard.press(key)

    with served(survey(tmp_path / "night", flags=50, controls=60, seeded=0)) as (study, server, _):
        opened(page, server)
        press("g")
        while True:
            wanted = {item.id for item in study.journal.batches()[-1].items if item.data["flag"] is not None}
            while page.is_hidden("#done"):
                page.wait_for_function(LOOKED)
                for letter in page.evaluate(LETTERS, list(wanted)):
                    press(letter)
                press("x")
            press("Enter")
            page.wait_for_url("**/result")
            if len(flags_judged(study)) == 50:
                break
            press("Enter")
            page.wait_for_selector("body[data-ready]")
        assert keys <= 75, keys
        said = list(judged_in(study.journal))
        assert {(row.blind, row.swept) for row in said if row.place.flag} == {(4, False)}
        assert {(row.blind, row.swept) for row in said if not row.place.flag} == {(1, True)}
        assert len(said) == 110, len(said)


LOOKED = """() => [...document.querySelectorAll('#tiles li')].every(
  (tile) => tile.loadedMs && tile.visibleMs && performance.now() - Math.max(tile.loadedMs, tile.visibleMs) > 450)"""
LETTERS = """(wanted) => [...document.querySelectorAll('#tiles li')].filter(
  (tile) => wanted.includes(document.getElementById(`item-${Number(tile.dataset.index) + 1}`).dataset.item))
  .map((tile) => tile.letter)"""


def page_items(study):
    return len(study.journal.batches()[-1].items)


def flags_judged(study):
    return {row.place.key for row in judged_in(study.journal) if row.place.flag}


def test_a_sweep_judges_only_what_was_seen_and_is_undone_as_a_whole(page, tmp_path):
    held = []
    page.route("**/place/same", lambda route: held.append(route) if len(held) < 3 else route.continue_())
    with served(survey(tmp_path / "night")) as (study, server, _):  # 13 places; of three the picture does not come
        opened(page, server)
        page.keyboard.press("g")
        page.wait_for_function(
            "() => [...document.querySelectorAll('#tiles li')].filter((t) => t.loadedMs).length >= 10"
        )
        page.keyboard.press("x")  # too soon for all; on a slow computer some have been seen long enough
        assert "not judged" in page.inner_text("#screen-told")
        page.wait_for_timeout(600)
        page.keyboard.press("x")
        saved(page)
        events = study.journal.events()
        assert 10 <= len(events) < 13 and {(e.verdict, e.shown["how"], e.shown["seen"]) for e in events} == {
            (1, "sweep", True)
        }
        assert page.inner_text("#screen-told").startswith(f"{13 - len(events)} here not judged")
        assert page.is_hidden("#done")
        for _ in {e.shown["sweep"] for e in events}:
            page.keyboard.press("u")
        saved(page)
        assert [e.kind for e in study.journal.events()[len(events) :]] == ["undo"] * len(events)
        assert page.locator("#grid li[data-verdict='1']").count() == 0
        for route in held:
            route.continue_()
        page.wait_for_function(LOOKED)
        page.keyboard.press("a")
        page.keyboard.press("a")
        page.keyboard.press("x")
        page.wait_for_selector("#done:not([hidden])")
        assert page.get_attribute("#item-1", "data-verdict") == "5"


def test_after_a_reload_an_undo_takes_back_a_sweep_and_then_what_lay_beneath(page, tmp_path):
    with served(survey(tmp_path / "night", flags=3, controls=3, seeded=0)) as (study, server, _):
        opened(page, server)
        page.wait_for_selector("#place:not(.coming)")
        for key in ("4", "ArrowLeft", "5"):
            page.keyboard.press(key)
            page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press("g")
        page.wait_for_function(LOOKED)
        page.keyboard.press("x")
        saved(page)
        before = len(study.journal.events())

        def undone():
            page.keyboard.press("u")
            saved(page)
            shown = [page.get_attribute(f"#item-{number}", "data-verdict") for number in range(1, 7)]
            assert shown == [str(item["verdict"] or "") for item in study.blind(study.journal.batches()[0].id)]
            return shown

        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert undone() == ["5", "", "", "", "", ""]
        assert [event.kind for event in study.journal.events()[before:]] == ["undo"] * 5
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert undone() == ["4", "", "", "", "", ""] and undone() == [""] * 6


def test_what_a_screen_was_told_before_its_pictures_came_is_said_again_and_never_swept(page, tmp_path):
    held, later = [], []
    page.route("**/place/same", lambda route: route.continue_() if later else held.append(route))
    with served(survey(tmp_path / "night", flags=3, controls=3, seeded=0)) as (study, server, _):
        opened(page, server)
        page.keyboard.press("g")
        for letter in "abb":  # twice, and yet no more than interesting: there was nothing to see
            page.keyboard.press(letter)
        for key in ("ArrowRight", "2"):
            page.keyboard.press(key)
        assert [page.get_attribute(f"#item-{number}", "data-verdict") for number in (1, 2, 3)] == ["4", "4", "2"]
        later.append(True)
        for route in held:
            route.continue_()
        page.wait_for_function(LOOKED)
        page.keyboard.press("x")  # the rest, and what was called rather ordinary unseen
        assert page.inner_text("#screen-told").startswith("a, b: called interesting before the picture came")
        page.keyboard.press("a")
        page.keyboard.press("b")
        page.keyboard.press("b")
        page.wait_for_selector("#done:not([hidden])")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        assert [row.blind for row in judged_in(study.journal)] == [4, 5, 1, 1, 1, 1]


def test_a_place_whose_frame_is_missing_need_not_be_judged(page, tmp_path):
    with served(survey(tmp_path / "night", flags=2, controls=2, seeded=0)) as (study, server, _):
        page.goto(server.link(), wait_until="commit")
        item = study.journal.batches()[0].items[2].id
        page.route(f"**/picture/{item}/place/same", lambda route: route.fulfill(status=404))
        page.reload()
        page.wait_for_selector("body[data-ready]")
        for key in "14":
            page.wait_for_selector("#place:not(.coming)")
            page.keyboard.press(key)
        page.wait_for_function("() => document.getElementById('settings').textContent.includes('need not be judged')")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#place:not(.coming)")
        page.keyboard.press("1")
        page.wait_for_selector("#done:not([hidden])")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        assert [row.blind for row in judged_in(study.journal)] == [1, 4, 1]


def test_what_was_said_before_the_picture_came_is_asked_again_before_the_lock(page, tmp_path):
    held = []
    with served(survey(tmp_path / "night", flags=3, controls=2, seeded=0)) as (study, server, _):
        page.route("**/place/same", lambda route: held.append(route))
        opened(page, server)
        for _ in range(5):
            page.keyboard.press("4")
        assert "5 of them said before the picture came" in page.inner_text("#progress-words")
        page.keyboard.press("Enter")  # locks nothing
        page.unroute("**/place/same")
        page.reload()
        judge_all(page, "2")
        page.keyboard.press("Enter")
        page.wait_for_url("**/result")
        assert [row.blind for row in judged_in(study.journal)] == [2] * 5


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
        page.wait_for_function("() => document.getElementById('note-shown').textContent !== ''")
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
        page.wait_for_selector("#place:not(.coming)")
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
