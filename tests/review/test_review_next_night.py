"""From "find more like this" on the review page to a night that goes to such places, by the name given there."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from contextlib import closing

import pytest

pytest.importorskip("fastapi", reason="the extra 'review' is not installed")
pytest.importorskip("torch", reason="the extra 'see' is not installed")

from review_browser import event, served
from review_samples import flag
from ringed_samples import RINGED, place_nm, ringed, ringed_survey
from typer.testing import CliRunner

from archive.folder import read_meta
from archive.journal import Journal
from archive.reader import SurveyReader
from configs.load import dump
from console.main import app
from surveys.places import trees_of

RINGS = {place_nm(*site) for site in RINGED}


def adaptem(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def specimen(tmp_path_factory):
    return ringed(tmp_path_factory.mktemp("specimen"))


def night(folder, specimen, **changes):
    """A survey by the commands; where it looked close, in order."""
    config = folder.with_suffix(".yaml")
    config.write_text(dump(ringed_survey(specimen, **changes)), encoding="utf-8")
    done = adaptem("survey", config, "--out", folder)
    assert done.exit_code == 0, done.output
    tree = trees_of(read_meta(folder).config)["a"]
    with SurveyReader(folder) as reader:
        seen = [step.target for step in reader.steps() if step.look == "detail" and step.fault is None]
    return [(tree[target].x_nm, tree[target].y_nm) for target in seen]


@pytest.fixture(scope="module")
def judged(specimen, tmp_path_factory):
    """A night that flagged four rings and eight other places; a person judged them and asked for more rings."""
    folder = tmp_path_factory.mktemp("judged") / "night"
    night(folder, specimen, controls={"count": 4})
    flag_by_hand(folder)
    with served(folder) as (study, _, browser):
        batch = browser.batch()
        places = {item.id: item.data for item in study.journal.batch(batch).items}
        rings = {item for item, place in places.items() if (place["x_nm"], place["y_nm"]) in RINGS}
        for item in places:
            assert browser.post(event(batch, item, verdict=5 if item in rings else 1)) == 200
        assert browser.post(event(batch, None, "lock")) == 200
        for item, place in places.items():
            wish = {"id": str(uuid.uuid4()), "item": item, "name": "ring"}
            if item in rings and place["flag"] is not None:
                assert browser.ask("/api/wanted", "POST", wish)[0] == 200
    return folder


def flag_by_hand(folder):
    """Which places are flagged is not what is tested here; no random control is among them."""
    rows = []
    with SurveyReader(folder) as reader:
        tree, steps = trees_of(reader.meta.config)["a"], list(reader.steps())
    drawn = {step.target for step in steps if step.kind.value == "control"}
    looked = [step for step in steps if step.look == "detail" and step.target not in drawn]
    rings = [step for step in looked if (tree[step.target].x_nm, tree[step.target].y_nm) in RINGS]
    for rank, step in enumerate([*rings[:4], *[step for step in looked if step not in rings][::6][:8]], start=1):
        place = tree[step.target]
        where = {"x_nm": place.x_nm, "y_nm": place.y_nm}
        site = {"target": place.id, **where, "width_nm": 50.0, "height_nm": 50.0, "by_control": False}
        rows.append(flag(step.shown.exposure.id, rank, **where, sites=[site]))
    with closing(Journal(folder / "journal.sqlite")) as journal:
        journal.flags(rows)


def test_what_was_asked_for_is_looked_for_in_the_next_night(judged, specimen, tmp_path):
    told = adaptem("classify", judged, "--asked", "--keep", tmp_path / "chips", "--out", tmp_path / "out")
    assert told.exit_code == 0, told.output
    assert {path.name for path in (tmp_path / "chips").iterdir()} == {"ring", "other"}
    found = {}
    for name, options in (("taught", {"examples": str(tmp_path / "chips"), "wanted": "ring"}), ("untaught", {})):
        scorer = {"kind": "plugin", "name": "seeing", "options": options}
        few = {"budget": {"detail_fraction": 0.15}, "controls": {"count": 0}, "agent": {"kind": "planner"}}
        looked = night(tmp_path / name, specimen, scorer=scorer, **few)
        found[name] = len(set(looked) & RINGS), len(looked)
    assert found["taught"][1] <= 12 and found["taught"][0] >= 5, found
    assert found["taught"][0] >= found["untaught"][0], found


def test_places_that_the_policy_chose_are_the_only_examples(judged, tmp_path):
    """Controls were judged too, and are of the audit set."""
    told = adaptem("classify", judged, "--asked", "--keep", tmp_path / "chips", "--out", tmp_path / "o", "--json")
    assert told.exit_code == 0 and json.loads(told.output)["classes"]["ring"] >= 4, told.output
    kept = Counter(path.parent.name for path in (tmp_path / "chips").glob("*/*.tif"))
    assert kept == {"ring": 4, "other": 8}


def test_where_nothing_was_asked_for_it_says_what_to_do(specimen, tmp_path):
    night(tmp_path / "plain", specimen, budget={"detail_fraction": 0.05})
    told = adaptem("classify", tmp_path / "plain", "--asked")
    assert told.exit_code == 2 and "nobody has judged this survey yet" in told.output
    with served(tmp_path / "plain"):
        pass
    told = adaptem("classify", tmp_path / "plain", "--asked")
    assert told.exit_code == 2 and "nobody asked for more" in told.output and "adaptem review" in told.output
    told = adaptem("classify", specimen, "--asked")
    assert told.exit_code == 2 and "nobody reviewed" in told.output
