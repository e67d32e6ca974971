"""Looks that are streams, while a specimen is followed: bursts in the record, rows and report."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SCENE

from archive.reader import SurveyReader
from configs.load import load
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_prepare import prepare
from surveys.tracking_rows import read_rows
from surveys.tracking_settings import TrackSettings

SUDDEN = (
    "horizon_s=36",
    "electrons=2.5e9",
    "limits.max_electrons=4e9",
    "limits.max_fluence_e_per_A2=1e4",
    *SCENE,
    "tick_s=4",
    "instrument.specimen.evolves.growth.reservoir_nm=20",
    "controls.places=[]",
    "controls.look=null",
    "places=[{x_nm: 0, y_nm: 0}]",
    "looks={stream: {signal: HAADF, field_of_view_nm: 400, pixels: 64, dwell_us: 4, frames: 60}}",
    "bursts={every: 5, before: 10, after: 10}",
    "instrument.specimen.evolves.growth.nucleation.at_reference=0.05",
    "instrument.specimen.evolves.growth.growth.at_reference=1.5",
)


def test_what_happens_in_a_stream_is_kept_around_it_and_shown(tmp_path):
    following = prepare(load(CONFIG, TrackSettings, SUDDEN))
    told: list[str] = []
    run_tracking(following, tmp_path / "run", told.append)
    rows = read_rows(tmp_path / "run")
    quiet = [row for row in rows if row["look"] and row["held"]["concentration_mM"] < 0.2]
    assert all(not row["bursts"] for row in quiet)  # nothing grows before it is fed
    (row, burst), *_ = [(row, burst) for row in rows for burst in row["bursts"]]
    assert any("something happened" in line for line in told)
    with SurveyReader(tmp_path / "run") as reader:
        kept = reader.frame(row["exposures"][0])
        assert kept["HAADF"].shape == (64, 64)
        assert kept[burst["signal"]].shape == (burst["frames"], 64, 64)
        assert burst["frames"] + burst["lost"] == 21 or burst["first"] == 0
    page = write_tracking_report(tmp_path / "run").read_text()
    assert "Events in streams" in page
    assert f"{burst['frames']} frames are kept" in page
