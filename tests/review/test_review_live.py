"""The live view: a stream that loses nothing, requests that the runner reads, controls that stay unseen."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import closing, contextmanager

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import event, served, survey
from survey_samples import small

from archive.reader import SurveyReader
from instruments.clock import RealClock
from review.live import Cursor, told_of
from surveys.night import open_night
from surveys.runner import run_survey


def stream(browser, after="", last=None, until=lambda found: False, limit_s=20.0):
    """Server-sent events as (id, kind, body) until a condition holds."""
    connection = http.client.HTTPConnection(browser.host, int(browser.port), timeout=limit_s)
    headers = {"Cookie": browser.cookie} | ({"Last-Event-ID": last} if last else {})
    found, fields, until_s = [], {}, time.monotonic() + limit_s
    with closing(connection):
        connection.request("GET", f"/api/stream?after={after}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.getheader("content-type").startswith("text/event-stream")
        assert answer.getheader("cache-control") == "no-store"
        while time.monotonic() < until_s:
            line = answer.readline().decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "id" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
                if until(found):
                    break
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    with served(survey(tmp_path_factory.mktemp("live") / "night")) as found:
        yield found


def test_every_row_comes_once_and_a_browser_that_comes_back_gets_the_rest(ended):
    study, _, browser = ended
    with SurveyReader(study.folder) as reader:
        count = len(list(reader.steps())) + len(reader.events())
    whole = stream(browser, until=lambda found: len(found) == count)
    assert len({number for number, _, _ in whole}) == count
    for cut in (1, 5, count - 1):
        rest = stream(browser, last=whole[cut - 1][0], until=lambda found, cut=cut: len(found) == count - cut)
        assert rest == whole[cut:]
    assert Cursor.of("1-2") == Cursor.of("a-b-c") == Cursor.of("-1-0-0") == Cursor()


def test_after_the_end_nothing_of_decisions_is_told_to_who_has_still_to_judge(tmp_path):
    """Neither by the stream nor by frames; once all is judged it is."""
    with served(survey(tmp_path / "night"), size=50) as (study, _, browser):
        said = json.loads(browser.ask("/api/news")[2])
        steps = [one["body"] for one in said if one["kind"] == "step"]
        assert {key for step in steps for key in step} == {
            "seq", "number", "specimen", "kind", "look", "skill", "start_s", "end_s", "electrons", "fault"
        }  # fmt: skip
        shown = next(place.exposure_id for place in study.places if place.trains)
        assert browser.ask(f"/live/frame/{shown}")[0] == 404
        assert b"Judge first" in browser.ask("/live")[2]
        browser.post(event(browser.batch(), None, "lock"))
        steps = [one["body"] for one in json.loads(browser.ask("/api/news")[2]) if one["kind"] == "step"]
        assert any("reason" in step for step in steps)
        assert browser.ask(f"/live/frame/{shown}")[0] == 200


def test_a_control_is_told_without_its_place_and_without_its_frame(ended):
    study, _, browser = ended
    with SurveyReader(study.folder) as reader:
        control = next(step for step in reader.steps() if step.kind == "control")
    for hidden in (True, False):
        told = told_of(control, hidden=hidden)
        assert not {"target", "stage", "exposure", "reason", "interest", "candidates"} & set(told)
    assert browser.ask(f"/live/frame/{control.shown.exposure.id}")[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "pause"}, 409),  # nothing runs
        ({"kind": "fire"}, 422),
        ({"kind": "pause", "more": 1}, 422),
        ({"kind": "look_here"}, 422),
        ({"kind": "look_here", "x_nm": 1e999, "y_nm": 0.0}, 422),
        ({"kind": "approve"}, 422),
    ],
)
def test_what_cannot_be_asked_is_refused(ended, body, status):
    _, _, browser = ended
    assert browser.ask("/api/requests", "POST", body)[0] == status
    assert browser.ask("/api/requests", "POST", body, Origin="http://evil.example")[0] == 403


@contextmanager
def running(folder, **changes):
    """A survey in a thread of its own, and a browser beside it."""
    found, begun = {}, threading.Event()

    def run():  # SQLite's connections are that thread's
        found["night"] = night = open_night(small(**changes), folder, people=RealClock())
        begun.set()
        found["summary"] = run_survey(night)

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(30)
    with served(folder) as (_, _, browser):
        try:
            yield browser
        finally:
            found["night"].stop.set()
            thread.join(60)


def until(condition, limit_s=20.0):
    end_s = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come to that in time"
        time.sleep(0.05)
    return found


def test_a_running_survey_is_approved_redirected_paused_and_stopped_from_the_browser(tmp_path):
    folder = tmp_path / "night"
    with running(folder, autonomy="confirm", confirm_deadline_s=60.0) as browser:

        def now():
            return json.loads(browser.ask("/api/live")[2])

        def asks(number):
            return until(lambda: (told := now()) and (told["asks"] or "").startswith(f"proposal {number}:") and told)

        def ask(**body):
            status, _, answer = browser.ask("/api/requests", "POST", body)
            assert status == 200, answer
            return json.loads(answer)

        assert asks(1)["running"] is True and b"It asks" in browser.ask("/live")[2]
        ask(kind="approve", proposal=1)
        ask(kind="reject", proposal=1)  # at the same moment, or too late: either way not done
        asks(2)
        answers = [(row["kind"], row["state"]) for row in now()["requests"]]
        assert answers == [("approve", "done"), ("reject", "refused")]
        ask(kind="look_here", x_nm=-70.0, y_nm=70.0)  # redirects: the proposal is withdrawn
        asks(3)
        with SurveyReader(folder) as reader:
            person = [step for step in reader.steps() if step.decision.decided_by == "person"]
            assert [step.decision.person for step in person] == ["Ada"] and person[0].look == "detail"
            assert any("withdrawn" in row.message for row in reader.events("answered"))
        ask(kind="reject", proposal=3)
        asks(4)
        elsewhere = {"kind": "look_here", "x_nm": 70.0, "y_nm": -70.0, "specimen": "the one before"}
        assert browser.ask("/api/requests", "POST", elsewhere)[0] == 409
        ask(kind="skip", x_nm=70.0, y_nm=-70.0, specimen=now()["specimen"])
        ask(kind="pause")
        until(lambda: "paused" in now()["state"])
        ask(kind="resume")
        asks(5)
        heard = [body for _, kind, body in stream(browser, until=lambda f: len([1 for g in f if g[1] == "request"]) > 6)
                 if kind == "request"]  # fmt: skip
        assert [row["kind"] for row in heard] == ["approve", "reject", "look_here", "reject", "skip", "pause", "resume"]
        assert {row["person"] for row in heard} == {"Ada"}
        states = {row["kind"]: row["state"] for row in now()["requests"]}
        assert states["skip"] == states["approve"] == "done" and states["look_here"] == "accepted"
        assert set(ask(kind="stop")) == {"request"}  # a row alone, and no signal: this very process would end
        until(lambda: now()["state"] == "ended: stopped by Ada")
