"""Following a specimen from a config: deadlines, controls, records, and what is said where it cannot be done."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from agent.tracking_mission import Choice
from archive.reader import SurveyReader
from configs.load import ConfigError, load
from models.kinetics import View
from models.kinetics_nuisance import Reading
from review.tracking import write_tracking_report
from surveys.tracking import run_tracking
from surveys.tracking_dose import explained_by_dose
from surveys.tracking_holder import Holder
from surveys.tracking_mind import FollowingMind
from surveys.tracking_prepare import expected_conditions, prepare, rehearsed
from surveys.tracking_settings import TrackSettings

CONFIG = "configs/track_liquid_cell.yaml"
SHORT = (
    "horizon_s=150",
    "tick_s=10",
    "electrons=1.5e8",
    "sets=48",
    "places=[{x_nm: 0, y_nm: 0}, {x_nm: 600, y_nm: 0}]",
    "controls.places=[{x_nm: 0, y_nm: 1500}]",
    "program=[{at_s: 10, condition: concentration_mM, value: 4.0}]",
    "looks={quick: {signal: HAADF, field_of_view_nm: 400, pixels: 128, dwell_us: 1}}",
    "controls.look=quick",
)


class Slow:
    """An agent that takes its time, or breaks, at the decisions that are named."""

    def __init__(self, late=(), broken=()):
        self.late, self.broken, self.asked, self.heard = late, broken, 0, []

    def wait(self, duration_s, conditions):
        self.heard.append(("wait", duration_s))

    def observe(self, reading):
        self.heard.append(("reading", reading))

    def act(self):
        self.asked += 1
        if self.asked in self.broken:
            raise RuntimeError("no idea")
        if self.asked in self.late:
            time.sleep(0.4)
        return Choice(None, 0, 0.0, 0.0, f"answer {self.asked}")


def test_nobody_waits_for_an_agent_beyond_its_deadline_and_late_answers_are_not_used():
    mind = FollowingMind(Slow(late={2}), deadline_s=0.15)
    assert mind.act().why == "answer 1"
    began_s = time.monotonic()
    assert mind.act() is None
    assert time.monotonic() - began_s < 0.35
    assert "no answer within 0.15 s" in mind.trouble
    time.sleep(0.5)
    assert mind.act().why == "answer 3"
    mind.close()


def test_an_agent_that_breaks_is_told_of_and_hears_everything_all_the_same():
    agent = Slow(broken={1})
    mind = FollowingMind(agent, deadline_s=1.0)
    assert mind.act() is None
    assert "RuntimeError: no idea" in mind.trouble
    mind.wait(5.0, {})
    mind.observe(None)
    assert mind.act() is not None
    assert agent.heard == [("wait", 5.0), ("reading", None)]
    mind.close()


@pytest.fixture(scope="module")
def following():
    return prepare(load(CONFIG, TrackSettings, SHORT))


def test_a_run_keeps_every_frame_with_its_conditions_and_ends_in_a_report(following, tmp_path):
    folder = tmp_path / "run"
    told: list[str] = []
    found = run_tracking(following, folder, told.append)
    rows = [json.loads(line) for line in (folder / "tracking.jsonl").read_text().splitlines()]
    looked = [row for row in rows if row["look"]]
    assert found["looks"] == sum(row["decided_by"] == "agent" for row in looked) > 3
    assert sum(row["decided_by"] == "runner" for row in looked) == 2
    assert found["electrons"] <= 1.5e8
    assert rows[-1]["held"]["concentration_mM"] > 3.5
    assert rows[0]["held"]["concentration_mM"] < 0.2
    with SurveyReader(folder) as reader:
        exposures = list(reader.exposures())
        assert len(exposures) == len(looked)
        kept = reader.frame(looked[-1]["exposures"][0] if looked[-1]["exposures"] else 1)
        assert next(iter(kept.values())).shape == (128, 128)
        assert any(event.kind == "holder" for event in reader.events())
    page = write_tracking_report(folder).read_text()
    assert "data:image/png" in page
    assert found["dose_told"][:20].lower() in page.lower()
    assert any("nats" in line for line in told)


def test_late_decisions_are_taken_in_turn_and_counted(following, tmp_path, monkeypatch):
    monkeypatch.setattr("surveys.tracking.FollowingMind.act", lambda self: None)
    found = run_tracking(following, tmp_path / "late", lambda _: None)
    assert found["fallbacks"] > 5
    rows = [json.loads(line) for line in (tmp_path / "late" / "tracking.jsonl").read_text().splitlines()]
    fallen = [row for row in rows if row["decided_by"] == "fallback" and row["look"]]
    assert {row["place"] for row in fallen} == {0, 1}
    assert found["electrons"] <= 1.5e8


def test_the_dose_is_judged_before_the_start(following):
    poor = replace(following, mission=replace(following.mission, electrons=1.2e7))
    told = list(rehearsed(poor))
    assert not all(each.told for each in told)
    assert all(each.looks == 2 for each in told)


def test_the_programme_is_what_is_expected(following):
    settings = following.settings
    assert expected_conditions(settings, {"concentration_mM": 0.0}, 0.0, 50.0) == [
        (10.0, {"concentration_mM": 0.0}),
        (40.0, {"concentration_mM": 4.0}),
    ]
    assert expected_conditions(settings, {"concentration_mM": 3.9}, 20.0, 50.0) == [(30.0, {"concentration_mM": 3.9})]


def test_a_reading_within_the_noise_changes_nothing_and_gaps_are_counted():
    holder = Holder({"temperature_K": 2.0})
    assert holder.read({"temperature_K": 300.0}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 301.5}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({}, ["temperature_K"]) == {"temperature_K": 300.0}
    assert holder.read({"temperature_K": 303.0}, ["temperature_K"]) == {"temperature_K": 303.0}
    assert holder.gaps == {"temperature_K": 1}


def reading(place, t_s, number, electrons):
    values = np.array([number, np.nan, np.nan, np.nan, np.nan])
    return Reading(t_s, View(place, 0.0, 400.0), "image", values, np.where(np.isnan(values), np.nan, 0.02), electrons)


@pytest.mark.parametrize(("beside", "share"), [(0.0, 1.0), (-0.5, 0.5), (-1.0, 0.0)])
def test_what_the_beam_explains_is_what_the_controls_do_not_show(beside, share):
    watched = [reading(p, t, 5.0 - t / 600.0, 1e7) for p in (0, 1) for t in (0.0, 200.0, 400.0, 600.0)]
    controls = [reading(5, t, 5.0 + beside * t / 600.0, 1e6) for t in (0.0, 600.0)]
    found = explained_by_dose(watched, controls, [0.02] * 5)
    assert found.explained == pytest.approx(share, abs=2 * found.explained_sd)
    assert found.explained_sd < 0.1
    assert found.fluence_e_per_A2 > 10 * found.control_fluence_e_per_A2


def test_without_controls_or_a_change_nothing_is_said_of_dose():
    still = [reading(0, t, 5.0, 1e7) for t in (0.0, 600.0)]
    assert explained_by_dose(still, [], [0.02] * 5) is None
    assert explained_by_dose(still, [reading(5, t, 5.0, 1e6) for t in (0.0, 600.0)], [0.02] * 5) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("expected.supply=null", "names neither temperature_K nor supply"),
        ("program=[{at_s: 1, condition: bias_V, value: 1}]", "limits.conditions does not allow"),
        ("controls.look=close", "the looks are"),
        ("controls.times=1", "two exposures at least"),
        ("tick_s=1e4", "longer than horizon_s"),
        ("looks.image.signal=", "signal"),
    ],
)
def test_what_cannot_be_followed_is_told_at_once(change, told):
    with pytest.raises(ConfigError, match=told):
        load(CONFIG, TrackSettings, (change,))


def test_a_signal_that_is_not_there_and_a_budget_that_pays_nothing_are_told():
    with pytest.raises(ConfigError, match="this instrument has HAADF, EELS"):
        prepare(load(CONFIG, TrackSettings, ("looks.image.signal=ADF",)))
    with pytest.raises(ConfigError, match="no look can be paid"):
        prepare(load(CONFIG, TrackSettings, (*SHORT, "electrons=1.1e7")))
    with pytest.raises(ConfigError, match="bias_V drives the process, and this holder reads concentration_mM"):
        prepare(load(CONFIG, TrackSettings, ("expected.supply=bias_V",)))
