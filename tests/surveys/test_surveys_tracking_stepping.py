"""The agent steps the holder through the guard, where it may: in rows, record and report, with the reason."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from following_samples import CONFIG, SCENE

from agent.stepping import Stepper
from agent.tracking_mission import Choice, Order
from archive.reader import SurveyReader
from configs.errors import ConfigError
from configs.load import load
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_prepare import prepare, steps_of
from surveys.tracking_rows import read_rows
from surveys.tracking_settings import TrackSettings

MAY = (
    "horizon_s=150",
    "electrons=1.5e8",
    *SCENE,
    "controls.places=[]",
    "limits.conditions={concentration_mM: {allowed: [0, 3], most_change: 1.25}}",
    "program=[]",
    "holder={may_step: true, every_s: 20, least_nats: 0.01}",
)


def test_orders_go_through_the_guard_and_are_told_with_their_reason(tmp_path):
    following = prepare(load(CONFIG, TrackSettings, MAY))
    told: list[str] = []
    run_tracking(following, tmp_path / "run", told.append)
    rows = read_rows(tmp_path / "run")
    ordered = [row for row in rows if row["order"]]
    assert ordered  # nothing grows of nothing: without a concentration no look would tell anything of the rates
    assert ordered[0]["order"]["condition"] == "concentration_mM"
    assert ordered[0]["order"]["value"] == 1.0
    assert all(row["look"] is None and row["decided_by"] == "agent" for row in ordered)
    assert ordered[0]["why"].startswith("concentration_mM to 1:")
    assert any("concentration_mM to 1:" in line for line in told)
    assert rows[-1]["held"]["concentration_mM"] > 0.5
    with SurveyReader(tmp_path / "run") as reader:
        assert [event.data["value"] for event in reader.events("holder")] == [
            row["order"]["value"] for row in ordered if not row["fault"]
        ]
    page = write_tracking_report(tmp_path / "run").read_text()
    assert "Where the holder was stepped to" in page
    assert "concentration_mM to 1:" in page


def test_what_the_guard_refuses_is_told_and_following_goes_on(tmp_path, monkeypatch):
    too_far = Choice(None, 0, 0.0, 0.0, "too far", order=Order("concentration_mM", 3.0, 9.0))

    def wild(self):
        return too_far if self._due() else self._tracker.act()

    monkeypatch.setattr(Stepper, "act", wild)
    found = run_tracking(prepare(load(CONFIG, TrackSettings, MAY)), tmp_path / "run", lambda _: None)
    rows = read_rows(tmp_path / "run")
    refused = [row for row in rows if row["order"]]
    assert refused
    assert all("LimitError" in row["fault"] and "1.25 more or less are allowed" in row["fault"] for row in refused)
    assert rows[-1]["held"]["concentration_mM"] < 0.2
    assert found["looks"] > 3


def test_it_is_off_by_itself():
    assert steps_of(load(CONFIG, TrackSettings)) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("limits.conditions={concentration_mM: [0, 3]}", "most_change"),
        ("holder={may_step: true, step: 2}", "most_change 1.25: lower it"),
        ("holder={may_step: true, condition: bias_V}", "drives nothing"),
        (
            "program=[{at_s: 1, condition: concentration_mM, value: 1}, "
            "{at_s: 9, condition: concentration_mM, value: 2}]",
            "more than once",
        ),
    ],
)
def test_what_it_may_not_step_is_told_at_once(change, told):
    with pytest.raises(ConfigError, match=told):
        load(CONFIG, TrackSettings, (*MAY, change))
