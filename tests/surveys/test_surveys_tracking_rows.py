"""Rows of following: learned again they leave the agent where it was."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SHORT

from agent.tracking import Tracker
from archive.errors import FolderError
from configs.load import load
from surveys.tracking import run_tracking
from surveys.tracking_prepare import expected_conditions, prepare
from surveys.tracking_rows import ROWS, RowsFile, read_rows, refold
from surveys.tracking_settings import TrackSettings


def test_what_was_kept_leaves_the_agent_where_it_was(tmp_path):
    following = prepare(load(CONFIG, TrackSettings, SHORT))
    found = run_tracking(following, tmp_path / "run", lambda _: None)
    rows = read_rows(tmp_path / "run")
    again = Tracker(following.mission, lambda a, b: expected_conditions(following.settings, rows[-1]["held"], a, b))
    readings, controls = [], []
    for row in rows:
        refold(row, following.mission, again, readings, controls)
    assert again.now_s == pytest.approx(rows[-1]["ended_s"])
    assert dict(zip(again.filter.names, again.filter.probabilities(), strict=True)) == pytest.approx(
        found["probabilities"], abs=1e-9
    )
    assert len(readings) == found["looks"]
    assert len(controls) == 2
    np.testing.assert_allclose(again.spent + sum(c.electrons for c in controls), found["electrons"], rtol=1e-6)


def test_a_last_line_that_was_cut_off_is_dropped_and_one_before_is_refused(tmp_path):
    path = tmp_path / ROWS
    with RowsFile(path, ()) as file:
        file.add({"a": 1})
        file.add({"a": 2})
    with path.open("ab") as raw:
        raw.write(b'{"a": ')
    assert read_rows(tmp_path) == [{"a": 1}, {"a": 2}]
    with RowsFile(path, read_rows(tmp_path)) as file:
        file.add({"a": 3})
    assert read_rows(tmp_path) == [{"a": 1}, {"a": 2}, {"a": 3}]
    path.write_bytes(b'{"a": \n{"a": 2}\n')
    with pytest.raises(FolderError, match="line 1 is damaged"):
        read_rows(tmp_path)
    assert read_rows(tmp_path / "nowhere") == []
