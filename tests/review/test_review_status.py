"""What is told of a survey while it runs."""

from __future__ import annotations

import pytest
from review_samples import MadeUp

from archive.folder import read_meta, write_health
from envs.step import Score
from review.status import status_of
from surveys.places import trees_of


@pytest.fixture
def made_up(tmp_path):
    made = MadeUp(tmp_path / "night")
    yield made
    made.close()


def test_one_that_asks_waits_for_a_person_and_not_some_seconds_later(made_up):
    write_health(made_up.folder.path, {"state": "running"})
    assert status_of(made_up.folder.path)["state"].startswith("running (process")
    made_up.event("proposal", "overview", proposal=1)
    assert status_of(made_up.folder.path)["state"].startswith("waiting for a person (process")
    write_health(made_up.folder.path, {"state": "parked"})
    assert status_of(made_up.folder.path)["state"].startswith("parked (process")
    write_health(made_up.folder.path, {"state": "running"})
    made_up.event("answered", "Ada: approve", proposal=1)
    assert status_of(made_up.folder.path)["state"].startswith("running (process")


def test_a_running_survey_tells_what_stands_out_so_far(made_up):
    made_up.event("start", "begins")
    path = made_up.folder.path
    assert status_of(path)["most_unusual"] is None
    for cells, interest in (((3, 4, 5), (1.0, 9.0, float("nan"))), ((3,), (2.5,))):
        score = Score(cells=cells, descriptors=tuple((0.0,) for _ in cells), interest=interest, quality={})
        made_up.step(look="overview", target=0, score=score)
    places = trees_of(read_meta(path).config)["a"]
    told = status_of(path)["most_unusual"].split("; ")
    assert told == [
        f"x {places[n].x_nm:.0f} nm, y {places[n].y_nm:.0f} nm: score {score} (overview)"
        for n, score in ((4, 9.0), (3, 2.5))
    ]
    made_up.close()
    assert status_of(path)["most_unusual"] is None  # it has to be judged blind first
