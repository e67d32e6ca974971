"""The report as a PDF: printed by a browser that is there, and a word of what to do where none is."""

from __future__ import annotations

import re
import zlib

import pytest

from review_chromium import CHROMIUM  # isort: skip  # skips where there is no browser
from review_samples import MadeUp, flag

from configs.errors import ConfigError
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


def test_without_a_browser_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTEM_CHROMIUM", "no-such-browser")
    with pytest.raises(ConfigError, match="print it"):
        print_pdf(tmp_path / "report.html", tmp_path / "night.pdf")
    monkeypatch.setenv("ADAPTEM_CHROMIUM", "false")
    with pytest.raises(ConfigError, match="did not print"):
        print_pdf(tmp_path / "report.html", tmp_path / "night.pdf")
    assert not (tmp_path / "night.pdf").exists()
