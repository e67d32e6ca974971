"""A survey that was cut off and cannot go on: ended by a person's word, with the flags that it would have had."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from survey_samples import small, stop_after

from archive.errors import FolderError
from archive.reader import SurveyReader
from configs.errors import ConfigError
from review.study import Study
from surveys.concluding import conclude
from surveys.night import open_night
from surveys.runner import run_survey

STEPS = 40


class PowerCutError(Exception):
    """The process is gone."""


def settings():
    rare = {"kind": "simulated", "specimen": {"rare_fraction": 0.019}}
    looks = {"overview": {"sites": 2, "shape": [64, 64], "dwell_us": 2.0},
             "detail": {"field_of_view_nm": 50.0, "shape": [64, 64], "dwell_us": 10.0}}  # fmt: skip
    return small(
        8, seed=5, controls={"count": 30}, flagging={"false_discovery_rate": 0.9}, instrument=rare, looks=looks
    )


def cut_off(folder):
    """A survey whose process ends after a step, as any may."""

    def after(step, progress):
        if step.number == STEPS:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        run_survey(open_night(settings(), folder), after)


def test_it_gets_the_flags_of_a_survey_that_was_stopped_there(tmp_path):
    night = open_night(settings(), tmp_path / "stopped")
    run_survey(night, stop_after(night, STEPS))
    cut_off(tmp_path / "cut")
    _, summary = conclude(tmp_path / "cut", "Ada", "the specimen is gone")
    with SurveyReader(tmp_path / "stopped") as one, SurveyReader(tmp_path / "cut") as other:
        assert str(list(one.steps())) == str(list(other.steps()))  # a NaN is not equal to itself
        flags = one.flags()
        assert flags == other.flags() and len(flags) == summary.flags > 0
        assert any("control" in flag["tags"] for flag in flags), "no control's frame matters here: draw more"
        end = other.events("end")[-1]
    assert end.message == "ended as it is, says Ada: the specimen is gone"
    assert end.data["person"] == "Ada" and end.data["reason"] == "stopped" and end.data["flags"] == len(flags)


def test_only_then_can_it_be_judged(tmp_path):
    cut_off(tmp_path / "cut")
    with closing(Study(tmp_path / "cut")) as study:
        assert not study.has_ended() and study.batch_for("Ben") is None
        conclude(tmp_path / "cut", "Ada", "the specimen is gone")
        assert study.has_ended() and study.batch_for("Ben") is not None


def test_it_is_refused_while_it_runs_and_once_it_has_ended(tmp_path):
    night = open_night(settings(), tmp_path / "n")
    with pytest.raises(FolderError, match="still runs the survey"):
        conclude(tmp_path / "n", "Ada", "no patience")
    run_survey(night, stop_after(night, 3))
    with SurveyReader(tmp_path / "n") as reader:
        before = reader.events()
    with pytest.raises(FolderError, match="has ended"):
        conclude(tmp_path / "n", "Ada", "no patience")
    with SurveyReader(tmp_path / "n") as reader:
        assert reader.events() == before


@pytest.mark.parametrize(("person", "why"), [("", "gone"), ("Ada", " ")])
def test_it_needs_a_name_and_a_reason(tmp_path, person, why):
    cut_off(tmp_path / "n")
    with pytest.raises(ConfigError, match="Give both"):
        conclude(tmp_path / "n", person, why)


def test_without_what_was_learned_flags_are_ranked_by_surprise_and_the_record_says_so(tmp_path):
    folder = tmp_path / "n"
    cut_off(folder)
    text = (folder / "survey.json").read_text()
    assert '"learned":null' in text
    (folder / "survey.json").write_text(text.replace('"learned":null', f'"learned":"{tmp_path / "gone"}"'))
    conclude(folder, "Ada", "the specimen is gone")
    with SurveyReader(folder) as reader:
        assert "ranked by surprise" in reader.events("end")[-1].data["learned"]
        assert all(flag["expected_verdict"] is None for flag in reader.flags())


def test_a_record_with_a_hole_is_refused_and_stays_as_it_is(tmp_path):
    folder = tmp_path / "n"
    cut_off(folder)
    with closing(sqlite3.connect(folder / "journal.sqlite")) as database, database:
        database.execute("UPDATE exposures SET step = NULL WHERE step IN (SELECT id FROM steps WHERE number = 5)")
        database.execute("DELETE FROM steps WHERE number = 5")
    with pytest.raises(ConfigError, match="steps are missing"):
        conclude(folder, "Ada", "the specimen is gone")
    with SurveyReader(folder) as reader:
        assert not reader.events("end")
