"""`adaptem learn` at the command line: what it says, and of what is wrong one line."""

from __future__ import annotations

from console_helpers import adaptem, refused


def test_a_survey_that_nobody_judged_teaches_nothing(finished, tmp_path):
    told = refused(adaptem("learn", finished, "--into", tmp_path / "learned"))
    assert "nobody has judged this survey yet; `adaptem review" in told
    assert not (tmp_path / "learned").exists()


def test_what_is_no_survey_is_told(tmp_path):
    assert "survey.json" in refused(adaptem("learn", tmp_path))


def test_labels_elsewhere_are_of_one_survey(finished, tmp_path):
    told = refused(adaptem("learn", finished, finished, "--labels", tmp_path / "labels.sqlite"))
    assert "name that one alone" in told
