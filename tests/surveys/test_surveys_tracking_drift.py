"""A specimen that drifts is kept in view while it is followed, and the record and the report say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SCENE

from archive.errors import FolderError
from configs.load import load
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_opening import keeper
from surveys.tracking_prepare import prepare
from surveys.tracking_rows import check_rows, read_rows
from surveys.tracking_settings import TrackSettings

DRIFTS = (
    "horizon_s=300",
    "electrons=3e8",
    *SCENE,
    "controls.places=[]",
    "instrument.stage.insertion_drift_nm=1200",
    "instrument.stage.insertion_decay_s=400",
)


def views(folder):
    """Where the first place was really looked at, (N, 2) in nm; of looks since copper was there to be seen."""
    truth = [json.loads(line) for line in folder.with_name(f"{folder.name}.truth.jsonl").read_text().splitlines()]
    places = {row["id"]: row["footprint"] for row in truth if row["row"] == "exposure"}
    rows = [row for row in read_rows(folder) if row["place"] == 0 and row["t_s"] > 170.0]
    return np.array([(places[row["exposures"][0]]["x_nm"], places[row["exposures"][0]]["y_nm"]) for row in rows])


def test_a_place_is_kept_in_view_and_the_drift_told(tmp_path):
    following = prepare(load(CONFIG, TrackSettings, DRIFTS))
    found = run_tracking(following, tmp_path / "kept", lambda _: None)
    settings = following.settings.model_copy(update={"keep_in_view": None})
    alone = run_tracking(
        type(following)(settings, following.mission, following.sensors), tmp_path / "left", lambda _: 0
    )
    away = [np.hypot(*(there - there[0]).T).max() for there in (views(tmp_path / "kept"), views(tmp_path / "left"))]
    assert away[0] < 40.0
    assert away[1] > 90.0
    assert alone["drift"] is None
    assert found["drift"]["sure"] >= 5
    assert found["drift"]["trouble"] == ""
    page = write_tracking_report(tmp_path / "kept").read_text()
    assert "kept in view" in page
    assert "The specimen drifted by" in page
    assert "kept in view" not in write_tracking_report(tmp_path / "left").read_text()

    again = keeper(following.settings, tmp_path / "kept", read_rows(tmp_path / "kept"))
    assert again is not None
    assert len(again.state()["anchors"]) == 2  # a look at each of two places, its frame read from the record
    assert again.sure == found["drift"]["sure"]


def test_rows_of_an_earlier_version_are_refused_with_the_reason(tmp_path):
    with pytest.raises(FolderError, match=r"without asides, .*passed.* are of an earlier version.*in a new folder"):
        check_rows([{"t_s": 0.0, "look": None, "held": {}, "ended_s": 5.0, "clock_s": 5.0}], tmp_path)
    check_rows([], tmp_path)
