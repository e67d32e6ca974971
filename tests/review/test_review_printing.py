"""The report as a PDF: printed by a browser that is there, and a word of what to do where none is."""

from __future__ import annotations

import os
import re
import zlib

import pytest
from typer.testing import CliRunner

from review_chromium import CHROMIUM  # isort: skip  # skips where there is no browser
from review_samples import MadeUp, flag

from configs.errors import ConfigError
from console.main import app
from review.printing import print_pdf
from review.report import write_report


def test_a_report_is_printed(tmp_path, monkeypatch):
    made = MadeUp(tmp_path / "night", name="printed")
    made.record.flags([flag(made.look(), reason="brighter than its neighbours")])
    made.event("end", "the budget is spent", reason="complete")
    made.close()
    monkeypatch.setenv("ADAPTEM_CHROMIUM", CHROMIUM)
    print_pdf(write_report(tmp_path / "night"), tmp_path / "night.pdf")
    data = (tmp_path / "night.pdf").read_bytes()
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    streams = [
        zlib.decompress(each) for each in re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", data, re.S)
    ]
    assert sum(len(each) for each in streams) > 10_000 and b"/Image" in data  # text and the flag's picture


def test_the_folder_of_a_survey_may_be_read_only(tmp_path, monkeypatch):
    made = MadeUp(tmp_path / "night", name="printed")
    made.look()
    made.close()
    monkeypatch.setenv("ADAPTEM_CHROMIUM", CHROMIUM)
    told = [str(tmp_path / "night"), "--pdf", str(tmp_path / "night.pdf")]
    assert CliRunner().invoke(app, ["report", *told]).exit_code == 0
    assert (tmp_path / "night.pdf").is_file()
    assert CliRunner().invoke(app, ["report", *told, "--out", str(tmp_path / "new" / "place")]).exit_code == 0
    assert [path.name for path in sorted((tmp_path / "new" / "place").iterdir())] == ["report.html", "report.json"]
    assert list((tmp_path / "night").glob("report*")) == []
    monkeypatch.setattr(
        "os.access", lambda path, mode: mode != os.W_OK
    )  # as on a medium that is read-only, for root too
    refused = CliRunner().invoke(app, ["report", str(tmp_path / "night")])
    assert refused.exit_code == 2 and "--out" in refused.output


def test_without_a_browser_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTEM_CHROMIUM", "no-such-browser")
    with pytest.raises(ConfigError, match="print it"):
        print_pdf(tmp_path / "report.html", tmp_path / "night.pdf")
    monkeypatch.setenv("ADAPTEM_CHROMIUM", "false")
    with pytest.raises(ConfigError, match="did not print"):
        print_pdf(tmp_path / "report.html", tmp_path / "night.pdf")
    assert not (tmp_path / "night.pdf").exists()
