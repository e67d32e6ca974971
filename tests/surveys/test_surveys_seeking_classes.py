"""From clicks on a survey to a survey that goes to places of that class: by requests, and by the scorer."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'see' is not installed")
pytest.importorskip("safetensors", reason="the extra 'see' is not installed")

from ringed_samples import RINGED, SITES, place_nm, ringed, ringed_survey
from typer.testing import CliRunner

from archive.folder import read_meta
from archive.reader import SurveyReader
from configs.errors import ConfigError
from console.main import app
from surveys.classes import chips_of_survey, examples_among
from surveys.night import open_night
from surveys.places import trees_of
from surveys.runner import run_survey


@pytest.fixture(scope="module")
def specimen(tmp_path_factory):
    return ringed(tmp_path_factory.mktemp("specimen"))


@pytest.fixture(scope="module")
def first(specimen, tmp_path_factory):
    """A survey that looked at all of it from above, cut short."""
    folder = tmp_path_factory.mktemp("first") / "night"
    run_survey(open_night(ringed_survey(specimen, budget={"detail_fraction": 0.05}, controls={"count": 0}), folder))
    return folder


def clicks():
    kinds = {"ring": RINGED[:3], "disc": [(0, 1), (2, 3), (6, 1)], "film": [(0, 0), (3, 3), (5, 5)]}
    for said, places in kinds.items():
        for row, column in places:
            x_nm, y_nm = place_nm(row, column)
            yield from ("--at", f"{said}={x_nm:g},{y_nm:g}")


def classify(*words):
    return CliRunner().invoke(app, ["classify", *map(str, words)])


def test_clicks_tell_every_place_of_a_survey_and_are_kept(first, tmp_path):
    found = classify(first, *clicks(), "--closed", "--keep", tmp_path / "chips", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    with (tmp_path / "out" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SITES**2
    rings = {place_nm(*site) for site in RINGED}
    right = [(each["class"] == "ring") == ((float(each["x_nm"]), float(each["y_nm"])) in rings) for each in rows]
    assert np.mean(right) > 0.9
    kept = sorted(str(path.relative_to(tmp_path / "chips")) for path in (tmp_path / "chips").glob("*/*.tif"))
    assert len(kept) == 9 and {each.split("/")[0] for each in kept} == {"disc", "film", "ring"}
    again = classify(first, "--examples", tmp_path / "chips", "--closed", "--out", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "classes.csv").read_text() == (tmp_path / "out" / "classes.csv").read_text()


def test_clicks_beside_all_places_or_on_another_specimen_are_refused(first, tmp_path):
    x_nm, y_nm = place_nm(0, 0)
    beside = classify(first, *clicks(), "--at", f"film={x_nm - 1e6:g},{y_nm:g}", "--out", tmp_path)
    assert beside.exit_code == 2 and "lies in no place that was seen" in " ".join(beside.output.split())
    other = classify(first, *clicks(), "--specimen", "zz", "--out", tmp_path)
    assert other.exit_code == 2 and "has no specimen 'zz'; it has a" in " ".join(other.output.split())
    one, two = chips_of_survey(first)[:2]
    with pytest.raises(ConfigError, match="--specimen which is meant"):
        examples_among([one, replace(two, of="b")], [("film", one.x_nm, one.y_nm)])


def test_a_running_survey_is_asked_to_go_back_and_goes(specimen, first, tmp_path):
    night = open_night(
        ringed_survey(specimen, budget={"detail_fraction": 0.3}, controls={"count": 0}), tmp_path / "night"
    )
    asked = []

    def on_step(step, progress):
        if step.number == SITES**2 // 4:  # all overviews are made
            words = (tmp_path / "night", *clicks(), "--revisit", "ring", "--most", "4", "--out", tmp_path / "out")
            asked.append(classify(*words))

    run_survey(night, on_step)
    assert asked[0].exit_code == 0, asked[0].output
    assert "at 4 place(s) of class ring" in " ".join(asked[0].output.split())
    with SurveyReader(tmp_path / "night") as reader:
        wished = [step for step in reader.steps() if step.decision.decided_by == "person"]
        states = {row.state for row in reader.rows.requests()}
        assert {row.data["specimen"] for row in reader.rows.requests()} == {"a"}
    assert len(wished) >= 3 and {step.look for step in wished} == {"detail"}
    tree = trees_of(read_meta(tmp_path / "night").config)["a"]
    rings = {place_nm(*site) for site in RINGED}
    assert sum((tree[step.target].x_nm, tree[step.target].y_nm) in rings for step in wished) >= 3
    assert states <= {"accepted", "refused", "done"}
    # a survey that has ended cannot be driven back
    late = classify(tmp_path / "night", *clicks(), "--revisit", "ring", "--out", tmp_path / "late")
    assert late.exit_code == 2 and "nothing runs" in " ".join(late.output.split())


def test_a_taught_scorer_drives_another_survey_to_the_class(specimen, first, tmp_path):
    chips = tmp_path / "chips"
    assert classify(first, *clicks(), "--keep", chips, "--out", tmp_path / "out").exit_code == 0
    (tmp_path / "taught.py").write_text("from surveys.seeing import make\n")
    scorer = {"kind": "plugin", "name": f"{tmp_path / 'taught.py'}:make"}
    taught = {"scorer": scorer | {"options": {"examples": str(chips), "wanted": "ring"}}}
    rings, found = {place_nm(*site) for site in RINGED}, {}
    for name, changes in (("taught", taught), ("untaught", {})):
        made = ringed_survey(
            specimen, budget={"detail_fraction": 0.15}, controls={"count": 0}, agent={"kind": "planner"}, **changes
        )
        run_survey(open_night(made, tmp_path / name))
        tree = trees_of(read_meta(tmp_path / name).config)["a"]
        with SurveyReader(tmp_path / name) as reader:
            seen = [step.target for step in reader.steps() if step.look == "detail" and step.fault is None]
        found[name] = sum((tree[site].x_nm, tree[site].y_nm) in rings for site in seen), len(seen)
    assert found["taught"][1] <= 12 and found["taught"][0] >= 5, found
    assert found["taught"][0] >= found["untaught"][0], found
    assert classify(tmp_path / "taught", *clicks(), "--out", tmp_path / "told").exit_code == 0  # its record is read
