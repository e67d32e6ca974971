"""`adaptem library`: filled, asked and exchanged from the command line; what is wrong is one clear line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from archive.library import Library
from archive.library_records import Experiment
from console.main import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTEM_LIBRARY", str(tmp_path / "library.sqlite"))
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        image = np.random.default_rng(number).poisson(40 + 30 * number, (96, 96)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"HAADF_{number}.png")

    def invoke(*words):
        return CliRunner().invoke(app, ["library", *words])

    return invoke


def test_a_library_from_empty_to_another_laboratory(run, tmp_path):
    told = run("add", "HAADF_0.png", "HAADF_1.png", "--material", "SrTiO3", "--words", "film", "--licence", "CC0-1.0")
    assert told.exit_code == 0, told.output
    assert "holds 2 experiments" in told.output
    again = json.loads(run("add", "HAADF_0.png", "--material", "SrTiO3", "--words", "film", "--licence", "CC0-1.0",
                           "--json").output)  # fmt: skip
    assert again[0]["added"] == "same"
    found = json.loads(run("search", "film", "--element", "Ti", "--technique", "HAADF", "--json").output)
    assert {each["title"] for each in found["experiments"]} == {"HAADF_0", "HAADF_1"}
    like = json.loads(run("search", "--like", "HAADF_1.png", "--json").output)["experiments"]
    assert (like[0]["title"], like[0]["distance"]) == ("HAADF_1", 0.0)
    assert run("result", "S-1", "thickness", "31", "nm", "--technique", "XRR", "--source", "report 4").exit_code == 0
    assert json.loads(run("show", "S-1").output)["results"][0]["value"] == 31.0
    assert "nearest" in json.loads(run("show", "1").output)
    advice = json.loads(run("recommend", "--material", "SrTiO3", "--json").output)
    assert (advice[0]["n"], advice[0]["technique"]) == (2, "HAADF")
    assert "fewer than" in advice[0]["fallback"]
    assert json.loads(run("stats", "--json").output)["elements"] == {"O": 2, "Sr": 2, "Ti": 2}
    assert run("export", "out.zip", "--licence", "CC0-1.0", "--author", "Ada").exit_code == 0
    other = ["--library", str(tmp_path / "other.sqlite")]
    assert json.loads(run("import", "out.zip", "--json", *other).output)["new"] == 3
    assert json.loads(run("merge", "library.sqlite", "--json", *other).output)["same"] == 3
    assert run("conflicts", *other).output.strip() == "[]"


def test_a_recommendation_is_held_against_what_physics_says(run, tmp_path):
    pytest.importorskip("torch", reason="the extra 'simulate' is not installed")
    assert run("add", "HAADF_0.png", "--material", "SrTiO3", "--licence", "CC0-1.0").exit_code == 0
    question = tmp_path / "question.yaml"
    question.write_text(
        "specimen: {crystal: SrTiO3, thickness_nm: 8}\nfeature: {kind: dopant, element: Hf, replaces: Ti}\n"
        "techniques: [HAADF]\nlimits: {field_nm: 20}\n"
    )
    (advice,) = json.loads(run("recommend", "--question", "question.yaml", "--json").output)
    assert advice["plan"]["agrees"] is None and "did not tell their dose" in advice["plan"]["told"]
    assert advice["plan"]["needed_e_per_A2"] > 0
    table = run("recommend", "--question", "question.yaml").output
    assert "would show it" in table and "the plan" in table
    assert "plan" not in json.loads(run("recommend", "--material", "SrTiO3", "--json").output)[0]
    asked = CliRunner().invoke(app, ["plan", "question.yaml", "--library", "library.sqlite", "--json", "numbers.json"])
    assert asked.exit_code == 0, asked.output
    (row,) = json.loads((tmp_path / "numbers.json").read_text())["rows"]
    assert "n = 1, usable frames" in row["prior_experiments"][0]["what"]
    assert "earlier experiments on like specimens" in " ".join(asked.output.split())
    missing = CliRunner().invoke(app, ["plan", "question.yaml", "--library", "none.sqlite"])
    assert missing.exit_code == 1 and "found none" in missing.output


def test_every_experiment_on_a_specimen_is_shown_and_no_other(run, tmp_path):
    with Library(tmp_path / "library.sqlite") as library:
        for number in range(30):
            told = {"kind": "file", "technique": "HAADF"}
            library.add(Experiment(uid=f"s{number}", title=f"x{number}", specimen="STO-12", **told))
            library.add(Experiment(uid=f"o{number}", title=f"STO-12 twin {number}", specimen="other", **told))
    shown = json.loads(run("show", "STO-12").output)["experiments"]
    assert {each["uid"] for each in shown} == {f"s{number}" for number in range(30)}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("search", "a"), 1, "found none"),
        (("add", "none.dm3"), 1, "no such file"),
        (("add", "HAADF_0.png", "--element", "Xq"), 2, "no chemical element"),
        (("add", "HAADF_0.png", "--orcid", "1"), 2, "ORCID"),
        (("import", "HAADF_0.png"), 1, "no whole zip"),
        (("import", "none.zip"), 1, "no such file"),
        (("merge", "none.sqlite"), 1, "no such file"),
    ],
)
def test_what_is_wrong_is_said(run, words, code, said):
    told = run(*words)
    assert told.exit_code == code
    assert said in told.output + told.stderr
    assert told.exception is None or isinstance(told.exception, SystemExit)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "--technique", "seeing"), "known are"),
        (("search", "--element", "Zz"), "near it are"),
        (("search", "--between", "dwell=1:2"), "known are voltage_kV"),
        (("search", "--between", "dwell_us=fast"), "NAME=LOW:HIGH"),
        (("recommend",), "say what the specimen is made of"),
        (("recommend", "--material", "water"), "formula"),
        (("export", "out.zip", "--words", "nowhere"), "nothing in"),
    ],
)
def test_questions_without_an_answer_are_named(run, words, said):
    run("add", "HAADF_0.png")
    told = run(*words)
    assert told.exit_code == 2
    assert said in told.output + told.stderr
