"""The morning report of a real, small survey."""

from __future__ import annotations

import json

import pytest

from archive.reader import SurveyReader
from configs.load import load
from console.source import packaged
from review.report import write_report
from surveys.night import open_night
from surveys.runner import run_survey
from surveys.settings import SurveySettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sets = ["budget.detail_fraction=0.03", "specimens.0.area.width_nm=1600", "specimens.0.area.height_nm=1600"]
    settings = load(packaged("survey_demo.yaml"), SurveySettings, sets)
    found = run_survey(open_night(settings, tmp_path_factory.mktemp("night") / "survey")).folder
    write_report(found)
    return found


def test_the_report_agrees_with_the_journal(folder):
    report = json.loads((folder / "report.json").read_text())
    with SurveyReader(folder) as reader:
        steps = list(reader.steps())
        assert report["done"]["steps"] == len(steps)
        assert report["done"]["electrons"] == pytest.approx(sum(step.electrons for step in steps))
        assert len(report["flags"]) == len(reader.flags())
    assert report["ended"]["data"]["reason"] == "complete"


def test_the_page_needs_nothing_from_outside(folder):
    page = (folder / "report.html").read_text()
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert page.count("<img") == page.count(" alt=")


def test_signals_come_back_in_the_order_the_instrument_gave_them(folder):
    with SurveyReader(folder) as reader:
        first = next(row.id for row in reader.exposures() if row.state == "committed")
        assert list(reader.frame(first)) == ["HAADF", "BF"]
