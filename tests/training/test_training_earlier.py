"""What the judged surveys of a library teach, wherever their folders are called what by now."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from learning_samples import flagged, judged, made
from typer.testing import CliRunner

from archive.folder import read_meta
from archive.library import Library
from archive.library_filling import add_survey
from archive.reader import SurveyReader
from configs.errors import ConfigError
from console.main import app
from surveys.learned import CARD, live_version
from training.earlier import earlier_lessons
from training.feedback import lessons
from training.learning import go_live, learn, out_of_fold


def bright(place):
    return 5 if place.x_nm > 0 else 1


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Five surveys in a library: two judged, one of them renamed since, one not judged, one half, one thrown away."""
    place = tmp_path_factory.mktemp("laboratory")
    kept = place / "kept"
    kept.mkdir()
    for name, seed in (("first", 3), ("second", 4), ("quiet", 5), ("open", 6), ("gone", 7)):
        flagged(made(place / f"{name}-made", seed=seed), kept / name)
    for name in ("first", "second"):
        judged(kept / name, bright).close()
    judged(kept / "open", bright, lock=False).close()
    with Library(kept / "library.sqlite") as library:
        for name in ("first", "second", "quiet", "open", "gone"):
            with SurveyReader(kept / name) as reader:
                add_survey(library, reader)
    (kept / "second").rename(kept / "renamed")
    shutil.rmtree(kept / "gone")
    (kept / "no survey").mkdir()
    return kept


def found_in(laboratory):
    with Library(laboratory / "library.sqlite", write=False) as library:
        return earlier_lessons(library, [laboratory])


def test_every_judged_survey_that_is_still_there_teaches_as_if_it_were_named(laboratory):
    found, named = found_in(laboratory), lessons([laboratory / "renamed", laboratory / "first"])
    assert {path.name for path in found.taught} == {"first", "renamed"}

    def told(of):
        return sorted((one.survey, one.target, one.verdict) for one in of)

    assert told(found.lessons.teaching) == told(named.teaching) and len(named.teaching) == 60
    assert told(found.lessons.audit) == told(named.audit)
    assert found.lessons.read == named.read and found.lessons.columns == named.columns


def test_what_does_not_teach_is_told(laboratory):
    left = {re.split("[/:]", name)[-1]: why for name, why in found_in(laboratory).left.items()}
    assert set(left) == {"quiet", "open", "gone"}
    assert "nobody has judged" in left["quiet"] and "is locked" in left["open"] and "is not in" in left["gone"]


def test_a_copy_of_a_survey_teaches_once(laboratory, tmp_path):
    for name in ("first", "again"):
        shutil.copytree(laboratory / "first", tmp_path / name)
    (tmp_path / "again" / "labels.sqlite").unlink()
    with Library(laboratory / "library.sqlite", write=False) as library:
        found = earlier_lessons(library, [tmp_path])
    assert [path.name for path in found.taught] == ["first"] and len(found.lessons.teaching) == 30


def test_each_survey_is_held_out_whole(laboratory):
    teaching = found_in(laboratory).lessons.teaching
    told = out_of_fold(teaching)
    survey = read_meta(laboratory / "first").identity
    first = [n for n, one in enumerate(teaching) if one.survey == survey]
    teaching[first[0]].row[:] += 50.0  # a lesson of a survey does not tell of its own survey
    changed = out_of_fold(teaching)
    assert [changed[n] for n in first[1:]] == [told[n] for n in first[1:]]
    assert any(changed[n] != told[n] for n in range(len(teaching)) if n not in first)


def test_of_two_judged_copies_the_one_with_more_labels_teaches(laboratory, tmp_path):
    shutil.copytree(laboratory / "first", tmp_path / "second")
    shutil.copytree(laboratory / "first", tmp_path / "first")
    (tmp_path / "first" / "labels.sqlite").unlink()
    judged(tmp_path / "first", bright, lock=False).close()
    with Library(laboratory / "library.sqlite", write=False) as library:
        assert [path.name for path in earlier_lessons(library, [tmp_path]).taught] == ["second"]


def test_a_damaged_survey_and_surveys_called_alike_are_told_apart(laboratory, tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    for place, name in zip(places, ("quiet", "open"), strict=True):
        shutil.copytree(laboratory / name, place / "alike")
    shutil.copytree(laboratory / "first", places[0] / "first")
    shutil.copytree(laboratory / "renamed", places[0] / "renamed")
    (places[0] / "renamed" / "survey.json").write_text("{")
    with Library(laboratory / "library.sqlite", write=False) as library:
        found = earlier_lessons(library, places)
    assert [path.name for path in found.taught] == ["first"]
    assert "nobody has judged" in found.left[str(places[0] / "alike")]
    assert "is locked" in found.left[str(places[1] / "alike")]
    assert "unreadable survey.json" in found.left[str(places[0] / "renamed")]


@pytest.fixture
def unjudged_audit(laboratory, tmp_path):
    """A copy of the surveys, and how to learn from what the policy chose of them alone."""
    kept, store = tmp_path / "kept", tmp_path / "learned"
    shutil.copytree(laboratory, kept)

    def learned():
        found = found_in(kept).lessons
        found.audit.clear()
        return learn(found, store)

    return kept, store, learned


def test_a_renamed_survey_is_not_new_to_the_version_that_was_fitted_to_it(unjudged_audit):
    kept, store, learned = unjudged_audit
    learned()
    go_live(store, "v001")
    (kept / "renamed").rename(kept / "once more")
    done = learned()
    assert done.evaluation["new surveys"]["places"] == 0 and "not read all" not in done.why


def test_a_version_that_named_surveys_by_path_knows_those_that_are_still_there(unjudged_audit):
    kept, store, learned = unjudged_audit
    card = learned().folder / CARD
    go_live(store, "v001")
    told = json.loads(card.read_text())
    old = {told["folders"].pop(survey): last for survey, last in told["read"].items()}
    card.write_text(json.dumps({**told, "read": old}))
    assert learned().evaluation["new surveys"]["places"] == 0
    go_live(store, "v001")
    (kept / "renamed").rename(kept / "once more")
    done = learned()
    assert done.evaluation["new surveys"]["places"] == 30
    assert f"{kept / 'renamed'}, which the live version has read, is not there" in done.why


def test_the_command_learns_and_the_gate_is_that_of_named_surveys(laboratory, tmp_path):
    words = ["learn", "--library", laboratory / "library.sqlite", "--into", tmp_path / "learned"]
    done = subprocess.run(
        [sys.executable, "-m", "console.main", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert ":gone: its folder is not in" in said and "learned from 60 places; 20 of the audit set" in said
    same = learn(lessons([laboratory / "renamed", laboratory / "first"]), tmp_path / "named")
    assert (live_version(tmp_path / "learned") is not None) == same.live and same.why in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--library", "{place}/none.sqlite"], "found none"),
        (["--library", "{place}/library.sqlite", "--within", "{empty}"], "none of the 5 surveys"),
        (["--library", "{place}/library.sqlite", "--within", "{empty}"], "gone: its folder is not in"),
        (["--library", "{place}/library.sqlite", "--within", "{place}/nowhere"], "is no folder"),
        (["--library", "{empty}/library.sqlite"], "holds no survey"),
        (["--library", "postgresql://lab"], "name the folder by --within"),
        (["{place}/first", "--library", "{place}/library.sqlite"], "one of both"),
        ([], "one of both"),
        (["{place}/first", "--within", "{place}"], "name --library too"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_words(laboratory, tmp_path, words, says):
    Library(tmp_path / "library.sqlite").close()
    given = [word.format(place=laboratory, empty=tmp_path) for word in words]
    told = CliRunner().invoke(app, ["learn", *given, "--into", str(tmp_path / "learned")])
    assert told.exit_code in (1, 2) and says in " ".join(told.output.split()), told.output
    assert not (tmp_path / "learned").exists()


def test_a_survey_of_another_scorer_is_left_out(laboratory, tmp_path):
    """The newest tells by which descriptors."""
    place = tmp_path / "kept"
    place.mkdir()
    seeing = {"kind": "plugin", "name": "seeing"}
    other = flagged(made(tmp_path / "other", seed=8, scorer=seeing), place / "other")
    judged(other, bright).close()
    shutil.copytree(laboratory / "first", place / "first")
    with Library(place / "library.sqlite") as library:
        for name in ("first", "other"):
            with SurveyReader(place / name) as reader:
                add_survey(library, reader)
        found = earlier_lessons(library, [place])
    assert [path.name for path in found.taught] == ["other"] and "another scorer" in found.left[str(place / "first")]


def test_a_library_of_files_alone_teaches_nothing(tmp_path):
    with Library(tmp_path / "library.sqlite") as library, pytest.raises(ConfigError, match="holds no survey"):
        earlier_lessons(library, [tmp_path])
