"""A folder that is not as it should be: the review opens what it can and says what it cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")

from archive_samples import CREATED
from review_browser import served, survey
from review_samples import MadeUp
from typer.testing import CliRunner

from archive.folder import Meta, SurveyFolder
from archive.schema import UPGRADES
from console.main import app
from envs.step import Purpose


def refused(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code in (1, 2) and result.stdout == "", result.output
    (line,) = result.stderr.splitlines()
    return line


def test_a_survey_that_runs_can_be_watched_and_not_yet_judged(tmp_path):
    made = MadeUp(tmp_path / "night")
    made.look(Purpose.SURVEY)
    made.event("start", "survey begins")
    try:
        with served(tmp_path / "night") as (_, _, browser):
            assert b"watch it, or ask it for something" in browser.ask("/")[2]
            assert b"This survey runs" in browser.ask("/live")[2]
            assert browser.ask("/atlas/a")[0] == browser.ask("/api/atlas/a")[0] == browser.ask("/figures")[0] == 200
            made.look(Purpose.SURVEY, x_nm=50.0)
            assert b'"steps":2' in browser.ask("/api/live")[2].replace(b" ", b"")
    finally:
        made.close()


@pytest.mark.parametrize("file", ["journal.sqlite", "labels.sqlite"])
def test_what_a_newer_version_wrote_is_told(tmp_path, file):
    folder = survey(tmp_path / "night")
    if file == "labels.sqlite":
        with served(folder):
            pass
    database = sqlite3.connect(folder / file)
    database.execute(f"PRAGMA user_version = {len(UPGRADES) + 50}")
    database.commit()
    database.close()
    told = refused("review", folder, "--port", "0")
    assert f"schema_version {len(UPGRADES) + 50}" in told and "install a newer adaptem" in told


@pytest.mark.parametrize("words", [("review", "--port", "0"), ("end", "--because", "x")])
def test_a_specimen_that_is_followed_has_no_review(tmp_path, words):
    config = {"name": "cell", "looks": {"image": {}}}
    meta = Meta.new(created=CREATED, seed=0, config=config, who={})
    SurveyFolder.create(tmp_path / "cell", meta).close()
    (tmp_path / "cell" / "tracking.jsonl").touch()
    assert "followed here" in refused(words[0], tmp_path / "cell", *words[1:])


def test_missing_frames_are_told_and_the_rest_is_judged(tmp_path):
    folder = survey(tmp_path / "night")
    shutil.rmtree(folder / "frames")
    (folder / "frames").mkdir()
    with served(folder) as (study, _, browser):
        batch = browser.batch()
        for item in browser.items(batch):
            for view in ("thumb", "place", "around", "channels"):
                assert browser.ask(f"/picture/{item['id']}/{view}/same")[0] == 404
        assert browser.ask(f"/batches/{batch}")[0] == 200 and study.journal.events() == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_nobody_may_write_to_is_told_and_labels_go_elsewhere(tmp_path):
    folder = survey(tmp_path / "night")
    folder.chmod(0o555)
    try:
        assert "--labels" in refused("review", folder, "--port", "0")
        with served(folder, labels=tmp_path / "labels.sqlite") as (_, _, browser):
            assert browser.ask("/")[0] == 303 and browser.ask("/atlas")[0] == 303
    finally:
        folder.chmod(0o755)


def test_labels_that_cannot_be_kept_in_the_folder_are_kept_where_one_says(tmp_path):
    """The same for root, who may write everywhere: a file in the way of the labels."""
    folder = survey(tmp_path / "night")
    (folder / "labels.sqlite").mkdir()
    assert "--labels" in refused("review", folder, "--port", "0")
    with served(folder, labels=tmp_path / "labels.sqlite") as (_, _, browser):
        assert browser.ask("/")[0] == 303
