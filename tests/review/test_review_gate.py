"""Who is let in to the review page, and what it answers to whoever tries."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import Browser, event, served, survey
from starlette.datastructures import Headers

from archive.labels import LabelJournal
from configs.errors import ConfigError
from review.gate import SESSION, Doors
from review.serving import Bound, Server
from review.study import Study

STATIC = Path(__file__).resolve().parents[2] / "review" / "static"
TEMPLATES = STATIC.with_name("templates")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = survey(tmp_path_factory.mktemp("gate") / "night", reason="<script>alert('reason')</script>")
    with served(folder, reviewer="<script>alert('reviewer')</script>") as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/", "/figures", "/static/batch.js", f"/batches/{'0' * 32}", "/api/events", "/nowhere"]
)
def test_without_a_cookie_nothing_is_answered(running, path):
    _, server, _ = running
    stranger = Browser(server)
    assert stranger.ask(path)[0] == 401
    stranger.cookie = f"adaptem_review_{stranger.port}=guess"
    assert stranger.ask(path)[0] == 401


def test_a_link_admits_one_browser_once(running):
    _, server, _ = running
    link = server.link()
    first, second = Browser(server), Browser(server)
    assert first.sign_in(link) == 303
    assert second.sign_in(link) == 401
    assert first.ask("/figures")[0] == 200
    status, headers, _ = Browser(server).ask(server.link().removeprefix(server.address))
    assert status == 303 and re.search(r"HttpOnly.*SameSite=strict", headers["set-cookie"], re.IGNORECASE)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
def test_another_name_is_refused_also_with_the_cookie(running, host):
    assert running[2].ask("/", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost:9101", "127.0.0.1", "[::1]:80"])
def test_a_tunnel_may_end_at_another_port(running, host):
    assert running[2].ask("/figures", Host=host)[0] == 200


def test_writes_from_elsewhere_are_refused(running):
    _, server, browser = running
    batch = browser.batch()
    body = {"events": [event(batch, browser.items(batch)[0]["id"], verdict=3)]}
    for headers in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"},
                    {"Sec_Fetch_Site": "same-site"}, {"Origin": "null"}):  # fmt: skip
        assert browser.ask("/api/events", "POST", body, **headers)[0] == 403
    assert browser.items(batch)[0]["verdict"] is None
    assert browser.ask("/api/events", "POST", body, Origin=server.address, Sec_Fetch_Site="same-origin")[0] == 200


def test_what_is_not_understood_is_refused(running):
    _, _, browser = running
    batch = browser.batch()
    item = browser.items(batch)[0]["id"]
    good = event(batch, item, verdict=3)
    for wrong in ({"verdct": 3}, {"verdict": 6}, {"verdict": "3"}, {"verdict": None}, {"kind": "erase"},
                  {"phase": "blind"},
                  {"id": "1"}, {"item": "../labels"}, {"kind": "lock"}, {"text": "x" * 5000}, {"utc": "2020"},
                  {"shown": {"contrast": "same", "zoom": 1, "looked_s": float("nan"), "seen": True}}):  # fmt: skip
        assert browser.post(good | wrong) == 422, wrong
    assert browser.ask("/api/events", "POST", {"events": []})[0] == 422
    assert browser.ask("/api/events", "POST", b"{", Content_Type="application/json")[0] == 422
    assert browser.ask("/api/events", "POST", {"events": [good]}, Content_Type="text/plain")[0] == 422
    assert browser.post(event("0" * 32, None, "lock")) == 422
    assert browser.ask("/api/events", "DELETE")[0] == 405


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static/....//server.py",
     "/picture/..%2f..%2fjournal.sqlite/thumb/same", "/picture/../labels.sqlite", "/batches/..%2flabels.sqlite",
     f"/picture/{'0' * 32}/thumb/same"],
)  # fmt: skip
def test_no_path_leads_out(running, path):
    assert running[2].ask(path)[0] in (404, 422)


def test_every_answer_keeps_the_page_alone(running):
    _, server, browser = running
    for asked in (browser, Browser(server)):
        for path in ("/", "/figures", "/static/batch.js", "/nowhere"):
            headers = asked.ask(path)[1]
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "server" not in headers


def test_nothing_is_fetched_from_elsewhere():
    """What is vendored names its home in comments; that it fetches nothing is seen in a browser."""
    for path in (*STATIC.glob("*"), *TEMPLATES.rglob("*")):
        if path.is_file() and path.suffix in (".js", ".css", ".html") and path.name != "report.html":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"https?://", text), path
            assert not re.search(r"\son\w+=|style=|<script>|innerHTML|eval\(", text), path


def test_hostile_words_are_shown_as_text(running):
    _, _, browser = running
    hostile = "</textarea><script>alert('note')</script>\" onload=\"x"
    assert browser.ask("/api/reviewer", "POST", {"name": hostile[:80]})[0] == 200
    batch = browser.batch()
    items = browser.items(batch)
    assert browser.post(*(event(batch, item["id"], "note", text=hostile) for item in items)) == 200
    pages = [browser.ask(f"/batches/{batch}")[2]]
    assert browser.post(*(event(batch, item["id"], verdict=4) for item in items), event(batch, None, "lock")) == 200
    pages += [browser.ask(f"/batches/{batch}/result")[2], browser.ask("/figures")[2]]
    for page in pages:
        text = page.decode()
        assert "alert(" in text and "<script>" not in text and 'onload="' not in text
    assert "alert(&#39;reason&#39;)" in pages[1].decode()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.4", "microscope.example"])  # noqa: S104
def test_other_computers_need_a_flag(tmp_path, host):
    study = Study(survey(tmp_path / "night"))
    with pytest.raises(ConfigError, match="--allow-remote"):
        Server(study, Bound(host=host, port=0), "Ada")
    study.close()


def test_a_session_outlives_the_server_and_not_the_day(tmp_path):
    now = datetime(2026, 11, 3, 8, 0, tzinfo=UTC)
    clock = [now]
    journal = LabelJournal(tmp_path / "labels.sqlite", now_utc=lambda: clock[0])
    doors = Doors(journal, 8765, lambda: clock[0])
    secret = doors.admit(doors.new_link())
    assert secret and doors.admit("guess") is None
    cookie = Headers({"cookie": f"other=1; adaptem_review_8765={secret}"})
    assert Doors(journal, 8765, lambda: clock[0]).knows(cookie)
    assert not Doors(journal, 8766, lambda: clock[0]).knows(cookie)
    assert secret.encode() not in (tmp_path / "labels.sqlite-wal").read_bytes()
    clock[0] = now + SESSION + timedelta(seconds=1)
    assert not doors.knows(cookie)
    journal.close()


def test_more_is_asked_only_of_what_the_policy_chose_and_after_the_reveal(tmp_path):
    with served(survey(tmp_path / "night")) as (study, _, browser):
        batch = browser.batch()
        ids = {study.journal.item(item["id"]).place: item["id"] for item in browser.items(batch)}
        flag = next(ids[place.key] for place in study.places if place.trains)
        control = next(ids[place.key] for place in study.places if not place.trains)
        wish = {"id": "0" * 8 + "-0000" * 3 + "-" + "0" * 12, "name": "void"}

        def want(**changes):
            return browser.ask("/api/wanted", "POST", wish | changes)[0]

        assert want(item=flag) == 409  # not locked yet
        browser.post(event(batch, None, "lock"))
        assert want(item=control) == 422 and want(item="0" * 32) == 404 and want(item=flag, more=1) == 422
        assert study.journal.wanted() == ()
        assert want(item=flag) == 200 and [name for _, name in study.journal.wanted()] == ["void"]
