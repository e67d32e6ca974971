"""A review that was opened while the survey ran: what it tells then, and what it must not tell after the end."""

from __future__ import annotations

import io
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from review_browser import CONTROL, event, served
from review_samples import MadeUp, flag
from test_review_live import stream, until

from configs.errors import ConfigError
from envs.step import Purpose
from review.feature import Feature
from review.live_routes import _STATUS_S
from review.seeding import sow
from review.study import Study
from surveys.places import Place

TOLD_OF_PLACES = {"target", "stage", "exposure", "reason", "interest", "candidates"}


class Night:
    """Four looks, one of them a random control; it runs until ``end``."""

    def __init__(self, path):
        self.made = MadeUp(path, specimens=[{"name": "a", "area": {"width_nm": 200.0, "height_nm": 200.0}}])
        self.made.event("start", "survey begins")
        self.made.look(Purpose.SURVEY)
        self.looked = self.made.look(x_nm=10.0, target=5)

    def control(self):
        return self.made.look(Purpose.CONTROL, tag=CONTROL, x_nm=30.0, target=6)

    def says_its_last(self):
        site = {"target": 5, "x_nm": 10.0, "y_nm": 0.0, "width_nm": 50.0, "height_nm": 50.0}
        self.made.record.flags([flag(self.looked, 1, x_nm=10.0, sites=[site])])
        self.made.event("end", "done", reason="complete")

    def end(self):
        self.says_its_last()
        self.made.close()


@pytest.fixture
def night(tmp_path):
    made = Night(tmp_path / "night")
    yield made
    made.made.close()


def told(browser):
    found = json.loads(browser.ask("/api/news")[2])
    return [each["body"] for each in found if each["kind"] == "step"], [
        each["body"] for each in found if each["kind"] == "event"
    ]


def test_decisions_are_hidden_from_the_moment_of_the_end(night, tmp_path):
    with served(tmp_path / "night") as (_, _, browser):
        steps, _ = told(browser)
        assert "reason" in steps[1]  # who watches sees it
        night.made.event("advice", "look at place 5 in detail", reason="bright")
        night.made.event("expectation", "place 5 departs")
        night.made.event("fault", "StageError: at place 5", error="StageError")
        assert json.loads(browser.ask("/api/live")[2])["last_fault"] == "StageError: at place 5"
        night.end()
        time.sleep(_STATUS_S + 0.1)
        now = json.loads(browser.ask("/api/live")[2])
        assert now["faults"] == 1 and "place 5" not in json.dumps(now) and now["last_fault"] == "StageError"
        steps, events = told(browser)
        assert len(steps) == 2 and not any(TOLD_OF_PLACES & set(step) for step in steps)
        assert [(row["kind"], row["message"]) for row in events] == [
            ("start", "survey begins"), ("fault", "StageError"), ("end", "done")
        ]  # fmt: skip
        assert browser.ask(f"/live/frame/{night.looked}")[0] == 404 and b"Judge first" in browser.ask("/live")[2]
        browser.post(event(browser.batch(), None, "lock"))
        steps, events = told(browser)
        assert "reason" in steps[1] and len(events) == 5 and browser.ask(f"/live/frame/{night.looked}")[0] == 200


def test_an_open_stream_stops_telling_at_the_end(night, tmp_path):
    with served(tmp_path / "night") as (_, _, browser):
        found = []

        def last(rows):
            found.append(rows[-1])
            return rows[-1][2].get("seq") == 3

        whole = threading.Thread(target=stream, args=(browser,), kwargs={"until": last}, daemon=True)
        whole.start()
        until(lambda: len(found) == 3)
        night.says_its_last()  # it still holds the folder, as a runner does that writes its report
        night.made.event("advice", "look at place 7 in detail")
        night.made.look(x_nm=20.0, target=7)
        whole.join(30)
        assert "reason" in found[2][2] and not TOLD_OF_PLACES & set(found[-1][2])
        assert [body["kind"] for _, kind, body in found if kind == "event"] == ["start", "end"]


def test_what_was_decided_in_a_survey_that_was_cut_off_waits_for_its_end(night, tmp_path):
    """Its flags are not known yet: no place is left to judge, and yet there will be some."""
    night.made.close()
    with served(tmp_path / "night") as (study, _, browser):
        assert study.left_for("Ada") == 0
        assert not any(TOLD_OF_PLACES & set(step) for step in told(browser)[0])
        assert b"This survey was cut off" in browser.ask("/live")[2]


def test_a_survey_that_was_cut_off_is_neither_judged_nor_seeded(night, tmp_path):
    """What a close look shows, and what is ordinary, is not known before its flags are."""
    night.control()
    night.made.close()
    with served(tmp_path / "night") as (study, _, browser):
        assert study.batch_for("Ada") is None
        page = browser.ask("/")[2]
        assert b"This survey was cut off" in page and b"adaptem resume" in page and b"adaptem end" in page
        with pytest.raises(ConfigError, match=r"was cut off \(`adaptem resume"):
            sow(study, [tmp_path / "night"])


def test_a_seeded_place_that_a_resumed_survey_flags_is_seeded_no_more(night, tmp_path):
    night.made.event("end", "stopped", reason="stopped")
    study = Study(tmp_path / "night")
    ordinary = {"specimen": "a", "x_nm": 0.0, "y_nm": 0.0, "width_nm": 50.0, "height_nm": 50.0, "exposure_id": 2,
                "streams": ("seeded",), "near": True, "injected": {"survey": "x"}}  # fmt: skip
    image = np.ones((4, 4), np.float32)
    feature = Feature(image, image, {"HAADF": image}).as_bytes()
    study.keep_seeded([(Place(target=target, **ordinary), feature) for target in (5, 7)])
    assert [(place.key, place.streams) for place in study.places] == [("a/5", ("seeded",)), ("a/7", ("seeded",))]
    night.made.event("resume", "goes on")
    assert study.batch_for("Ada") is None  # neither now
    night.says_its_last()
    found = [(place.key, place.streams, place.flag is not None) for place in study.places]
    assert found == [("a/5", ("policy",), True), ("a/7", ("seeded",), False)]
    assert {item.place for item in study.batch_for("Ada").items} == {"a/5", "a/7"}
    study.close()


def test_random_controls_are_not_in_the_atlas_of_a_survey_that_runs(night, tmp_path):
    """Its sites without those that the stream tells of would be the controls; so would the dose."""
    with served(tmp_path / "night") as (_, _, browser):

        def atlas():
            return json.loads(browser.ask("/api/atlas/a")[2])

        before = atlas()
        night.control()
        assert [site["target"] for site in before["sites"]] == [site["target"] for site in atlas()["sites"]] == [5]
        assert atlas()["patches"] == before["patches"]
        assert browser.ask("/atlas/a/site/6")[0] == 404 and browser.ask("/atlas/a/site/5")[0] == 200
        night.end()
        assert [site["target"] for site in atlas()["sites"]] == [5, 6] and browser.ask("/atlas/a/site/6")[0] == 200


def test_a_place_that_was_first_seen_while_the_survey_ran_is_drawn_with_contrast(night, tmp_path):
    with served(tmp_path / "night") as (_, _, browser):

        def picture(reader=browser):
            return np.asarray(Image.open(io.BytesIO(reader.ask("/atlas/a/site/5")[2])))

        assert len(np.unique(picture())) > 20  # of its own: there is no place yet that it could share with
        night.control()
        night.end()
        after = picture()
        with served(tmp_path / "night") as (_, _, fresh):
            np.testing.assert_array_equal(after, picture(fresh))


@pytest.mark.parametrize("after", ["99999999999999999999999-0-0", "1-2", "-1-0-0", "a-b-c", "%D9%A1-0-0"])
def test_a_place_in_the_stream_that_cannot_be_is_refused(night, tmp_path, after):
    with served(tmp_path / "night") as (_, _, browser):
        assert browser.ask(f"/api/stream?after={after}")[0] == 422
        rows = stream(browser, last="9" * 23 + "-0-0", until=lambda rows: len(rows) == 3)
        assert [kind for _, kind, _ in rows] == ["event", "step", "step"]  # a browser's own: from the beginning
