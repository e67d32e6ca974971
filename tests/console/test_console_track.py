"""The command that follows a specimen."""

from __future__ import annotations

import json

import pytest
from console_helpers import adaptem, refused

import review.tracking

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

SHORT = [
    word
    for change in (
        "horizon_s=120",
        "tick_s=10",
        "electrons=1e8",
        "sets=48",
        "controls.places=[]",
        "controls.look=null",
        "program=[{at_s: 10, condition: concentration_mM, value: 4.0}]",
        "looks={quick: {signal: HAADF, field_of_view_nm: 400, pixels: 128, dwell_us: 1}}",
    )
    for word in ("--set", change)
]
CONFIG = "configs/track_liquid_cell.yaml"


def test_it_follows_and_leaves_a_report(tmp_path):
    result = adaptem("track", CONFIG, "--out", tmp_path / "run", *SHORT)
    assert result.exit_code == 0, result.output
    assert "rehearsed growth, reaction-limited" in result.stdout
    assert "no control region was exposed" in result.stdout
    assert (tmp_path / "run" / "report.html").stat().st_size > 50_000
    assert "probability" in result.stdout


def test_a_page_can_be_watched_while_it_goes_on(tmp_path, monkeypatch):
    pages, write = [], review.tracking.write_tracking_report

    def seen(*arguments, **options):
        page = write(*arguments, **options)
        pages.append(page.read_text())
        return page

    monkeypatch.setattr("console.track.LIVE_S", 0.0)
    monkeypatch.setattr("review.tracking.write_tracking_report", seen)
    result = adaptem("track", CONFIG, "--live", "--out", tmp_path / "run", "--set", "rehearsals=0", *SHORT)
    assert result.stdout.count("to watch it: file://") == 1
    assert len(pages) > 5
    assert all('http-equiv="refresh"' in page and "it goes on" in page for page in pages[:-1])
    assert 'http-equiv="refresh"' not in pages[-1]
    assert "it goes on" not in pages[-1]


def test_a_dry_run_touches_nothing(tmp_path, monkeypatch):
    result = adaptem("track", CONFIG, "--dry-run", "--json", "--set", f"out={tmp_path}", *SHORT)
    told = json.loads(result.stdout)["rehearsed"]
    assert len(told) == 6  # copper alone: laws of phases would show nothing
    assert {"law", "probability", "told", "looks", "likeliest"} <= set(told[0])
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line(tmp_path):
    assert "there is no such file" in refused(adaptem("track", tmp_path / "none.yaml"))
    assert "tick_s" in refused(adaptem("track", CONFIG, "--set", "tik_s=3"))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "survey.json").write_text("{}")
    result = adaptem("track", CONFIG, "--quiet", "--out", folder, "--set", "rehearsals=0", *SHORT)
    assert result.exit_code == 2
    assert "record:" in result.stderr
