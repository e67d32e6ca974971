"""`adaptem campaign`: two laboratories, each with its own library, from the opening to the report."""

from __future__ import annotations

import json

import pytest
from console_helpers import ROOT, adaptem, refused

CAMPAIGN, OWN = ROOT / "configs" / "campaign_example.yaml", ROOT / "configs" / "campaign_laboratory.yaml"
SMALL = ("--set", "controls.count=15", "--set", "budget.detail_fraction=0.2")


@pytest.fixture
def at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(laboratory, *words):
        monkeypatch.setenv("ADAPTEM_LABORATORY", laboratory)
        monkeypatch.setenv("ADAPTEM_LIBRARY", str(tmp_path / f"{laboratory}.sqlite"))
        return adaptem("campaign", *words)

    return invoke


def test_two_laboratories_from_the_opening_to_the_report(at, tmp_path):
    assert "12 cells, 2 laboratories" in at("north", "start", CAMPAIGN, *SMALL).output
    assert at("north", "export", "annealing", "opened.zip", "--author", "Ada", "--licence", "CC0-1.0").exit_code == 0
    assert json.loads(at("south", "import", "opened.zip", "--json").output)["new"] == 1
    (there,) = json.loads(at("south", "status", "--json").output)
    assert there["name"] == "annealing"
    proposed = json.loads(at("south", "next", there["id"][:8], "--json").output)
    assert len(proposed) == 6
    assert proposed[0]["cell"] in at("south", "claim", "annealing", "--json").output
    (done,) = json.loads(at("south", "run", "annealing", "--survey", OWN, "--json").output)
    assert done["cell"] == proposed[0]["cell"]
    assert (tmp_path / "surveys_data" / done["survey"] / "survey.json").is_file()
    assert at("south", "export", "annealing", "done.zip").exit_code == 0
    at("north", "import", "done.zip")
    told = at("north", "report", "annealing")
    assert "film-a" in told.output
    assert "goes on" in told.output
    report = json.loads((tmp_path / "annealing-campaign" / "campaign.json").read_text())
    assert [(each["cell"], each["laboratory"]) for each in report["cells"] if each["state"] == "done"] == [
        (done["cell"], "south")
    ]
    assert (tmp_path / "annealing-campaign" / "campaign.png").stat().st_size > 10_000
    at("south", "claim", "annealing", proposed[1]["cell"])
    assert "open again" in at("south", "release", "annealing", proposed[1]["cell"], "--because", "broken").output


def test_what_cannot_be_is_one_line(at, monkeypatch):
    assert "none" in refused(at("north", "status"), 1)
    at("north", "start", CAMPAIGN)
    assert "campaign annealing is open" in refused(at("north", "start", CAMPAIGN), 1)
    assert "did you mean north" in refused(at("norht", "start", CAMPAIGN), 1)
    assert "did you mean annealing" in refused(at("north", "next", "anealing"))
    assert "south's in this term" in refused(at("north", "claim", "annealing", "film-a/400K"), 1)
    assert "unknown cell" in refused(at("north", "claim", "annealing", "film-z/400K"), 1)
    monkeypatch.setenv("ADAPTEM_LABORATORY", "")
    assert "which laboratory you are" in refused(adaptem("campaign", "next", "annealing"))
